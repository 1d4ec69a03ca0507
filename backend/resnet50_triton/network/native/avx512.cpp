// AVX-512 VBMI: sums by table lookup. Six activations of a pixel (12 bits) choose a table of 64 bytes that holds, for
// each of the 64 patterns of six weight bits, the sum of the activations whose bit is set. VPERMB looks up 64 output
// channels at once, 384 multiply-adds. See docs/engine.md for what else was measured.
// Over 400 lines, because the tiles, their epilogues and the stem must be compiled together to be inlined.
#include "kernels.h"

#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)

#include <immintrin.h>

#include <cstring>

#include "lines.h"
#include "shared.h"
#include "unroll.h"

namespace resnet50 {
namespace {

constexpr int kGroup = 6;          // activations a lookup
constexpr int kPairBytes = 3;      // two groups
constexpr int kMaxLookups = 14;    // a lookup gives at most 18, and 14 * 18 fits a byte
constexpr int kTables = 1 << (2 * kGroup);

struct Tables {
    alignas(64) uint8_t sums[kTables][64];
    Tables() {
        for (int codes = 0; codes < kTables; codes++)
            for (int weights = 0; weights < 64; weights++) {
                int sum = 0;
                for (int i = 0; i < kGroup; i++)
                    if (weights >> i & 1) sum += codes >> (2 * i) & 3;
                sums[codes][weights] = uint8_t(sum);
            }
    }
};
const Tables& tables() {
    static const Tables instance;
    return instance;
}

// The thresholds of a block's even channels, then of the odd ones, ascending. If all its channels are lines, these too,
// for the channels 4 * i + q in element i of row q.
template <int Levels>
struct alignas(64) Thresholds {
    int16_t steps[2][Levels][32];
    struct {
        int32_t offsets[4][16];
        int16_t slopes[4][16][2];  // for the pair of 16-bit values (P, A), or (A, P) in rows 2 and 3
        int32_t shifts[4][16];
    } lines;
    bool linear;
};

int groups(int channels) { return (channels + kGroup - 1) / kGroup; }

// Output channels computed together, in blocks of 64: wide layers share a table among four.
int blocks_together(const Conv& conv) {
    if (conv.ksize == 1 && conv.blocks() % 4 == 0) return 4;
    return conv.blocks() % 2 == 0 ? 2 : 1;
}

// The sums of one tile before thresholds. P of channel 2 * i + 1 is odd[i], that of 2 * i is total[i] - (odd[i] << 8):
// `total` takes the bytes in pairs as they are.
template <int Pixels, int Blocks>
struct Sums {
    __m512i total[Pixels][Blocks];
    __m512i odd[Pixels][Blocks];
};

// Where a tile finds its input: `rows[ky]` is the leftmost pixel of kernel row ky, `step` the bytes between pixels.
struct TileInput {
    const uint8_t* rows[3];
    size_t step;
    int groups;
    const uint8_t* weights;  // (ky, group, kx, block, 64)
};

// Taps is the kernel's size, 1 or 3. A table, once loaded, serves all kx: the pixel is in Taps windows of the tile.
template <int Pixels, int Blocks, int Taps>
__attribute__((noinline)) void sum_tile(const TileInput& in, Sums<Pixels, Blocks>& sums) {
    constexpr int kColumns = Pixels + Taps - 1;
    constexpr int kChunkPairs = kMaxLookups / Taps / 2;
    const uint8_t* table = tables().sums[0];
    const uint8_t* weights = in.weights;
    bool first = true;
    for (int ky = 0; ky < Taps; ky++) {
        const uint8_t* row = in.rows[ky];
        for (int left = in.groups; left > 0;) {
            __m512i acc[Pixels][Blocks];
            unroll<Pixels>([&](auto p) RESNET50_INLINE { unroll<Blocks>([&](auto b) RESNET50_INLINE { acc[p][b] = _mm512_setzero_si512(); }); });
            const auto look_up = [&](const uint8_t* codes, int shift_left, int shift_right) RESNET50_INLINE {
                __m512i w[Taps][Blocks];
                unroll<Taps>([&](auto k) RESNET50_INLINE {
                    unroll<Blocks>([&](auto b) RESNET50_INLINE { w[k][b] = _mm512_load_si512(weights + 64 * (k * Blocks + b)); });
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
                                acc[p][b] = _mm512_add_epi8(acc[p][b], _mm512_permutexvar_epi8(w[k][b], t));
                            });
                    });
                });
                weights += 64 * Taps * Blocks;
            };
            for (int pair = 0; pair < kChunkPairs && left > 0; pair++, left -= 2, row += kPairBytes) {
                look_up(row, 6, 0);
                if (left > 1) look_up(row, 0, 6);
            }
            unroll<Pixels>([&](auto p) RESNET50_INLINE {
                unroll<Blocks>([&](auto b) RESNET50_INLINE {
                    const __m512i odd = _mm512_srli_epi16(acc[p][b], 8);
                    sums.total[p][b] = first ? acc[p][b] : _mm512_add_epi16(sums.total[p][b], acc[p][b]);
                    sums.odd[p][b] = first ? odd : _mm512_add_epi16(sums.odd[p][b], odd);
                });
            });
            first = false;
        }
    }
}

