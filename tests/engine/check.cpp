// Runs every kernel of the native engine on random networks and odd layers, and compares them with the generic one.
// Built with sanitizers by test_sanitizers.py. Ends with 0, or with 1 after naming the first difference.
// engine_check [IMAGES]: fewer images than 3, and fewer layers, for an emulator.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine.h"
#include "primitives.h"
#include "runs.h"

using namespace resnet50;

namespace {

std::mt19937 random_bits(1);
int draw(int low, int high) { return low + int(random_bits() % unsigned(high - low + 1)); }

template <typename T>
std::vector<T> draw_many(size_t count, int low, int high) {
    std::vector<T> values(count);
    for (T& value : values) value = T(draw(low, high));
    return values;
}

struct Layer {
    std::vector<uint8_t> weights;
    std::vector<int32_t> thresholds;
    int cin, cout, ksize, stride, levels;

    Layer(int cin, int cout, int ksize, int stride, int levels)
        : weights(draw_many<uint8_t>(size_t(cout) * ksize * ksize * cin / 8, 0, 255)),
          cin(cin), cout(cout), ksize(ksize), stride(stride), levels(levels) {
        for (int c = 0; c < cout; c++)  // on a line or anywhere, so that both ways of counting run
            for (int i = 0; i < levels; i++)
                thresholds.push_back(c / kBlock % 2 ? draw(-200, 200) : (i - levels / 2) * 9 + c % 5);
        thresholds[0] = INT32_MIN;
        thresholds.back() = INT32_MAX;
    }
    ConvParams params() const { return {weights.data(), thresholds.data(), cin, cout, ksize, stride, levels}; }
};

struct Parameters {
    struct Block {
        int size;
        std::vector<int32_t> input;
        std::vector<Layer> layers;
    };
    std::vector<int8_t> stem = draw_many<int8_t>(64 * 147, -128, 127);
    std::vector<int32_t> stem_thresholds = draw_many<int32_t>(192, -300000, 300000);
    std::vector<int8_t> head = draw_many<int8_t>(size_t(kClasses) * kFeatures, -128, 127);
    std::vector<Block> blocks;

    Parameters() {
        int cin = kStemChannels, size = kStemPooled;
        for (const int width : {64, 128, 256, 512})
            for (int index = 0; index < 2; index++) {
                const int stride = index == 0 && width > 64 ? 2 : 1;
                Block block{size, draw_many<int32_t>(size_t(cin) * 3, -1, 17), {}};
                block.layers = {{cin, width, 1, stride, 3}, {width, width, 3, 1, 3}, {width, 4 * width, 1, 1, 15}};
                if (index == 0) block.layers.emplace_back(cin, 4 * width, 1, stride, 15);
                blocks.push_back(std::move(block));
                cin = 4 * width;
                size /= stride;
            }
    }

