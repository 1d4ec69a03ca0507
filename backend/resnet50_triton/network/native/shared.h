// What the kernels share, compiled once for each of their instruction sets.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

// The sum of eight bytes of at most 192.
inline int sum_word(uint64_t word) {
#if defined(__SSE2__)
    return _mm_cvtsi128_si32(_mm_sad_epu8(_mm_cvtsi64_si128(int64_t(word)), _mm_setzero_si128()));
#else
    constexpr uint64_t kBytes = 0x00ff00ff00ff00ff, kShorts = 0x0001000100010001;
    return int((((word & kBytes) + ((word >> 8) & kBytes)) * kShorts) >> 48);
#endif
}

// The sum of n bytes of at most 192. None beyond is read: they may be another thread's.
inline int sum_bytes(const uint8_t* bytes, int n) {
    int sum = 0;
    uint64_t word;
    for (; n >= 8; n -= 8, bytes += 8) {
        std::memcpy(&word, bytes, sizeof word);
        sum += sum_word(word);
    }
    uint32_t half;
    if (n >= 4) {
        std::memcpy(&half, bytes, sizeof half);
        sum += sum_word(half);
        n -= 4;
        bytes += 4;
    }
    for (int i = 0; i < n; i++) sum += bytes[i];
    return sum;
}

constexpr int kMaxTilePixels = 14;

// A of a tile's pixels: the sum of all activations in each one's window. Windows of neighbours share columns.
inline void window_totals(const ConvCall& call, int y, int x, int pixels, int16_t* totals) {
    const int blocks = call.in.blocks(), stride = call.conv->stride;
    if (call.conv->ksize == 1) {
        const uint8_t* sums = call.in.sums_at(y * stride, x * stride);
        for (int p = 0; p < pixels; p++, sums += stride * blocks) totals[p] = int16_t(sum_bytes(sums, blocks));
        return;
    }
    const uint8_t* rows[3] = {call.in.sums_at(y - 1, x - 1), call.in.sums_at(y, x - 1), call.in.sums_at(y + 1, x - 1)};
    int columns[kMaxTilePixels + 2];
    for (int i = 0; i < pixels + 2; i++) {
        columns[i] = 0;
        for (const uint8_t*& row : rows) {
            columns[i] += sum_bytes(row, blocks);
            row += blocks;
        }
        if (i >= 2) totals[i - 2] = int16_t(columns[i - 2] + columns[i - 1] + columns[i]);
    }
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
