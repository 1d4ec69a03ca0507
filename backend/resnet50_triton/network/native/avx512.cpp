// The AVX-512 kernels: tiles of output pixels and blocks of channels. Their parts are headers, because sums, levels and the
// stem must be compiled together to be inlined.
#include "kernels.h"

#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)

#include "avx512_levels.h"
#include "avx512_stem.h"
#include "avx512_sums.h"

namespace resnet50 {
namespace {

// The tile widths that kernels are made for, widest first. Rows are cut into equal tiles where they can be.
template <int... Widths>
struct TileWidths {
    static int next(int left) {
        constexpr int kWidest = std::max({Widths...});
        const int tiles = (left + kWidest - 1) / kWidest, wanted = (left + tiles - 1) / tiles;
        for (const int width : {Widths...})
            if (width <= wanted) return width;
        return 1;
    }
    // Calls body(width) with the width as a constant.
    template <typename Body>
    static void with(int width, const Body& body) {
        (void)((width == Widths && (body(std::integral_constant<int, Widths>{}), true)) || ...);
    }
};

// One output row of one group of blocks.
template <int Blocks, int Taps, int... Widths>
void compute_row(const ConvCall& call, int y, int group) {
    const Conv& conv = *call.conv;
    TileInput in;
    in.groups = groups(conv.cin);
    in.chunk_pairs = conv.chunk_pairs;
    in.step = size_t(call.in.pixel_bytes()) * conv.stride;
    in.weights = conv.weights.data() + size_t(group) * Taps * in.groups * Taps * Blocks * 64;
    TileSums sums;
    int16_t totals[kMaxPixels];
    for (int x = 0, width = 0; x < call.out_width; x += width) {
        width = TileWidths<Widths...>::next(call.out_width - x);
        for (int ky = 0; ky < Taps; ky++)
            in.rows[ky] = call.in.bits_at(y * conv.stride + ky - conv.pad(), x * conv.stride - conv.pad());
        TileWidths<Widths...>::with(width, [&](auto pixels) { sum_tile<pixels, Blocks, Taps>(in, sums); });
        window_totals<Taps>(call, y, x, width, totals);
        emit({call, sums, totals, y, x, width, group * Blocks, Blocks});
    }
}

class Avx512Kernels final : public Kernels {
public:
    const char* name() const override { return "avx512"; }

    Conv pack(const ConvParams& params) const override {
        Conv conv{params.cin, params.cout, params.ksize, params.stride, params.levels, chunk_pairs(params), {}, {}};
        const int together = blocks_together(conv), per_pixel = groups(params.cin);
        conv.weights = Buffer(size_t(params.cout) * conv.taps() * per_pixel);
        uint8_t* out = conv.weights.data();
        for (int first = 0; first < params.cout; first += together * kBlock)
            for (int ky = 0; ky < params.ksize; ky++)
                for (int group = 0; group < per_pixel; group++)
                    for (int kx = 0; kx < params.ksize; kx++)
                        for (int lane = 0; lane < together * kBlock; lane++, out++) {
                            const int c = first + lane / kBlock * kBlock + channel_of_lane(params.levels, lane % kBlock);
                            for (int i = 0; i < kGroup && group * kGroup + i < params.cin; i++)
                                *out |= uint8_t(params.weight(c, ky * params.ksize + kx, group * kGroup + i) << i);
                        }
        if (params.levels == 3) conv.thresholds = pack_thresholds<3>(params);
        if (params.levels == 15) conv.thresholds = pack_thresholds<15>(params);
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
                compute_row<4, 1, 5, 4, 3, 2, 1>(call, y, group);
            else if (together == 2)
                compute_row<2, 1, 7, 4, 2, 1>(call, y, group);
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
                        __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi2");
    return usable ? &kernels : nullptr;
}

}  // namespace resnet50

#else

namespace resnet50 {
const Kernels* avx512_kernels() { return nullptr; }
}  // namespace resnet50

#endif
