// AVX2: sums by table lookup. Four activations of a pixel are a byte of its codes, and choose a table of 16 bytes that
// holds, for each pattern of four weight bits, the sum of the activations whose bit is set. VPSHUFB looks up 32 output
// channels at once, 128 multiply-adds.
#include "kernels.h"

#if defined(__AVX2__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "lines.h"
#include "lookup.h"
#include "shared.h"
#include "unroll.h"

namespace resnet50 {
namespace {

constexpr int kVectors = 2;  // of 32 channels: a block
constexpr int kPixels = 6;   // of a tile: 12 sums, 2 vectors of weights, a table and what it gives fill the 16 registers

// The sums of a tile before thresholds. P of channel 2 * i + 1 is odd[i], that of 2 * i is total[i] - (odd[i] << 8).
struct Sums {
    __m256i total[kPixels][kVectors];
    __m256i odd[kPixels][kVectors];
};

template <int Pixels>
__attribute__((noinline)) void sum_tile(const LookupInput& in, Sums& sums) {
    const uint8_t* table = lookup_tables().sums[0];
    const uint8_t* weights = in.weights;
    bool first = true;
    for (int ky = 0; ky < in.ksize; ky++) {
        const uint8_t* row = in.rows[ky];
        for (int left = in.groups; left > 0; left -= in.chunk) {
            __m256i acc[Pixels][kVectors];
            const auto look_up = [&](auto is_first) RESNET50_INLINE {
                __m256i w[kVectors];
                unroll<kVectors>([&](auto v) RESNET50_INLINE {
                    w[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights) + v);
                    asm volatile("" : "+x"(w[v]));  // or GCC loads it again at each use
                });
                unroll<Pixels>([&](auto p) RESNET50_INLINE {
                    const __m128i* entry = reinterpret_cast<const __m128i*>(table + size_t(row[p * in.step]) * kLookupTable);
                    const __m256i t = _mm256_broadcastsi128_si256(_mm_load_si128(entry));
                    unroll<kVectors>([&](auto v) RESNET50_INLINE {
                        const __m256i found = _mm256_shuffle_epi8(t, w[v]);
                        acc[p][v] = is_first ? found : _mm256_add_epi8(acc[p][v], found);
                    });
                });
                row++;
                weights += kBlock;
            };
            look_up(std::true_type{});
            for (int group = 1; group < std::min(left, in.chunk); group++) look_up(std::false_type{});
            unroll<Pixels>([&](auto p) RESNET50_INLINE {
                unroll<kVectors>([&](auto v) RESNET50_INLINE {
                    const __m256i odd = _mm256_srli_epi16(acc[p][v], 8);
                    sums.total[p][v] = first ? acc[p][v] : _mm256_add_epi16(sums.total[p][v], acc[p][v]);
                    sums.odd[p][v] = first ? odd : _mm256_add_epi16(sums.odd[p][v], odd);
                });
            });
            first = false;
        }
    }
}

// P of the even channels of 32.
RESNET50_INLINE inline __m256i even_sums(const Sums& sums, int pixel, int vector) {
    return _mm256_sub_epi16(sums.total[pixel][vector], _mm256_slli_epi16(sums.odd[pixel][vector], 8));
}

// The thresholds of a block, less one: of each vector's even channels, then of its odd ones, ascending. If all the block's
// channels are lines, these too: channel 4 * i + q of a vector is in element i of row q.
template <int Levels>
struct alignas(32) Thresholds {
    int16_t below[kVectors][Levels][2][16];
    struct {
        int32_t offsets[4][8];
        int16_t slopes[4][8][2];  // for the pair of 16-bit values (P, A), or (A, P) in rows 2 and 3
        int32_t shifts[4][8];
    } lines[kVectors];
    bool linear;
};

template <int Levels>
Buffer pack_thresholds(const ConvParams& params) {
    const int limit = kLevelMax * params.cin * params.ksize * params.ksize, blocks = params.cout / kBlock;
    Buffer thresholds(blocks * sizeof(Thresholds<Levels>));
    for (int block = 0; block < blocks; block++) {
        Thresholds<Levels>& packed = thresholds.as<Thresholds<Levels>>()[block];
        packed.linear = true;
        for (int c = 0; c < kBlock; c++) {
            const int v = c / 32, q = c % 4, i = c % 32 / 4;
            int16_t sorted[Levels];
            sorted_thresholds(params, block * kBlock + c, sorted);
            for (int level = 0; level < Levels; level++)
                packed.below[v][level][c % 2][c % 32 / 2] = int16_t(sorted[level] - 1);
            const std::optional<Line> line = fit_line(sorted, Levels, limit);
            packed.linear = packed.linear && line;
            if (!line) continue;
            packed.lines[v].offsets[q][i] = line->offset;
            packed.lines[v].shifts[q][i] = line->shift;
            packed.lines[v].slopes[q][i][q / 2] = int16_t(2 * line->slope);  // S = 2 * P - A
            packed.lines[v].slopes[q][i][1 - q / 2] = int16_t(-line->slope);
        }
    }
    return thresholds;
}

RESNET50_INLINE inline __m256i load(const void* from) { return _mm256_load_si256(static_cast<const __m256i*>(from)); }

// Levels of the channels of one vector, by comparing.
template <int Levels>
RESNET50_INLINE inline __m256i count_levels(const Thresholds<Levels>& thresholds, int vector, __m256i even, __m256i odd, __m256i total) {
    even = _mm256_sub_epi16(_mm256_add_epi16(even, even), total);
    odd = _mm256_sub_epi16(_mm256_add_epi16(odd, odd), total);
    __m256i even_count = _mm256_setzero_si256(), odd_count = even_count;  // negative: comparisons give -1
    for (int i = 0; i < Levels; i++) {
        even_count = _mm256_add_epi16(even_count, _mm256_cmpgt_epi16(even, load(thresholds.below[vector][i][0])));
        odd_count = _mm256_add_epi16(odd_count, _mm256_cmpgt_epi16(odd, load(thresholds.below[vector][i][1])));
    }
    const __m256i negative = _mm256_add_epi16(even_count, _mm256_slli_epi16(odd_count, 8));
    return _mm256_sub_epi16(_mm256_setzero_si256(), negative);
}

// The same, by computing.
RESNET50_INLINE inline __m256i levels_by_lines(const Thresholds<15>& thresholds, int vector, __m256i even, __m256i odd, __m256i total) {
    const auto& lines = thresholds.lines[vector];
    constexpr int kLow = 0x55, kHigh = 0xaa;
    const __m256i pairs[4] = {_mm256_blend_epi16(even, total, kHigh), _mm256_blend_epi16(odd, total, kHigh),
                              _mm256_blend_epi16(even, total, kLow), _mm256_blend_epi16(odd, total, kLow)};
    __m256i levels[4];
    unroll<4>([&](auto q) RESNET50_INLINE {
        const __m256i scaled = _mm256_add_epi32(load(lines.offsets[q]), _mm256_madd_epi16(pairs[q], load(lines.slopes[q])));
        levels[q] = _mm256_srav_epi32(scaled, load(lines.shifts[q]));
    });
    const __m256i low = _mm256_packs_epi32(levels[0], levels[1]), high = _mm256_packs_epi32(levels[2], levels[3]);
    const __m256i clamped = _mm256_min_epu8(_mm256_packus_epi16(low, high), _mm256_set1_epi8(15));
    const __m128i in_order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm256_shuffle_epi8(clamped, _mm256_broadcastsi128_si256(in_order));
}

RESNET50_INLINE inline __m256i count_input(__m256i values, const uint8_t* thresholds, int channels) {
    __m256i count = _mm256_setzero_si256();
    for (int i = 0; i < 3; i++) {
        const __m256i t = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(thresholds + size_t(i) * channels));
        count = _mm256_sub_epi8(count, _mm256_cmpeq_epi8(_mm256_max_epu8(values, t), values));
    }
    return count;
}

