// What the kernels share, compiled once for each of their instruction sets.
#pragma once

#include <cstdint>
#include <cstring>

#include "layers.h"

namespace resnet50 {
namespace {

constexpr int kStemRowLevels = kStemSize * kStemChannels;

// Counts the thresholds that each value reaches. values, out: `channels` bytes; thresholds: 3 rows of them.
inline void count_input_thresholds(const uint8_t* values, const uint8_t* thresholds, int channels, uint8_t* out) {
    for (int c = 0; c < channels; c++)
        out[c] = uint8_t((values[c] >= thresholds[c]) + (values[c] >= thresholds[channels + c]) +
                         (values[c] >= thresholds[2 * channels + c]));
}

inline void max_bytes(uint8_t* into, const uint8_t* from, int count) {
    for (int i = 0; i < count; i++) into[i] = into[i] > from[i] ? into[i] : from[i];
}

// A of one output pixel: the sum of all activations in its window.
inline int window_total(const ConvCall& call, int y, int x) {
    const Conv& conv = *call.conv;
    const int parts = call.in.blocks() * conv.ksize;  // the pixels of a window's row are side by side
    int total = 0;
    for (int ky = 0; ky < conv.ksize; ky++) {
        const uint8_t* sums = call.in.sums_at(y * conv.stride + ky - conv.pad(), x * conv.stride - conv.pad());
        for (int i = 0; i < parts; i++) total += sums[i];
    }
    return total;
}

// The stem: rows of conv0, the max pool over them, and the input codes of the first block.
// conv_row(y, levels) computes row y of conv0 with its thresholds: (112, 64) of 0..3.
template <typename ConvRow>
void stem_rows(const StemCall& call, int begin, int end, ConvRow conv_row) {
    alignas(64) uint8_t shared_row[kStemRowLevels];  // the last row of one window is the first of the next
    alignas(64) uint8_t row[kStemRowLevels];
    alignas(64) uint8_t tallest[kStemRowLevels];
    if (begin < end) conv_row(2 * begin, shared_row);
    for (int y = begin; y < end; y++) {
        std::memcpy(tallest, shared_row, sizeof tallest);
        conv_row(2 * y + 1, row);
        max_bytes(tallest, row, kStemRowLevels);
        if (2 * y + 2 < kStemSize) {  // below the last row is padding, which never wins
            conv_row(2 * y + 2, shared_row);
            max_bytes(tallest, shared_row, kStemRowLevels);
        }
        for (int x = 0; x < kStemPooled; x++) {
            uint8_t* levels = call.levels + (size_t(y) * kStemPooled + x) * kStemChannels;
            const int columns = 2 * x + 2 < kStemSize ? 3 : 2;
            std::memcpy(levels, tallest + size_t(2) * x * kStemChannels, kStemChannels);
            for (int i = 1; i < columns; i++)
                max_bytes(levels, tallest + size_t(2 * x + i) * kStemChannels, kStemChannels);
            alignas(64) uint8_t values[kStemChannels];
            count_input_thresholds(levels, call.next, kStemChannels, values);
            pack_block(values, call.out.bits_at(y, x), call.out.sums_at(y, x));
        }
    }
}

}  // namespace
}  // namespace resnet50
