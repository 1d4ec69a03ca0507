#include "layers.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace resnet50 {

namespace {
constexpr std::align_val_t kAlignment{64};
}

Buffer::Buffer(size_t size_bytes) : data_(static_cast<uint8_t*>(::operator new(size_bytes, kAlignment))) {
    std::memset(data_.get(), 0, size_bytes);
}

void Buffer::Free::operator()(uint8_t* memory) const { ::operator delete(memory, kAlignment); }

Buffer pack_input_thresholds(const int32_t* thresholds, int channels) {
    Buffer packed(size_t(3) * channels);
    for (int c = 0; c < channels; c++) {
        int sorted[3];
        std::copy_n(thresholds + 3 * c, 3, sorted);
        std::sort(sorted, sorted + 3);
        for (int i = 0; i < 3; i++) packed.data()[size_t(i) * channels + c] = uint8_t(std::clamp(sorted[i], 0, 16));
    }
    return packed;
}

void sorted_thresholds(const ConvParams& params, int channel, int16_t* out) {
    const int limit = 3 * params.cin * params.ksize * params.ksize;
    for (int i = 0; i < params.levels; i++)
        out[i] = int16_t(std::clamp(params.thresholds[channel * params.levels + i], -limit, limit + 1));
    std::sort(out, out + params.levels);
}

}  // namespace resnet50
