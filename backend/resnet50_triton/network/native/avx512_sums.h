// AVX-512 VBMI: sums by table lookup. Six activations of a pixel (12 bits) choose a table of 64 bytes that holds, for
// each of the 64 patterns of six weight bits, the sum of the activations whose bit is set. VPERMB looks up 64 output
// channels at once, 384 multiply-adds. See docs/engine.md for what else was measured. Included by avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "layers.h"
#include "shared.h"
#include "table_sums.h"
#include "unroll.h"

namespace resnet50 {
namespace {

constexpr int kGroup = 6;       // activations a lookup
constexpr int kPairBytes = 3;   // two groups
constexpr int kTables = 1 << (2 * kGroup);
struct Tables {
    alignas(64) uint8_t sums[kTables][64];
    Tables() { fill_tables<kGroup>(sums); }
};
const Tables& tables() {
    static const Tables instance;
    return instance;
}

int groups(int channels) { return (channels + kGroup - 1) / kGroup; }

// Output channels computed together, in blocks of 64: wide layers share a table among four.
int blocks_together(const Conv& conv) {
    if (conv.ksize == 1 && conv.blocks() % 4 == 0) return 4;
    return conv.blocks() % 2 == 0 ? 2 : 1;
}

// A table serves the weights of all kx.
int chunk_pairs(const ConvParams& params) {
    return longest_chunk(params, params.cin, 2 * kGroup, params.ksize, [&](int channel, int ky, int i) {
        int ones = 0;
        for (int kx = 0; kx < params.ksize; kx++) ones += params.weight(channel, ky * params.ksize + kx, i);
        return ones;
    });
}

constexpr int kMaxVectors = 20;  // of a tile's sums: pixels times blocks
constexpr int kMaxChunks = 8;    // whose byte sums are kept apart: 10 KB of the first cache

// The sums P of one tile; vector i is pixel i / blocks, block i % blocks. The byte sums of the last chunks stay as they
// are, and what reads them widens them in its registers. Those of chunks before are in `total`, which takes the bytes in
// pairs as they are, and in `odd`: P of an odd byte is odd, that of the even byte before it is total - (odd << 8).
struct TileSums {
    __m512i bytes[kMaxChunks][kMaxVectors];
    __m512i total[kMaxVectors];
    __m512i odd[kMaxVectors];
    int chunks;
    bool widened;  // total and odd hold something
};

struct WideSums {
    __m512i even, odd;  // P of 32 channels each, as 16 bits
};

RESNET50_INLINE inline WideSums even_and_odd(__m512i total, __m512i odd) {
    return {_mm512_sub_epi16(total, _mm512_slli_epi16(odd, 8)), odd};
}

// Of a vector whose byte sums are all in `Chunks` chunks; bytes: those of the first.
template <int Chunks>
RESNET50_INLINE inline WideSums widen(const __m512i* bytes) {
    __m512i total = *bytes, odd = _mm512_srli_epi16(total, 8);
    if (Chunks == 1) return {_mm512_and_si512(total, _mm512_set1_epi16(kByteMax)), odd};
    for (int chunk = 1; chunk < Chunks; chunk++) {
        total = _mm512_add_epi16(total, bytes[chunk * kMaxVectors]);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(bytes[chunk * kMaxVectors], 8));
    }
    return even_and_odd(total, odd);
}

RESNET50_INLINE inline WideSums widen_all(const TileSums& sums, int vector) {
    __m512i total = sums.bytes[0][vector], odd = _mm512_srli_epi16(total, 8);
    if (sums.widened) {
        total = _mm512_add_epi16(total, sums.total[vector]);
        odd = _mm512_add_epi16(odd, sums.odd[vector]);
    }
    for (int chunk = 1; chunk < sums.chunks; chunk++) {
        total = _mm512_add_epi16(total, sums.bytes[chunk][vector]);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(sums.bytes[chunk][vector], 8));
    }
    return even_and_odd(total, odd);
}

