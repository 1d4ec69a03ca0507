// AVX-512: from a tile's sums to what its layer hands on. Included by avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstring>
#include <optional>

#include "avx512_sums.h"
#include "lines.h"
#include "shared.h"

namespace resnet50 {
namespace {

// Which channel of a block's 64 a byte of its vectors holds. Sums come apart into even and odd bytes. With three
// thresholds the even bytes are the first 32 channels, so that comparisons give masks in the channels' order; with 15 the
// order is such that the packing of four vectors of 32-bit levels brings the channels into order.
inline int channel_of_lane(int levels, int lane) {
    const int odd = lane % 2, i = lane / 2;
    if (levels != 15) return 32 * odd + i;
    return i / 8 * 16 + odd * 8 + i % 2 * 4 + i % 8 / 2;
}

// The thresholds of the channels in a block's even bytes, then in the odd ones, ascending. If all its channels are lines,
// these too: row 2 * odd + i % 2, element i / 2 for the channel in 16-bit element i of the even or the odd sums.
template <int Levels>
struct alignas(64) Thresholds {
    int16_t steps[2][Levels][32];
    struct {
        int32_t offsets[4][16];
        int16_t slopes[4][16][2];  // for the pair of 16-bit values (P, A), or (A, P) in rows 1 and 3
        int32_t shifts[4][16];
    } lines;
    bool linear;
};

template <int Levels>
Buffer pack_thresholds(const ConvParams& params) {
    const int limit = kLevelMax * params.cin * params.ksize * params.ksize, blocks = params.cout / kBlock;
    Buffer thresholds(blocks * sizeof(Thresholds<Levels>));
    for (int block = 0; block < blocks; block++) {
        Thresholds<Levels>& packed = thresholds.as<Thresholds<Levels>>()[block];
        packed.linear = true;
        for (int lane = 0; lane < kBlock; lane++) {
            const int odd = lane % 2, i = lane / 2, row = 2 * odd + i % 2;
            int16_t sorted[Levels];
            sorted_thresholds(params, block * kBlock + channel_of_lane(Levels, lane), sorted);
            for (int level = 0; level < Levels; level++) packed.steps[odd][level][i] = sorted[level];
            const std::optional<Line> line = fit_line(sorted, Levels, limit);
            packed.linear = packed.linear && line;
            if (!line) continue;
            packed.lines.offsets[row][i / 2] = line->offset;
            packed.lines.shifts[row][i / 2] = line->shift;
            packed.lines.slopes[row][i / 2][i % 2] = int16_t(2 * line->slope);  // S = 2 * P - A
            packed.lines.slopes[row][i / 2][1 - i % 2] = int16_t(-line->slope);
        }
    }
    return thresholds;
}

// S of 32 channels.
RESNET50_INLINE inline __m512i signed_sums(__m512i sums, __m512i total) {
    return _mm512_sub_epi16(_mm512_add_epi16(sums, sums), total);
}

// Counts the thresholds reached by 32 sums, by bisection: 4 comparisons instead of 15. t: ascending rows of 32.
RESNET50_INLINE inline __m512i count15(__m512i s, const __m512i* t) {
    const __mmask32 eight = _mm512_cmpge_epi16_mask(s, t[7]);
    const __mmask32 four = _mm512_cmpge_epi16_mask(s, _mm512_mask_blend_epi16(eight, t[3], t[11]));
    const __m512i low2 = _mm512_mask_blend_epi16(four, t[1], t[5]), high2 = _mm512_mask_blend_epi16(four, t[9], t[13]);
    const __mmask32 two = _mm512_cmpge_epi16_mask(s, _mm512_mask_blend_epi16(eight, low2, high2));
    const __m512i q0 = _mm512_mask_blend_epi16(two, t[0], t[2]), q1 = _mm512_mask_blend_epi16(two, t[4], t[6]);
    const __m512i q2 = _mm512_mask_blend_epi16(two, t[8], t[10]), q3 = _mm512_mask_blend_epi16(two, t[12], t[14]);
    const __m512i h0 = _mm512_mask_blend_epi16(four, q0, q1), h1 = _mm512_mask_blend_epi16(four, q2, q3);
    const __mmask32 one = _mm512_cmpge_epi16_mask(s, _mm512_mask_blend_epi16(eight, h0, h1));
    __m512i count = _mm512_maskz_set1_epi16(eight, 8);
    count = _mm512_mask_add_epi16(count, four, count, _mm512_set1_epi16(4));
    count = _mm512_mask_add_epi16(count, two, count, _mm512_set1_epi16(2));
    return _mm512_mask_add_epi16(count, one, count, _mm512_set1_epi16(1));
}

// Levels 0..15 of a block's channels in order, by comparing.
RESNET50_INLINE inline __m512i levels_by_steps(const Thresholds<15>& thresholds, const WideSums& sums, __m512i total) {
    alignas(64) static const auto lanes = [] {
        std::array<uint8_t, kBlock> of_channel{};
        for (int lane = 0; lane < kBlock; lane++) of_channel[channel_of_lane(15, lane)] = uint8_t(lane);
        return of_channel;
    }();
    const __m512i* steps = reinterpret_cast<const __m512i*>(thresholds.steps);
    const __m512i even = count15(signed_sums(sums.even, total), steps);
    const __m512i odd = count15(signed_sums(sums.odd, total), steps + 15);
    const __m512i in_lanes = _mm512_or_si512(_mm512_slli_epi16(odd, 8), even);
    return _mm512_permutexvar_epi8(_mm512_load_si512(lanes.data()), in_lanes);
}

// The same, by computing.
struct Lines {
    __m512i offsets[4], slopes[4], shifts[4];
    explicit Lines(const Thresholds<15>& thresholds) {
        for (int row = 0; row < 4; row++) {
            offsets[row] = _mm512_load_si512(thresholds.lines.offsets[row]);
            slopes[row] = _mm512_load_si512(thresholds.lines.slopes[row]);
            shifts[row] = _mm512_load_si512(thresholds.lines.shifts[row]);
        }
    }
};
RESNET50_INLINE inline __m512i levels_by_lines(const Lines& lines, const WideSums& sums, __m512i total) {
    constexpr __mmask32 kLow = 0x55555555, kHigh = 0xaaaaaaaa;
    const __m512i pairs[4] = {_mm512_mask_mov_epi16(sums.even, kHigh, total), _mm512_mask_mov_epi16(sums.even, kLow, total),
                              _mm512_mask_mov_epi16(sums.odd, kHigh, total), _mm512_mask_mov_epi16(sums.odd, kLow, total)};
    __m512i levels[4];
    unroll<4>([&](auto row) RESNET50_INLINE {
        levels[row] = _mm512_srav_epi32(_mm512_dpwssd_epi32(lines.offsets[row], pairs[row], lines.slopes[row]), lines.shifts[row]);
    });
    const __m512i low = _mm512_packs_epi32(levels[0], levels[1]), high = _mm512_packs_epi32(levels[2], levels[3]);
    return _mm512_min_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(15));
}

// A tile's sums and where they go.
struct Tile {
    const ConvCall& call;
    const TileSums& sums;
    const int16_t* totals;  // A of each pixel
    int y, x, pixels, first_block, blocks;
};

// The sums of one block of a tile, pixel after pixel. Chunks is their number, or 0 for any. What a loop over pixels needs
// is kept here by value: stores of bytes could change anything in memory, as far as the compiler knows.
template <int Chunks>
class BlockSums {
public:
    BlockSums(const Tile& tile, int block)
        : bytes_(&tile.sums.bytes[0][block]), sums_(&tile.sums), totals_(tile.totals), step_(tile.blocks), vector_(block) {}