// values: 64 bytes of 0..3 -> 16 bytes of codes and their sum.
RESNET50_INLINE inline void store_codes(const __m256i (&values)[kVectors], uint8_t* bits, uint8_t* sum) {
    __m256i bytes[kVectors];
    for (int v = 0; v < kVectors; v++)
        bytes[v] = _mm256_madd_epi16(_mm256_maddubs_epi16(values[v], _mm256_set1_epi16(0x0401)), _mm256_set1_epi32(0x00100001));
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(bytes[0], bytes[1]), _MM_SHUFFLE(3, 1, 2, 0));
    const __m128i codes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bits), codes);
    *sum = sum_block(bits);
}

template <int Levels>
void emit_levels(const ConvCall& call, int y, int x, int pixels, int block, const Sums& sums) {
    const Conv& conv = *call.conv;
    const auto& thresholds = conv.thresholds.as<Thresholds<Levels>>()[block];
    int16_t totals[kPixels];
    window_totals(call, y, x, pixels, totals);
    for (int p = 0; p < pixels; p++) {
        __m256i values[kVectors];
        for (int v = 0; v < kVectors; v++) {
            const __m256i even = even_sums(sums, p, v), odd = sums.odd[p][v], total = _mm256_set1_epi16(totals[p]);
            if constexpr (Levels == 15)
                values[v] = thresholds.linear ? levels_by_lines(thresholds, v, even, odd, total)
                                              : count_levels(thresholds, v, even, odd, total);
            else
                values[v] = count_levels(thresholds, v, even, odd, total);
            if (Levels == 3) continue;
            const size_t at = call.out_pixel(y, x + p) * conv.cout + size_t(block) * kBlock + size_t(v) * 32;
            if (call.emit == Emit::residual) {
                const __m256i shortcut = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(call.shortcut + at));
                const __m256i sum = _mm256_subs_epu8(_mm256_add_epi8(values[v], shortcut), _mm256_set1_epi8(8));
                values[v] = _mm256_min_epu8(sum, _mm256_set1_epi8(15));
            }
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(call.levels + at), values[v]);
            if (call.next) values[v] = count_input(values[v], call.next + size_t(block) * kBlock + size_t(v) * 32, conv.cout);
        }
        if (Levels == 3 || call.next)
            store_codes(values, call.out.bits_at(y, x + p) + block * kBlockCodeBytes, call.out.sums_at(y, x + p) + block);
    }
}

