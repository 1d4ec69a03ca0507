// The arithmetic, once for each instruction set. All give equal results, bit for bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers.h"

namespace resnet50 {

class Kernels {
public:
    virtual ~Kernels() = default;
    virtual const char* name() const = 0;

    virtual Conv pack(const ConvParams& params) const = 0;
    // weights: int8 (64, 7, 7, 3), thresholds: int32 (64, 3)
    virtual Stem pack_stem(const int8_t* weights, const int32_t* thresholds) const = 0;

    // A convolution's work comes in items of one output row and `conv_blocks` blocks of output channels; item i is row
    // i % out_height of channel group i / out_height. Items are independent of each other.
    virtual int conv_items(const ConvCall& call) const = 0;
    virtual void conv(const ConvCall& call, int begin, int end) const = 0;

    // Rows begin..end of the 56 pooled rows (of the 112 rows of sums, if those are asked for).
    virtual void stem(const StemCall& call, int begin, int end) const = 0;

    // features: uint16 (images, 2048), weights: int8 (1000, 2048) -> classes begin..end of out (images, 1000)
    virtual void fully_connected(const uint16_t* features, int images, const int8_t* weights, const int32_t* bias,
                                 int32_t* out, int begin, int end) const = 0;
};

constexpr int kFeatures = 2048, kClasses = 1000;

// Each returns null where the CPU (or this build) lacks the instructions.
const Kernels* avx512_kernels();
const Kernels* avx2_kernels();
const Kernels* neon_kernels();
const Kernels* generic_kernels();

// The kernels that this CPU can run, fastest first.
std::vector<const Kernels*> usable_kernels();

}  // namespace resnet50
