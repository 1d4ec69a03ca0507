// AVX-512 VNNI: conv0 and the pool. Included by avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "avx512_levels.h"
#include "unroll.h"

namespace resnet50 {
namespace {

constexpr int kStemInputs = kStemKernel * kStemRowBytes;
constexpr int kStemQuads = (kStemInputs + 3) / 4;  // of the bytes that VPDPBUSD adds up; the last one has a weight of zero
constexpr int kStemPixels = 4;                     // of a tile: 16 vectors of sums
constexpr int kWindowBytes = kStemQuads * 4;
constexpr int kCopyBytes = 32;  // of a row of a window, in one instruction; what it copies too much is overwritten
static_assert(kStemSize % kStemPixels == 0 && kCopyBytes >= kStemRowBytes && kReadAhead >= kCopyBytes);

// The windows of one row of conv0, each one's bytes side by side: cut into quads a row at a time they would be 42, not 37.
using StemWindows = uint8_t[kStemSize * kWindowBytes + kCopyBytes];

// Which channels of a pixel, or of several, reach each of the three thresholds.
using Reached = uint64_t[3];

inline void copy_windows(const StemCall& call, int y, StemWindows& windows) {
    const uint8_t* pixels = call.padded + size_t(2 * y) * kPaddedRowBytes;
    uint8_t* to = windows;
    for (int x = 0; x < kStemSize; x++, pixels += 2 * kImageChannels, to += kWindowBytes)
        unroll<kStemKernel>([&](auto ky) RESNET50_INLINE {
            const void* row = pixels + ky * kPaddedRowBytes;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + ky * kStemRowBytes), _mm256_loadu_si256(static_cast<const __m256i*>(row)));
        });
}

// conv0 of four pixels, 64 channels each.
RESNET50_INLINE inline void sum_stem(const int8_t* weights, const uint8_t* windows, __m512i (&sums)[kStemPixels][4]) {
    __m512i acc[kStemPixels][4];  // its own array: `sums` would be written back at every step
    unroll<kStemPixels>([&](auto p) RESNET50_INLINE {
        unroll<4>([&](auto v) RESNET50_INLINE { acc[p][v] = _mm512_setzero_si512(); });
    });
    for (int quad = 0; quad < kStemQuads; quad++, weights += 4 * kStemChannels, windows += 4) {
        __m512i w[4];
        unroll<4>([&](auto v) RESNET50_INLINE { w[v] = _mm512_load_si512(weights + 64 * v); });
        unroll<kStemPixels>([&](auto p) RESNET50_INLINE {
            int32_t bytes;
            std::memcpy(&bytes, windows + p * kWindowBytes, sizeof bytes);
            const __m512i input = _mm512_set1_epi32(bytes);
            unroll<4>([&](auto v) RESNET50_INLINE { acc[p][v] = _mm512_dpbusd_epi32(acc[p][v], input, w[v]); });
        });
    }
    unroll<kStemPixels>([&](auto p) RESNET50_INLINE { unroll<4>([&](auto v) RESNET50_INLINE { sums[p][v] = acc[p][v]; }); });
}

// Calls take(x, sums) for each tile of a row of conv0.
template <typename Take>
RESNET50_INLINE inline void stem_row(const StemCall& call, int y, const Take& take) {
    StemWindows windows;
    copy_windows(call, y, windows);
    __m512i sums[kStemPixels][4];
    for (int x = 0; x < kStemSize; x += kStemPixels) {
        sum_stem(call.stem->weights.as<int8_t>(), windows + x * kWindowBytes, sums);
        take(x, sums);
    }
}

inline void stem_sums(const StemCall& call, int begin, int end) {
    for (int y = begin; y < end; y++)
        stem_row(call, y, [&](int x, const __m512i (&sums)[kStemPixels][4]) {
            for (int p = 0; p < kStemPixels; p++)
                for (int v = 0; v < 4; v++)
                    _mm512_storeu_si512(call.sums + (size_t(y) * kStemSize + x + p) * kStemChannels + 16 * v, sums[p][v]);
        });
}