    std::shared_ptr<Network> pack(const Kernels& kernels) const {
        auto network = std::make_shared<Network>();
        network->kernels = &kernels;
        network->stem = kernels.pack_stem(stem.data(), stem_thresholds.data());
        network->bias.assign(kClasses, 7);
        for (const Block& block : blocks) {
            resnet50::Block packed;
            packed.size_in = block.size;
            packed.input_thresholds = pack_input_thresholds(block.input.data(), int(block.input.size()) / 3);
            for (const Layer& layer : block.layers) packed.convs.push_back(kernels.pack(layer.params()));
            network->blocks.push_back(std::move(packed));
        }
        return network;
    }
};

std::vector<int32_t> sums_of(const Kernels& kernels, const Layer& layer, const std::vector<uint8_t>& x, int height, int width) {
    const int out_height = (height - 1) / layer.stride + 1, out_width = (width - 1) / layer.stride + 1;
    std::vector<int32_t> out(size_t(2) * out_height * out_width * layer.cout);
    convolve(kernels, x.data(), 2, height, width, layer.params(), 2, out.data());
    return out;
}

int fail(const Kernels& kernels, const std::string& what) {
    std::printf("%s: %s differs from the generic kernels\n", kernels.name(), what.c_str());
    return 1;
}

// Runs that are queued end in order with the right results; those that are cancelled, and those of a queue that is
// gone, are not computed.
bool run_in_turn(Engine& engine, const std::vector<uint8_t>& pixels, const std::vector<int8_t>& head,
                 const std::vector<int32_t>& expected) {
    std::vector<std::vector<int32_t>> answers(8, std::vector<int32_t>(kClasses));
    Runs runs(engine);
    const auto start = [&](std::vector<int32_t>& answer) { return runs.start(pixels.data(), 1, head.data(), answer.data()); };
    const auto is_right = [&](const std::vector<int32_t>& answer) {
        return std::equal(answer.begin(), answer.end(), expected.begin());
    };
    start(answers[0]);
    const uint64_t second = start(answers[1]);
    while (!runs.wait(second, 0.01)) {
    }
    if (second != 2 || runs.finished() != 2 || !is_right(answers[0]) || !is_right(answers[1])) return false;
    for (int i = 2; i < 5; i++) start(answers[i]);
    runs.cancel("cancelled");
    while (!runs.wait(5, 1)) {
    }
    for (int i = 2; i < 5; i++)  // the first of them may have begun before
        if (runs.error(i + 1).empty() ? !is_right(answers[i]) : runs.error(i + 1) != "cancelled") return false;
    Runs dropped(engine);
    for (int i = 5; i < 8; i++) dropped.start(pixels.data(), 1, head.data(), answers[i].data());
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    const Kernels& generic = *generic_kernels();
    const Parameters parameters;
    const int images = argc > 1 ? std::atoi(argv[1]) : 3;
    const auto pixels = draw_many<uint8_t>(size_t(images) * kImage * kImage * kImageChannels, 0, 255);
    std::vector<int32_t> expected(images * kClasses), stem(size_t(kStemSize) * kStemSize * kStemChannels), got;
    Engine(parameters.pack(generic), 2).logits(pixels.data(), images, parameters.head.data(), expected.data());
    convolve_pixels(generic, pixels.data(), 1, parameters.stem.data(), 1, stem.data());

    for (const Kernels* kernels : usable_kernels()) {
        for (const int threads : {1, 2, 3, 5}) {
            Engine engine(parameters.pack(*kernels), threads);
            got.assign(expected.size(), 0);
            engine.logits(pixels.data(), images, parameters.head.data(), got.data());
            if (got != expected) return fail(*kernels, "a network on " + std::to_string(threads) + " threads");
            if (kernels == &generic) break;
            std::vector<std::thread> callers;  // more than the engine has threads
            std::vector<std::vector<int32_t>> answers(images + 1, std::vector<int32_t>(kClasses));
            for (auto& answer : answers)
                callers.emplace_back([&] { engine.logits(pixels.data(), 1, parameters.head.data(), answer.data()); });
            for (std::thread& caller : callers) caller.join();
            for (const auto& answer : answers)
                if (!std::equal(answer.begin(), answer.end(), expected.begin())) return fail(*kernels, "a concurrent call");
            if (threads == 2 && !run_in_turn(engine, pixels, parameters.head, expected)) return fail(*kernels, "a queued run");
        }
        std::vector<int32_t> kernel_stem(stem.size());
        convolve_pixels(*kernels, pixels.data(), 1, parameters.stem.data(), 1, kernel_stem.data());
        if (kernel_stem != stem) return fail(*kernels, "conv0");
        for (int round = 0; round < 13 * images; round++) {
            const int ksize = draw(0, 1) ? 3 : 1;
            const Layer layer(64 * draw(1, 5), 64 * draw(1, 5), ksize, ksize == 1 ? draw(1, 2) : 1, 3);
            const int height = draw(1, 9), width = draw(1, 17);
            const auto x = draw_many<uint8_t>(size_t(2) * height * width * layer.cin, 0, 3);
            if (sums_of(*kernels, layer, x, height, width) != sums_of(generic, layer, x, height, width))
                return fail(*kernels, "a convolution of " + std::to_string(height) + "x" + std::to_string(width));
        }
        std::printf("%s: equal\n", kernels->name());
    }
    return 0;
}