    // Calls take(sums, total) for the next pixel.
    template <typename Take>
    RESNET50_INLINE void next(const Take& take) {
        const WideSums wide = Chunks ? widen<Chunks>(bytes_) : widen_all(*sums_, vector_);
        __m512i total = _mm512_set1_epi16(*totals_++);
        asm("" : "+v"(total));  // or it is broadcast again at each use
        bytes_ += step_;
        vector_ += step_;
        take(wide, total);
    }

private:
    const __m512i* bytes_;
    const TileSums* sums_;
    const int16_t* totals_;
    const size_t step_;
    int vector_;
};

// reached[i]: which of a block's channels reach threshold i of three ascending ones, one bit each -> codes and their sum.
RESNET50_INLINE inline void store_codes(const uint64_t (&reached)[3], uint8_t* bits, uint8_t* sum) {
    constexpr uint64_t kLow = 0x5555555555555555, kHigh = 0xaaaaaaaaaaaaaaaa;
    const uint64_t low = reached[0] ^ reached[1] ^ reached[2], high = reached[1];
    const uint64_t words[2] = {_pdep_u64(low, kLow) | _pdep_u64(high, kHigh),
                               _pdep_u64(low >> 32, kLow) | _pdep_u64(high >> 32, kHigh)};
    std::memcpy(bits, words, sizeof words);
    *sum = uint8_t(_mm_popcnt_u64(low) + 2 * _mm_popcnt_u64(high));
}

// Where the codes of one block go.
class BlockCodes {
public:
    BlockCodes(const Tile& tile, int block)
        : bits_(tile.call.out.bits_at(tile.y, tile.x) + block * kBlockCodeBytes),
          sum_(tile.call.out.sums_at(tile.y, tile.x) + block),
          bits_step_(tile.call.out.pixel_bytes()),
          sum_step_(tile.call.out.blocks()) {}