// Makes room for more chunks.
inline void fold_chunks(TileSums& sums, int vectors) {
    for (int i = 0; i < vectors; i++) {
        __m512i total = _mm512_setzero_si512(), odd = total;
        if (sums.widened) total = sums.total[i], odd = sums.odd[i];
        for (int chunk = 0; chunk < sums.chunks; chunk++) {
            total = _mm512_add_epi16(total, sums.bytes[chunk][i]);
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16(sums.bytes[chunk][i], 8));
        }
        sums.total[i] = total;
        sums.odd[i] = odd;
    }
    sums.chunks = 0;
    sums.widened = true;
}

// Where a tile finds its input: `rows[ky]` is the leftmost pixel of kernel row ky, `step` the bytes between pixels.
struct TileInput {
    const uint8_t* rows[3];
    size_t step;
    int groups;
    int chunk_pairs;
    const uint8_t* weights;  // (ky, group, kx, block, 64)
};

// Taps is the kernel's size, 1 or 3. A table, once loaded, serves all kx: the pixel is in Taps windows of the tile.
template <int Pixels, int Blocks, int Taps>
__attribute__((noinline)) void sum_tile(const TileInput& in, TileSums& sums) {
    constexpr int kColumns = Pixels + Taps - 1;
    static_assert(Pixels <= kMaxTilePixels && Pixels * Blocks <= kMaxVectors);
    const uint8_t* table = tables().sums[0];
    const uint8_t* weights = in.weights;
    sums.chunks = 0;
    sums.widened = false;
    for (int ky = 0; ky < Taps; ky++) {
        const uint8_t* row = in.rows[ky];
        for (int left = in.groups; left > 0;) {
            if (sums.chunks == kMaxChunks) fold_chunks(sums, Pixels * Blocks);
            __m512i acc[Pixels][Blocks];
            const auto look_up = [&](auto first, const uint8_t* codes, int shift_left, int shift_right) RESNET50_INLINE {
                __m512i w[Taps][Blocks];
                unroll<Taps>([&](auto k) RESNET50_INLINE {
                    unroll<Blocks>([&](auto b) RESNET50_INLINE {
                        w[k][b] = _mm512_load_si512(weights + 64 * (k * Blocks + b));
                        asm volatile("" : "+v"(w[k][b]));  // or GCC loads it again at each use, to save registers
                    });
                });
                unroll<kColumns>([&](auto column) RESNET50_INLINE {
                    uint32_t bits;
                    std::memcpy(&bits, codes, sizeof bits);
                    codes += in.step;
                    const uint32_t offset = ((bits << shift_left) >> shift_right) & (kTables - 1) * 64;
                    const __m512i t = _mm512_load_si512(table + offset);
                    unroll<Taps>([&](auto k) RESNET50_INLINE {
                        constexpr int p = column - k;
                        if constexpr (p >= 0 && p < Pixels)
                            unroll<Blocks>([&](auto b) RESNET50_INLINE {
                                const __m512i found = _mm512_permutexvar_epi8(w[k][b], t);
                                acc[p][b] = first && k == 0 ? found : _mm512_add_epi8(acc[p][b], found);
                            });
                    });
                });
                weights += 64 * Taps * Blocks;
            };
            look_up(std::true_type{}, row, 6, 0);
            if (left > 1) look_up(std::false_type{}, row, 0, 6);
            left -= 2;
            row += kPairBytes;
            for (int pair = 1; pair < in.chunk_pairs && left > 0; pair++, left -= 2, row += kPairBytes) {
                look_up(std::false_type{}, row, 6, 0);
                if (left > 1) look_up(std::false_type{}, row, 0, 6);
            }
            unroll<Pixels>([&](auto p) RESNET50_INLINE {
                unroll<Blocks>([&](auto b) RESNET50_INLINE { sums.bytes[sums.chunks][p * Blocks + b] = acc[p][b]; });
            });
            sums.chunks++;
        }
    }
}

}  // namespace
}  // namespace resnet50