// Adds row y of conv0 to `reached`, or begins it: the maximum of levels reaches what any of them reaches.
template <bool Begin>
void reach_row(const StemCall& call, int y, Reached (&reached)[kStemSize]) {
    const int32_t* thresholds = call.stem->thresholds.as<int32_t>();
    stem_row(call, y, [&](int x, const __m512i (&sums)[kStemPixels][4]) RESNET50_INLINE {
        for (int i = 0; i < 3; i++) {
            __m512i t[4];
            unroll<4>([&](auto v) RESNET50_INLINE { t[v] = _mm512_load_si512(thresholds + i * kStemChannels + 16 * v); });
            unroll<kStemPixels>([&](auto p) RESNET50_INLINE {
                uint16_t parts[4];
                unroll<4>([&](auto v) RESNET50_INLINE { parts[v] = _mm512_cmpge_epi32_mask(sums[p][v], t[v]); });
                uint64_t channels;
                std::memcpy(&channels, parts, sizeof channels);
                reached[x + p][i] = Begin ? channels : reached[x + p][i] | channels;
            });
        }
    });
}

// Pooled row y from the union of its rows of conv0.
inline void pool_row(const StemCall& call, int y, const Reached (&reached)[kStemSize]) {
    __m512i next[3];
    for (int i = 0; i < 3; i++) next[i] = _mm512_loadu_si512(call.next + size_t(i) * kStemChannels);
    const __m512i one = _mm512_set1_epi8(1);
    for (int x = 0; x < kStemPooled; x++) {
        const int last = 2 * x + 2 < kStemSize ? 2 * x + 2 : 2 * x + 1;  // beyond is padding, which never wins
        Reached levels, codes;
        for (int i = 0; i < 3; i++) levels[i] = reached[2 * x][i] | reached[2 * x + 1][i] | reached[last][i];
        __m512i values = _mm512_maskz_mov_epi8(levels[0], one);
        for (int i = 1; i < 3; i++) values = _mm512_mask_add_epi8(values, levels[i], values, one);
        _mm512_storeu_si512(call.levels + (size_t(y) * kStemPooled + x) * kStemChannels, values);
        for (int i = 0; i < 3; i++) codes[i] = _mm512_cmpge_epu8_mask(values, next[i]);
        store_codes(codes, call.out.bits_at(y, x), call.out.sums_at(y, x));
    }
}

inline void stem_levels(const StemCall& call, int begin, int end) {
    Reached shared[kStemSize], rows[kStemSize];  // the last row of one window is the first of the next
    if (begin < end) reach_row<true>(call, 2 * begin, shared);
    for (int y = begin; y < end; y++) {
        std::memcpy(rows, shared, sizeof rows);
        reach_row<false>(call, 2 * y + 1, rows);
        if (2 * y + 2 < kStemSize) {
            reach_row<true>(call, 2 * y + 2, shared);
            for (int x = 0; x < kStemSize; x++)
                for (int i = 0; i < 3; i++) rows[x][i] |= shared[x][i];
        }
        pool_row(call, y, rows);
    }
}

// Layout: (37, 64, 4).
inline Stem pack_stem_weights(const int8_t* weights, const int32_t* thresholds) {
    Stem stem{Buffer(kStemQuads * kStemChannels * 4), Buffer(3 * kStemChannels * sizeof(int32_t))};
    for (int c = 0; c < kStemChannels; c++) {
        for (int i = 0; i < kStemInputs; i++)
            stem.weights.as<int8_t>()[(i / 4 * kStemChannels + c) * 4 + i % 4] = weights[c * kStemInputs + i];
        int32_t sorted[3];
        std::copy_n(thresholds + 3 * c, 3, sorted);
        std::sort(sorted, sorted + 3);
        for (int i = 0; i < 3; i++) stem.thresholds.as<int32_t>()[i * kStemChannels + c] = sorted[i];
    }
    return stem;
}

}  // namespace
}  // namespace resnet50