    RESNET50_INLINE void store(const uint64_t (&reached)[3]) {
        store_codes(reached, bits_, sum_);
        bits_ += bits_step_;
        sum_ += sum_step_;
    }

private:
    uint8_t *bits_, *sum_;
    const size_t bits_step_, sum_step_;
};

template <int Chunks>
void emit_codes(const Tile& tile) {
    const int pixels = tile.pixels;
    for (int b = 0; b < tile.blocks; b++) {
        const auto& thresholds = tile.call.conv->thresholds.as<Thresholds<3>>()[tile.first_block + b];
        __m512i even[3], odd[3];
        for (int i = 0; i < 3; i++) {
            even[i] = _mm512_load_si512(thresholds.steps[0][i]);
            odd[i] = _mm512_load_si512(thresholds.steps[1][i]);
        }
        BlockSums<Chunks> sums(tile, b);
        BlockCodes codes(tile, tile.first_block + b);
        for (int p = 0; p < pixels; p++)
            sums.next([&](const WideSums& wide, __m512i total) RESNET50_INLINE {
                const __m512i even_sums = signed_sums(wide.even, total), odd_sums = signed_sums(wide.odd, total);
                uint64_t reached[3];
                for (int i = 0; i < 3; i++)
                    reached[i] = _mm512_kunpackd(_mm512_cmpge_epi16_mask(odd_sums, odd[i]), _mm512_cmpge_epi16_mask(even_sums, even[i]));
                codes.store(reached);
            });
    }
}

// One block of a tile with 15 thresholds. level(sums, total) gives the levels of its channels in order.
template <int Chunks, typename Level>
RESNET50_INLINE inline void emit_block(const Tile& tile, int b, const Level& level) {
    const ConvCall& call = tile.call;
    const size_t channels = call.conv->cout, first = size_t(tile.first_block + b) * kBlock;
    const size_t at = call.out_pixel(tile.y, tile.x) * channels + first;
    const int pixels = tile.pixels;
    uint8_t* levels = call.levels + at;
    BlockSums<Chunks> sums(tile, b);
    if (call.emit == Emit::levels) {
        for (int p = 0; p < pixels; p++, levels += channels)
            sums.next([&](const WideSums& wide, __m512i total) RESNET50_INLINE { _mm512_storeu_si512(levels, level(wide, total)); });
        return;
    }
    const uint8_t* shortcut = call.shortcut + at;
    const auto add_shortcut = [&]() RESNET50_INLINE {
        __m512i result;
        sums.next([&](const WideSums& wide, __m512i total) RESNET50_INLINE {
            const __m512i sum = _mm512_add_epi8(level(wide, total), _mm512_loadu_si512(shortcut));
            result = _mm512_min_epu8(_mm512_subs_epu8(sum, _mm512_set1_epi8(8)), _mm512_set1_epi8(15));
        });
        _mm512_storeu_si512(levels, result);
        shortcut += channels;
        levels += channels;
        return result;
    };
    if (!call.next) {
        for (int p = 0; p < pixels; p++) add_shortcut();
        return;
    }
    __m512i next[3];
    for (int i = 0; i < 3; i++) next[i] = _mm512_loadu_si512(call.next + i * channels + first);
    BlockCodes codes(tile, tile.first_block + b);
    for (int p = 0; p < pixels; p++) {
        const __m512i values = add_shortcut();
        uint64_t reached[3];
        for (int i = 0; i < 3; i++) reached[i] = _mm512_cmpge_epu8_mask(values, next[i]);
        codes.store(reached);
    }
}

template <int Chunks>
void emit_levels(const Tile& tile) {
    for (int b = 0; b < tile.blocks; b++) {
        const auto& thresholds = tile.call.conv->thresholds.as<Thresholds<15>>()[tile.first_block + b];
        if (thresholds.linear) {
            const Lines lines(thresholds);
            emit_block<Chunks>(tile, b, [&](const WideSums& sums, __m512i total) RESNET50_INLINE {
                return levels_by_lines(lines, sums, total);
            });
        } else {
            emit_block<Chunks>(tile, b, [&](const WideSums& sums, __m512i total) RESNET50_INLINE {
                return levels_by_steps(thresholds, sums, total);
            });
        }
    }
}

inline void emit_sums(const Tile& tile) {
    const ConvCall& call = tile.call;
    for (int p = 0; p < tile.pixels; p++)
        for (int b = 0; b < tile.blocks; b++) {
            const WideSums wide = widen_all(tile.sums, p * tile.blocks + b);
            uint16_t sums[2][32];
            _mm512_storeu_si512(sums[0], wide.even);
            _mm512_storeu_si512(sums[1], wide.odd);
            int32_t* out = call.sums + call.out_pixel(tile.y, tile.x + p) * call.conv->cout + (tile.first_block + b) * kBlock;
            for (int lane = 0; lane < kBlock; lane++)
                out[channel_of_lane(call.conv->levels, lane)] = 2 * sums[lane % 2][lane / 2] - tile.totals[p];
        }
}

inline void emit(const Tile& tile) {
    const int chunks = tile.sums.widened ? 0 : tile.sums.chunks;
    if (tile.call.emit == Emit::sums)
        emit_sums(tile);
    else if (tile.call.emit == Emit::codes)
        chunks == 1 ? emit_codes<1>(tile) : chunks == 2 ? emit_codes<2>(tile) : emit_codes<0>(tile);
    else
        chunks == 1 ? emit_levels<1>(tile) : chunks == 2 ? emit_levels<2>(tile) : emit_levels<0>(tile);
}

}  // namespace
}  // namespace resnet50
