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
    in.chunk_pairs = conv.chunk;
    in.step = size_t(call.in.pixel_bytes()) * conv.stride;
    in.weights = conv.weights.data() + size_t(group) * Taps * in.groups * Taps * Blocks * 64;
    TileSums sums;
    int16_t totals[kMaxTilePixels];
    for (int x = 0, width = 0; x < call.out_width; x += width) {
        width = TileWidths<Widths...>::next(call.out_width - x);
        for (int ky = 0; ky < Taps; ky++)
            in.rows[ky] = call.in.bits_at(y * conv.stride + ky - conv.pad(), x * conv.stride - conv.pad());
        TileWidths<Widths...>::with(width, [&](auto pixels) { sum_tile<pixels, Blocks, Taps>(in, sums); });
        window_totals(call, y, x, width, totals);
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

    Stem pack_stem(const int8_t* weights, const int32_t* thresholds) const override {
        return pack_stem_weights(weights, thresholds);
    }

    int conv_items(const ConvCall& call) const override {
        return call.out_height * (call.conv->blocks() / blocks_together(*call.conv));
    }

    void conv(const ConvCall& call, int begin, int end) const override {
        const int together = blocks_together(*call.conv), row_groups = call.conv->blocks() / together;
        for (int item = begin; item < end; item++) {
            const int y = item / row_groups, group = item % row_groups;
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
        call.sums ? stem_sums(call, begin, end) : stem_levels(call, begin, end);
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