// Counts the thresholds reached by 32 sums, by bisection: 4 comparisons instead of 15. t: ascending rows of 32.
RESNET50_INLINE inline __m512i count15(__m512i s, const __m512i (&t)[15]) {
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

RESNET50_INLINE inline __m512i count3(__m512i s, const __m512i (&t)[3]) {
    const __m512i one = _mm512_set1_epi16(1);
    __m512i count = _mm512_maskz_mov_epi16(_mm512_cmpge_epi16_mask(s, t[0]), one);
    count = _mm512_mask_add_epi16(count, _mm512_cmpge_epi16_mask(s, t[1]), count, one);
    return _mm512_mask_add_epi16(count, _mm512_cmpge_epi16_mask(s, t[2]), count, one);
}

RESNET50_INLINE inline __m512i count_input(__m512i values, const __m512i (&t)[3]) {
    const __m512i one = _mm512_set1_epi8(1);
    __m512i count = _mm512_maskz_mov_epi8(_mm512_cmpge_epu8_mask(values, t[0]), one);
    count = _mm512_mask_add_epi8(count, _mm512_cmpge_epu8_mask(values, t[1]), count, one);
    return _mm512_mask_add_epi8(count, _mm512_cmpge_epu8_mask(values, t[2]), count, one);
}

// values: 64 bytes of 0..3 -> 16 bytes of codes and their sum.
RESNET50_INLINE inline void store_codes(__m512i values, uint8_t* bits, uint8_t* sum) {
    const __m512i nibbles = _mm512_maddubs_epi16(values, _mm512_set1_epi16(0x0401));
    const __m512i bytes = _mm512_madd_epi16(nibbles, _mm512_set1_epi32(0x00100001));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bits), _mm512_cvtepi32_epi8(bytes));
    uint64_t words[2];
    std::memcpy(words, bits, sizeof words);
    constexpr uint64_t kHigh = 0xaaaaaaaaaaaaaaaa;
    *sum = uint8_t(_mm_popcnt_u64(words[0]) + _mm_popcnt_u64(words[1]) + _mm_popcnt_u64(words[0] & kHigh) +
                   _mm_popcnt_u64(words[1] & kHigh));
}

// P of the even channels of a block's 64.
template <int Pixels, int Blocks>
RESNET50_INLINE inline __m512i even_sums(const Sums<Pixels, Blocks>& sums, int pixel, int block) {
    return _mm512_sub_epi16(sums.total[pixel][block], _mm512_slli_epi16(sums.odd[pixel][block], 8));
}

// Levels of a block, by comparing: even channels of all pixels, then odd ones, so that thresholds stay in registers.
template <int Levels, int Pixels, int Blocks>
RESNET50_INLINE inline void count_steps(const Thresholds<Levels>& thresholds, const Sums<Pixels, Blocks>& sums, int block,
                                        const __m512i (&totals)[Pixels], __m512i (&values)[Pixels]) {
    unroll<2>([&](auto half) RESNET50_INLINE {
        __m512i t[Levels];
        unroll<Levels>([&](auto i) RESNET50_INLINE { t[i] = _mm512_load_si512(thresholds.steps[half][i]); });
        unroll<Pixels>([&](auto p) RESNET50_INLINE {
            const __m512i half_sums = half ? sums.odd[p][block] : even_sums(sums, p, block);
            const __m512i s = _mm512_sub_epi16(_mm512_add_epi16(half_sums, half_sums), totals[p]);
            __m512i count;
            if constexpr (Levels == 15)
                count = count15(s, t);
            else
                count = count3(s, t);
            values[p] = half ? _mm512_or_si512(_mm512_slli_epi16(count, 8), values[p]) : count;
        });
    });
}

