// The whole network on one machine's CPUs.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels.h"
#include "plan.h"
#include "pool.h"

namespace resnet50 {

// A bottleneck block: convs are conva, convb, convc and, in the first block of a stage, conv1.
struct Block {
    int size_in = 0;
    Buffer input_thresholds;
    std::vector<Conv> convs;

    bool projection() const { return convs.size() == 4; }
    int cin() const { return convs[0].cin; }
    int width() const { return convs[1].cin; }
    int cout() const { return convs[2].cout; }
    int size_out() const { return size_in / convs[0].stride; }
    size_t output_bytes() const { return size_t(size_out()) * size_out() * cout(); }
};

// Parameters in the layout of one set of kernels. Engines only read it.
struct Network {
    const Kernels* kernels = nullptr;
    Stem stem;
    std::vector<Block> blocks;
    std::vector<int32_t> bias;
};

// The memory of one image in flight and the convolutions over it, in order.
class Arena {
public:
    explicit Arena(const Network& network);

    const std::vector<Step>& steps() const { return steps_; }
    uint8_t* padded() const { return padded_.data(); }
    uint8_t* output() const { return output_.data(); }  // of the stem, then of each block
    StemCall stem_call(const Network& network) const;

private:
    Codes make_codes(int size, int channels, int pad);
    void add_block(const Network& network, size_t index);

    Buffer padded_, output_;
    Codes input_;
    std::vector<Buffer> memory_;  // of the codes
    std::vector<Codes> conva_out_;  // two for each size, in turns: their padding is zeroed once and never written
    std::vector<Step> steps_;
};

class Engine {
public:
    Engine(std::shared_ptr<const Network> network, int threads);

    const Network& network() const { return *network_; }
    int threads() const { return pool_.threads(); }

    // How the convolutions of one image are shared among all threads.
    const std::vector<Part>& plan() const { return together_; }

    // pixels: uint8 (count, 224, 224, 3) BGR -> features: uint16 (count, 2048)
    void features(const uint8_t* pixels, int count, uint16_t* features);

    // weights: int8 (1000, 2048) -> logits: int32 (count, 1000)
    void logits(const uint8_t* pixels, int count, const int8_t* weights, int32_t* logits);

    // outputs: for the stem and each block an array (count, H, W, C) of bytes.
    void stages(const uint8_t* pixels, int count, const std::vector<uint8_t*>& outputs);

    // Seconds spent in each step of one image at a time, summed over `count` images: padding, stem, each convolution in
    // the order of the blocks, features, and the fully connected layer.
    std::vector<double> profile(const uint8_t* pixels, int count, const int8_t* weights);

private:
    struct Observer;
    Arena& arena(int thread);
    void image(const uint8_t* pixels, Arena& arena, bool together, uint16_t* features, const Observer* observer);
    void compute(const Arena& arena, const Part& part, int item) const;
    void watch(const Arena& arena, const Observer& observer);
    void images(const uint8_t* pixels, int count, uint16_t* features);
    void classify(int count, const int8_t* weights, int32_t* logits);

    std::shared_ptr<const Network> network_;
    std::mutex mutex_;  // one call at a time
    Pool pool_;
    std::vector<Part> alone_, together_;  // an image's parts, for one thread and for all
    std::vector<std::unique_ptr<Arena>> arenas_;  // one a thread, made by it at its first image
    Buffer features_;                             // of the images between the last block and the classes
};

}  // namespace resnet50
