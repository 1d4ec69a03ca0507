// What a layer is, as the kernels see it: packed parameters (made once) and the work of one image (made per call).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "codes.h"

namespace resnet50 {

// Memory for vectors: aligned to a cache line, zeroed.
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(size_t size_bytes);
    uint8_t* data() const { return data_.get(); }
    template <typename T>
    T* as() const {
        return reinterpret_cast<T*>(data_.get());
    }

private:
    struct Free {
        void operator()(uint8_t* memory) const;
    };
    std::unique_ptr<uint8_t, Free> data_;
};

// The parameters of a binary convolution as they come: weights (cout, ksize, ksize, cin / 8), bits little-endian along
// cin; thresholds (cout, levels), in any order. cin and cout are multiples of 64, and a 3x3 has a stride of 1.
struct ConvParams {
    const uint8_t* weights;
    const int32_t* thresholds;
    int cin, cout, ksize, stride, levels;

    int weight(int out, int tap, int in) const {
        const size_t bit = (size_t(out) * ksize * ksize + tap) * cin + in;
        return weights[bit / 8] >> (bit % 8) & 1;
    }
};

// The same in a kernel's own layout. With weights as bits b of {0, 1}, a sum is S = 2 * P - A: P adds the activations
// whose bit is set and A adds all of them.
struct Conv {
    int cin = 0, cout = 0, ksize = 0, stride = 0, levels = 0;
    int chunk = 0;  // lookups whose sums fit a byte, for kernels that look up; avx512: pairs of them
    Buffer weights;
    Buffer thresholds;  // per block; its layout is the kernel's
    int pad() const { return ksize / 2; }
    int taps() const { return ksize * ksize; }
    int blocks() const { return cout / kBlock; }
};

// What happens to a convolution's sums.
enum class Emit {
    codes,     // 3 thresholds -> codes
    levels,    // 15 thresholds -> bytes 0..15: a shortcut
    residual,  // 15 thresholds, plus the shortcut, less 8, clamped to 0..15 -> bytes, and codes for the next block
    sums,      // no thresholds -> int32, for calibration and tests
};

struct ConvCall {
    const Conv* conv = nullptr;
    Emit emit = Emit::codes;
    Codes in;
    int out_height = 0, out_width = 0;
    Codes out;                               // codes, residual
    uint8_t* levels = nullptr;               // levels, residual: (out_height, out_width, cout)
    const uint8_t* shortcut = nullptr;       // residual: the same shape; may be `levels` itself
    const uint8_t* next = nullptr;           // residual: input thresholds of the next block (see pack_input_thresholds)
    int32_t* sums = nullptr;                 // sums: (out_height, out_width, cout)

    size_t out_pixel(int y, int x) const { return size_t(y) * out_width + x; }
};

// conv0 and the pool.
constexpr int kImage = 224, kImageChannels = 3, kStemKernel = 7, kStemPad = 3;
constexpr int kStemSize = 112, kStemPooled = 56, kStemChannels = 64;
constexpr int kPadded = kImage + kStemPad + 2;  // 3 before, 2 after
constexpr int kPaddedRowBytes = kPadded * kImageChannels;
constexpr int kStemRowBytes = kStemKernel * kImageChannels;
constexpr size_t kPaddedBytes = size_t(kPadded) * kPaddedRowBytes + kReadAhead;

struct Stem {
    Buffer weights;     // the kernel's own layout
    Buffer thresholds;  // int32 (3, 64), ascending
};

struct StemCall {
    const Stem* stem = nullptr;
    const uint8_t* padded = nullptr;  // (229, 229, 3): the image with its padding
    uint8_t* levels = nullptr;        // (56, 56, 64) of 0..3
    const uint8_t* next = nullptr;    // input thresholds of the first block
    Codes out;
    int32_t* sums = nullptr;  // instead of all the results above: conv0's sums (112, 112, 64)
};

// Input thresholds of a block, three rows of `channels` bytes. A value 0..15 is compared with ascending thresholds
// clamped to 0..16, which changes no count.
Buffer pack_input_thresholds(const int32_t* thresholds, int channels);

// Thresholds of one channel, ascending, clamped to what a sum over `inputs` activations can reach (one more for "never").
void sorted_thresholds(const ConvParams& params, int channel, int16_t* out);

}  // namespace resnet50
