// AVX-512 VNNI: conv0. Included by avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "shared.h"
#include "unroll.h"

namespace resnet50 {
namespace {

constexpr int kStemQuads = 6;  // of four bytes, in a row of 21: the last three bytes have weights of zero
constexpr int kStemPixels = 4;
static_assert(kStemSize % kStemPixels == 0 && kStemQuads * 4 >= kStemRowBytes);

// conv0 of four pixels, 64 channels each, in int8 VNNI.
RESNET50_INLINE inline void sum_stem(const StemCall& call, int y, int x, __m512i (&sums)[kStemPixels][4]) {
    const int8_t* weights = call.stem->weights.as<int8_t>();
    const uint8_t* pixels = call.padded + size_t(2 * y) * kPaddedRowBytes + size_t(2 * x) * kImageChannels;
    __m512i acc[kStemPixels][4];  // its own array: `sums` would be written back at every step
    unroll<kStemPixels>([&](auto p) RESNET50_INLINE {
        unroll<4>([&](auto v) RESNET50_INLINE { acc[p][v] = _mm512_setzero_si512(); });
    });
    for (int ky = 0; ky < kStemKernel; ky++, pixels += kPaddedRowBytes)
        for (int quad = 0; quad < kStemQuads; quad++, weights += 256) {
            __m512i w[4];
            unroll<4>([&](auto v) RESNET50_INLINE { w[v] = _mm512_load_si512(weights + 64 * v); });
            unroll<kStemPixels>([&](auto p) RESNET50_INLINE {
                int32_t bytes;
                std::memcpy(&bytes, pixels + 4 * quad + 2 * kImageChannels * p, sizeof bytes);
                const __m512i input = _mm512_set1_epi32(bytes);
                unroll<4>([&](auto v) RESNET50_INLINE { acc[p][v] = _mm512_dpbusd_epi32(acc[p][v], input, w[v]); });
            });
        }
    unroll<kStemPixels>([&](auto p) RESNET50_INLINE { unroll<4>([&](auto v) RESNET50_INLINE { sums[p][v] = acc[p][v]; }); });
}

}  // namespace
}  // namespace resnet50