void emit_sums(const ConvCall& call, int y, int x, int pixels, int block, const Sums& sums) {
    int16_t totals[kPixels];
    window_totals(call, y, x, pixels, totals);
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < kVectors; v++) {
            const __m256i halves[2] = {even_sums(sums, p, v), sums.odd[p][v]};
            uint16_t values[2][16];
            std::memcpy(values, halves, sizeof values);
            int32_t* out = call.sums + call.out_pixel(y, x + p) * call.conv->cout + block * kBlock + v * 32;
            for (int i = 0; i < 32; i++) out[i] = 2 * values[i % 2][i / 2] - totals[p];
        }
}

template <int Pixels>
void compute_tile(const ConvCall& call, const LookupInput& in, int y, int x, int block) {
    Sums sums;
    sum_tile<Pixels>(in, sums);
    if (call.emit == Emit::sums)
        emit_sums(call, y, x, Pixels, block, sums);
    else if (call.emit == Emit::codes)
        emit_levels<3>(call, y, x, Pixels, block, sums);
    else
        emit_levels<15>(call, y, x, Pixels, block, sums);
}

constexpr int kStemRowPairs = (kStemRowBytes + 1) / 2;  // of int16, for VPMADDWD; the last weight is zero
constexpr int kPaddedRowValues = kPaddedRowBytes + 1;

// The seven rows of the image under one row of conv0, widened to int16.
void widen_rows(const StemCall& call, int y, int16_t* rows) {
    for (int ky = 0; ky < kStemKernel; ky++, rows += kPaddedRowValues)
        for (int i = 0; i < kPaddedRowBytes; i++) rows[i] = call.padded[size_t(2 * y + ky) * kPaddedRowBytes + i];
}

// conv0 of two pixels and 32 of the 64 channels.
RESNET50_INLINE inline void sum_stem(const int16_t* rows, const int16_t* weights, int x, int half, __m256i (&sums)[2][4]) {
    __m256i acc[2][4];
    unroll<4>([&](auto v) RESNET50_INLINE { acc[0][v] = acc[1][v] = _mm256_setzero_si256(); });
    rows += 2 * x * kImageChannels;
    weights += half * 64;
    for (int ky = 0; ky < kStemKernel; ky++, rows += kPaddedRowValues)
#pragma GCC unroll 1  // unrolled, GCC multiplies ahead and spills what it has
        for (int pair = 0; pair < kStemRowPairs; pair++, weights += 128) {
            __m256i w[4];
            unroll<4>([&](auto v) RESNET50_INLINE { w[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights) + v); });
            unroll<2>([&](auto p) RESNET50_INLINE {
                int32_t values;
                std::memcpy(&values, rows + 2 * pair + 2 * kImageChannels * p, sizeof values);
                const __m256i input = _mm256_set1_epi32(values);
                unroll<4>([&](auto v) RESNET50_INLINE {
                    acc[p][v] = _mm256_add_epi32(acc[p][v], _mm256_madd_epi16(input, w[v]));
                });
            });
        }
    unroll<4>([&](auto v) RESNET50_INLINE {
        sums[0][v] = acc[0][v];
        sums[1][v] = acc[1][v];
    });
}

class Avx2Kernels final : public Kernels {
public:
    const char* name() const override { return "avx2"; }

    Conv pack(const ConvParams& params) const override {
        Conv conv{params.cin, params.cout, params.ksize, params.stride, params.levels, lookup_chunk(params), {}, {}};
        conv.weights = pack_lookup_weights(params);
        if (params.levels == 3) conv.thresholds = pack_thresholds<3>(params);
        if (params.levels == 15) conv.thresholds = pack_thresholds<15>(params);
        return conv;
    }