// The same, by computing.
template <int Pixels, int Blocks>
RESNET50_INLINE inline void count_lines(const Thresholds<15>& thresholds, const Sums<Pixels, Blocks>& sums, int block,
                                        const __m512i (&totals)[Pixels], __m512i (&values)[Pixels]) {
    __m512i offsets[4], slopes[4], shifts[4];
    unroll<4>([&](auto q) RESNET50_INLINE {
        offsets[q] = _mm512_load_si512(thresholds.lines.offsets[q]);
        slopes[q] = _mm512_load_si512(thresholds.lines.slopes[q]);
        shifts[q] = _mm512_load_si512(thresholds.lines.shifts[q]);
    });
    const __m512i in_order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    constexpr __mmask32 kLow = 0x55555555, kHigh = 0xaaaaaaaa;
    unroll<Pixels>([&](auto p) RESNET50_INLINE {
        const __m512i even = even_sums(sums, p, block), odd = sums.odd[p][block];
        const __m512i pairs[4] = {
            _mm512_mask_mov_epi16(even, kHigh, totals[p]), _mm512_mask_mov_epi16(odd, kHigh, totals[p]),
            _mm512_mask_mov_epi16(even, kLow, totals[p]), _mm512_mask_mov_epi16(odd, kLow, totals[p])};
        __m512i levels[4];
        unroll<4>([&](auto q) RESNET50_INLINE {
            levels[q] = _mm512_srav_epi32(_mm512_dpwssd_epi32(offsets[q], pairs[q], slopes[q]), shifts[q]);
        });
        const __m512i low = _mm512_packs_epi32(levels[0], levels[1]), high = _mm512_packs_epi32(levels[2], levels[3]);
        const __m512i clamped = _mm512_min_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(15));
        values[p] = _mm512_shuffle_epi8(clamped, in_order);
    });
}

template <int Levels, int Pixels, int Blocks>
RESNET50_INLINE inline void emit_levels(const ConvCall& call, int y, int x, int first_block, const Sums<Pixels, Blocks>& sums,
                                        const __m512i (&totals)[Pixels]) {
    const int channels = call.conv->cout;
    for (int b = 0; b < Blocks; b++) {
        const int block = first_block + b;
        const auto& thresholds = call.conv->thresholds.as<Thresholds<Levels>>()[block];
        __m512i values[Pixels];
        if constexpr (Levels == 15) {
            if (thresholds.linear)
                count_lines(thresholds, sums, b, totals, values);
            else
                count_steps<15>(thresholds, sums, b, totals, values);
            const size_t at = call.out_pixel(y, x) * channels + size_t(block) * kBlock;
            if (call.emit == Emit::residual) {
                const uint8_t* shortcut = call.shortcut + at;
                unroll<Pixels>([&](auto p) RESNET50_INLINE {
                    const __m512i sum = _mm512_add_epi8(values[p], _mm512_loadu_si512(shortcut));
                    values[p] = _mm512_min_epu8(_mm512_subs_epu8(sum, _mm512_set1_epi8(8)), _mm512_set1_epi8(15));
                    shortcut += channels;
                });
            }
            uint8_t* levels = call.levels + at;
            unroll<Pixels>([&](auto p) RESNET50_INLINE {
                _mm512_storeu_si512(levels, values[p]);
                levels += channels;
            });
            if (!call.next) continue;
            __m512i next[3];
            unroll<3>([&](auto i) RESNET50_INLINE {
                next[i] = _mm512_loadu_si512(call.next + i * size_t(channels) + size_t(block) * kBlock);
            });
            unroll<Pixels>([&](auto p) RESNET50_INLINE { values[p] = count_input(values[p], next); });
        } else {
            count_steps<3>(thresholds, sums, b, totals, values);
        }
        uint8_t* bits = call.out.bits_at(y, x) + block * kBlockCodeBytes;
        uint8_t* sum = call.out.sums_at(y, x) + block;
        unroll<Pixels>([&](auto p) RESNET50_INLINE {
            store_codes(values[p], bits, sum);
            bits += call.out.pixel_bytes();
            sum += call.out.blocks();
        });
    }
}

template <int Pixels, int Blocks>
void emit_sums(const ConvCall& call, int y, int x, int first_block, const Sums<Pixels, Blocks>& sums,
               const __m512i (&totals)[Pixels]) {
    for (int p = 0; p < Pixels; p++)
        for (int b = 0; b < Blocks; b++) {
            alignas(64) uint16_t total[32], odd[32], window[32];
            _mm512_store_si512(total, sums.total[p][b]);
            _mm512_store_si512(odd, sums.odd[p][b]);
            _mm512_store_si512(window, totals[p]);
            int32_t* out = call.sums + call.out_pixel(y, x + p) * call.conv->cout + (first_block + b) * kBlock;
            for (int i = 0; i < kBlock; i++)
                out[i] = 2 * (i % 2 ? odd[i / 2] : uint16_t(total[i / 2] - (odd[i / 2] << 8))) - window[i / 2];
        }
}

template <int Pixels, int Blocks, int Taps>
void compute_tile(const ConvCall& call, const TileInput& in, int y, int x, int first_block) {
    Sums<Pixels, Blocks> sums;
    sum_tile<Pixels, Blocks, Taps>(in, sums);
    __m512i totals[Pixels];
    for (int p = 0; p < Pixels; p++) totals[p] = _mm512_set1_epi16(int16_t(window_total(call, y, x + p)));
    if (call.emit == Emit::sums)
        emit_sums(call, y, x, first_block, sums, totals);
    else if (call.emit == Emit::codes)
        emit_levels<3>(call, y, x, first_block, sums, totals);
    else
        emit_levels<15>(call, y, x, first_block, sums, totals);
}

// One output row of one group of blocks, in tiles of the given widths, each as often as it fits.
template <int Blocks, int Taps, int... Widths>
void compute_row(const ConvCall& call, int y, int group) {
    const Conv& conv = *call.conv;
    TileInput in;
    in.groups = groups(conv.cin);
    in.step = size_t(call.in.pixel_bytes()) * conv.stride;
    in.weights = conv.weights.data() + size_t(group) * Taps * in.groups * Taps * Blocks * 64;
    int x = 0;
    const auto tiles = [&](auto width) {
        for (; call.out_width - x >= width; x += width) {
            for (int ky = 0; ky < Taps; ky++)
                in.rows[ky] = call.in.bits_at(y * conv.stride + ky - conv.pad(), x * conv.stride - conv.pad());
            compute_tile<width, Blocks, Taps>(call, in, y, x, group * Blocks);
        }
    };
    (tiles(std::integral_constant<int, Widths>{}), ...);
}

template <int Levels>
void pack_thresholds(const ConvParams& params, Conv& conv) {
    const int limit = 3 * params.cin * conv.taps();
    conv.thresholds = Buffer(conv.blocks() * sizeof(Thresholds<Levels>));
    for (int block = 0; block < conv.blocks(); block++) {
        Thresholds<Levels>& packed = conv.thresholds.as<Thresholds<Levels>>()[block];
        packed.linear = true;
        for (int c = 0; c < kBlock; c++) {
            int16_t sorted[Levels];
            sorted_thresholds(params, block * kBlock + c, sorted);
            for (int i = 0; i < Levels; i++) packed.steps[c % 2][i][c / 2] = sorted[i];
            const std::optional<Line> line = fit_line(sorted, Levels, limit);
            packed.linear = packed.linear && line;
            if (!line) continue;
            // S = 2 * P - A; even channels are 16-bit values 0 and 2 of four, odd ones 1 and 3.
            const int q = c % 4;
            packed.lines.offsets[q][c / 4] = line->offset;
            packed.lines.shifts[q][c / 4] = line->shift;
            packed.lines.slopes[q][c / 4][q / 2] = int16_t(2 * line->slope);
            packed.lines.slopes[q][c / 4][1 - q / 2] = int16_t(-line->slope);
        }
    }
}

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

class Avx512Kernels final : public Kernels {
public:
    const char* name() const override { return "avx512"; }

    Conv pack(const ConvParams& params) const override {
        Conv conv{params.cin, params.cout, params.ksize, params.stride, params.levels, {}, {}};
        const int together = blocks_together(conv), per_pixel = groups(params.cin);
        conv.weights = Buffer(size_t(params.cout) * conv.taps() * per_pixel);
        uint8_t* out = conv.weights.data();
        for (int first = 0; first < params.cout; first += together * kBlock)
            for (int ky = 0; ky < params.ksize; ky++)
                for (int group = 0; group < per_pixel; group++)
                    for (int kx = 0; kx < params.ksize; kx++)
                        for (int c = first; c < first + together * kBlock; c++, out++)
                            for (int i = 0; i < kGroup && group * kGroup + i < params.cin; i++)
                                *out |= uint8_t(params.weight(c, ky * params.ksize + kx, group * kGroup + i) << i);
        if (params.levels == 3) pack_thresholds<3>(params, conv);
        if (params.levels == 15) pack_thresholds<15>(params, conv);
        return conv;
    }