    // Layout: (7, 11, 64, 2) of int16.
    Stem pack_stem(const int8_t* weights, const int32_t* thresholds) const override {
        Stem stem{Buffer(kStemKernel * kStemRowPairs * kStemChannels * 2 * sizeof(int16_t)),
                  Buffer(3 * kStemChannels * sizeof(int32_t))};
        for (int c = 0; c < kStemChannels; c++) {
            for (int ky = 0; ky < kStemKernel; ky++)
                for (int i = 0; i < kStemRowBytes; i++)
                    stem.weights.as<int16_t>()[((ky * kStemRowPairs + i / 2) * kStemChannels + c) * 2 + i % 2] =
                        weights[(c * kStemKernel + ky) * kStemRowBytes + i];
            for (int i = 0; i < 3; i++) stem.thresholds.as<int32_t>()[i * kStemChannels + c] = thresholds[3 * c + i];
        }
        return stem;
    }

    int conv_items(const ConvCall& call) const override { return call.out_height * call.conv->blocks(); }

    void conv(const ConvCall& call, int begin, int end) const override {
        for (int item = begin; item < end; item++) {
            const int y = item / call.conv->blocks(), block = item % call.conv->blocks();
            int x = 0;
            const auto tiles = [&](auto width) {
                for (; call.out_width - x >= width; x += width) compute_tile<width>(call, lookup_input(call, y, x, block), y, x, block);
            };
            tiles(std::integral_constant<int, kPixels>{});
            tiles(std::integral_constant<int, 4>{});
            tiles(std::integral_constant<int, 3>{});
            tiles(std::integral_constant<int, 2>{});
            tiles(std::integral_constant<int, 1>{});
        }
    }

    void stem(const StemCall& call, int begin, int end) const override {
        const int16_t* weights = call.stem->weights.as<int16_t>();
        alignas(32) int16_t rows[kStemKernel * kPaddedRowValues + 1] = {};
        // Calls take(x, channel, vector) with the sums of 8 channels, for all of row y.
        const auto sum_row = [&](int y, const auto& take) {
            widen_rows(call, y, rows);
            for (int x = 0; x < kStemSize; x += 2)
                for (int half = 0; half < 2; half++) {
                    __m256i sums[2][4];
                    sum_stem(rows, weights, x, half, sums);
                    for (int p = 0; p < 2; p++)
                        for (int v = 0; v < 4; v++) take(x + p, half * 32 + v * 8, sums[p][v]);
                }
        };
        if (call.sums) {
            for (int y = begin; y < end; y++)
                sum_row(y, [&](int x, int c, __m256i sums) {
                    int32_t* out = call.sums + (size_t(y) * kStemSize + x) * kStemChannels + c;
                    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sums);
                });
            return;
        }
        const int32_t* thresholds = call.stem->thresholds.as<int32_t>();
        stem_rows(call, begin, end, [&](int y, uint8_t* levels) {
            sum_row(y, [&](int x, int c, __m256i sums) RESNET50_INLINE {
                __m256i count = _mm256_set1_epi32(3);  // less one for each threshold above
                for (int i = 0; i < 3; i++) {
                    const __m256i t = _mm256_load_si256(reinterpret_cast<const __m256i*>(thresholds + i * kStemChannels + c));
                    count = _mm256_add_epi32(count, _mm256_cmpgt_epi32(t, sums));
                }
                const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(count), _mm256_extracti128_si256(count, 1));
                _mm_storel_epi64(reinterpret_cast<__m128i*>(levels + x * kStemChannels + c), _mm_packus_epi16(words, words));
            });
        });
    }

    void fully_connected(const uint16_t* features, int images, const int8_t* weights, const int32_t* bias, int32_t* out,
                         int begin, int end) const override {
        for (int c = begin; c < end; c++)
            for (int n = 0; n < images; n++) {
                const uint16_t* feature = features + size_t(n) * kFeatures;
                const int8_t* row = weights + size_t(c) * kFeatures;
                __m256i sum = _mm256_setzero_si256();
                for (int k = 0; k < kFeatures; k += 16) {
                    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + k));
                    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(feature + k));
                    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(values, _mm256_cvtepi8_epi16(bytes)));
                }
                int32_t parts[8];
                std::memcpy(parts, &sum, sizeof parts);
                int32_t total = bias[c];
                for (const int32_t part : parts) total += part;
                out[size_t(n) * kClasses + c] = total;
            }
    }
};

}  // namespace

const Kernels* avx2_kernels() {
    static const Avx2Kernels kernels;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") ? &kernels : nullptr;
}

}  // namespace resnet50

#else

namespace resnet50 {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace resnet50

#endif