    // Layout: (7, 6, 64, 4): the four bytes that VPDPBUSD adds up side by side.
    Stem pack_stem(const int8_t* weights, const int32_t* thresholds) const override {
        Stem stem{Buffer(kStemKernel * kStemQuads * kStemChannels * 4), Buffer(3 * kStemChannels * sizeof(int32_t))};
        for (int c = 0; c < kStemChannels; c++) {
            for (int ky = 0; ky < kStemKernel; ky++)
                for (int i = 0; i < kStemRowBytes; i++)
                    stem.weights.as<int8_t>()[((ky * kStemQuads + i / 4) * kStemChannels + c) * 4 + i % 4] =
                        weights[(c * kStemKernel + ky) * kStemRowBytes + i];
            for (int i = 0; i < 3; i++) stem.thresholds.as<int32_t>()[i * kStemChannels + c] = thresholds[3 * c + i];
        }
        return stem;
    }

    int conv_items(const ConvCall& call) const override {
        return call.out_height * (call.conv->blocks() / blocks_together(*call.conv));
    }

    void conv(const ConvCall& call, int begin, int end) const override {
        const int together = blocks_together(*call.conv);
        for (int item = begin; item < end; item++) {
            const int y = item % call.out_height, group = item / call.out_height;
            if (call.conv->ksize == 3)
                together == 2 ? compute_row<2, 3, 7, 1>(call, y, group) : compute_row<1, 3, 14, 7, 1>(call, y, group);
            else if (together == 4)
                compute_row<4, 1, 4, 3, 2, 1>(call, y, group);
            else if (together == 2)
                compute_row<2, 1, 8, 4, 2, 1>(call, y, group);
            else
                compute_row<1, 1, 14, 7, 1>(call, y, group);
        }
    }

    void stem(const StemCall& call, int begin, int end) const override {
        __m512i acc[kStemPixels][4];
        if (call.sums) {
            for (int y = begin; y < end; y++)
                for (int x = 0; x < kStemSize; x += kStemPixels) {
                    sum_stem(call, y, x, acc);
                    for (int p = 0; p < kStemPixels; p++)
                        for (int v = 0; v < 4; v++)
                            _mm512_storeu_si512(call.sums + (size_t(y) * kStemSize + x + p) * kStemChannels + 16 * v, acc[p][v]);
                }
            return;
        }
        const int32_t* t = call.stem->thresholds.as<int32_t>();
        stem_rows(call, begin, end, [&](int y, uint8_t* levels) {
            const __m512i one = _mm512_set1_epi32(1);
            for (int x = 0; x < kStemSize; x += kStemPixels) {
                sum_stem(call, y, x, acc);
                unroll<4>([&](auto v) RESNET50_INLINE {
                    const __m512i t0 = _mm512_load_si512(t + 16 * v), t1 = _mm512_load_si512(t + 64 + 16 * v);
                    const __m512i t2 = _mm512_load_si512(t + 128 + 16 * v);
                    unroll<kStemPixels>([&](auto p) RESNET50_INLINE {
                        __m512i count = _mm512_maskz_mov_epi32(_mm512_cmpge_epi32_mask(acc[p][v], t0), one);
                        count = _mm512_mask_add_epi32(count, _mm512_cmpge_epi32_mask(acc[p][v], t1), count, one);
                        count = _mm512_mask_add_epi32(count, _mm512_cmpge_epi32_mask(acc[p][v], t2), count, one);
                        _mm_store_si128(reinterpret_cast<__m128i*>(levels + (x + p) * kStemChannels + 16 * v),
                                        _mm512_cvtepi32_epi8(count));
                    });
                });
            }
        });
    }

    void fully_connected(const uint16_t* features, int images, const int8_t* weights, const int32_t* bias, int32_t* out,
                         int begin, int end) const override {
        for (int c = begin; c < end; c++)
            for (int n = 0; n < images; n++) {
                __m512i sum = _mm512_setzero_si512();
                for (int k = 0; k < kFeatures; k += 32) {
                    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + size_t(c) * kFeatures + k));
                    sum = _mm512_dpwssd_epi32(sum, _mm512_loadu_si512(features + size_t(n) * kFeatures + k),
                                              _mm512_cvtepi8_epi16(bytes));
                }
                out[size_t(n) * kClasses + c] = bias[c] + _mm512_reduce_add_epi32(sum);
            }
    }
};

}  // namespace

const Kernels* avx512_kernels() {
    static const Avx512Kernels kernels;
    const bool usable = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
                        __builtin_cpu_supports("popcnt");
    return usable ? &kernels : nullptr;
}

}  // namespace resnet50

#else

namespace resnet50 {
const Kernels* avx512_kernels() { return nullptr; }
}  // namespace resnet50

#endif
