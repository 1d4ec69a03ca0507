// aarch64 NEON: sums by table lookup, as with AVX2. Four activations of a pixel are a byte of its codes, and choose a table
// of 16 bytes that holds, for each pattern of four weight bits, the sum of the activations whose bit is set. TBL looks up
// 16 output channels at once. conv0 and the classes are the generic kernels', which compilers vectorize here.
#include "kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#include <algorithm>
#include <cstring>

#include "lookup.h"
#include "shared.h"
#include "unroll.h"

namespace resnet50 {
namespace {

constexpr int kLanes = 16;                  // channels of a lookup
constexpr int kVectors = kBlock / kLanes;   // of a block
constexpr int kPixels = 4;                  // of a tile: 16 sums, 8 vectors of weights and a table in 32 registers
constexpr int kHalf = kLanes / 2;           // channels of a vector of 16-bit sums

// P of a tile's channels in order, 16 bits each.
using Sums = uint16x8_t[kPixels][2 * kVectors];

template <int Pixels>
__attribute__((noinline)) void sum_tile(const LookupInput& in, Sums& sums) {
    const uint8_t* table = lookup_tables().sums[0];
    const uint8_t* weights = in.weights;
    for (int p = 0; p < Pixels; p++)
        for (int v = 0; v < 2 * kVectors; v++) sums[p][v] = vdupq_n_u16(0);
    for (int ky = 0; ky < in.ksize; ky++) {
        const uint8_t* row = in.rows[ky];
        for (int left = in.groups; left > 0; left -= in.chunk) {
            uint8x16_t acc[Pixels][kVectors];
            unroll<Pixels>([&](auto p) RESNET50_INLINE {
                unroll<kVectors>([&](auto v) RESNET50_INLINE { acc[p][v] = vdupq_n_u8(0); });
            });
            for (int group = 0; group < std::min(left, in.chunk); group++, row++, weights += kBlock) {
                uint8x16_t w[kVectors];
                unroll<kVectors>([&](auto v) RESNET50_INLINE { w[v] = vld1q_u8(weights + kLanes * v); });
                unroll<Pixels>([&](auto p) RESNET50_INLINE {
                    const uint8x16_t t = vld1q_u8(table + size_t(row[p * in.step]) * kLookupTable);
                    unroll<kVectors>([&](auto v) RESNET50_INLINE { acc[p][v] = vaddq_u8(acc[p][v], vqtbl1q_u8(t, w[v])); });
                });
            }
            unroll<Pixels>([&](auto p) RESNET50_INLINE {
                unroll<kVectors>([&](auto v) RESNET50_INLINE {
                    sums[p][2 * v] = vaddw_u8(sums[p][2 * v], vget_low_u8(acc[p][v]));
                    sums[p][2 * v + 1] = vaddw_high_u8(sums[p][2 * v + 1], acc[p][v]);
                });
            });
        }
    }
}

// S of eight channels.
inline int16x8_t signed_sums(uint16x8_t sums, int total) {
    return vsubq_s16(vreinterpretq_s16_u16(vaddq_u16(sums, sums)), vdupq_n_s16(int16_t(total)));
}

// Levels of one pixel's 64 channels. thresholds: `levels` rows of 64.
inline void count_levels(const uint16x8_t (&sums)[2 * kVectors], int total, const int16_t* thresholds, int levels,
                         uint8_t* values) {
    for (int v = 0; v < 2 * kVectors; v++) {
        const int16x8_t s = signed_sums(sums[v], total);
        uint16x8_t count = vdupq_n_u16(0);
        for (int level = 0; level < levels; level++)  // a comparison gives -1
            count = vsubq_u16(count, vcgeq_s16(s, vld1q_s16(thresholds + level * kBlock + kHalf * v)));
        vst1_u8(values + kHalf * v, vmovn_u16(count));
    }
}

inline void add_shortcut(const uint8_t* shortcut, uint8_t* values) {
    for (int v = 0; v < kVectors; v++, shortcut += kLanes, values += kLanes) {
        const uint8x16_t sum = vqsubq_u8(vaddq_u8(vld1q_u8(values), vld1q_u8(shortcut)), vdupq_n_u8(8));
        vst1q_u8(values, vminq_u8(sum, vdupq_n_u8(15)));
    }
}

inline void emit_sums(const uint16x8_t (&sums)[2 * kVectors], int total, int32_t* out) {
    for (int v = 0; v < 2 * kVectors; v++) {
        const int16x8_t s = signed_sums(sums[v], total);
        vst1q_s32(out + kHalf * v, vmovl_s16(vget_low_s16(s)));
        vst1q_s32(out + kHalf * v + kHalf / 2, vmovl_high_s16(s));
    }
}

void emit_pixel(const ConvCall& call, int y, int x, int block, int total, const uint16x8_t (&sums)[2 * kVectors]) {
    const Conv& conv = *call.conv;
    const size_t at = call.out_pixel(y, x) * conv.cout + size_t(block) * kBlock;
    if (call.emit == Emit::sums) return emit_sums(sums, total, call.sums + at);
    uint8_t values[kBlock];
    count_levels(sums, total, conv.thresholds.as<int16_t>() + size_t(block) * conv.levels * kBlock, conv.levels, values);
    if (call.emit == Emit::residual) add_shortcut(call.shortcut + at, values);
    if (call.emit != Emit::codes) std::memcpy(call.levels + at, values, kBlock);
    if (call.emit == Emit::levels || (call.emit == Emit::residual && !call.next)) return;
    if (call.emit == Emit::residual)
        for (int c = 0; c < kBlock; c++) {
            const uint8_t* next = call.next + size_t(block) * kBlock + c;
            values[c] = uint8_t((values[c] >= next[0]) + (values[c] >= next[conv.cout]) + (values[c] >= next[2 * conv.cout]));
        }
    pack_block(values, call.out.bits_at(y, x) + block * kBlockCodeBytes, call.out.sums_at(y, x) + block);
}

class NeonKernels final : public Kernels {
public:
    const char* name() const override { return "neon"; }

    Conv pack(const ConvParams& params) const override {
        Conv conv{params.cin, params.cout, params.ksize, params.stride, params.levels, lookup_chunk(params), {}, {}};
        conv.weights = pack_lookup_weights(params);
        conv.thresholds = Buffer(size_t(params.cout) * params.levels * sizeof(int16_t));
        for (int c = 0; c < params.cout; c++) {
            int16_t sorted[15];
            sorted_thresholds(params, c, sorted);
            for (int i = 0; i < params.levels; i++)
                conv.thresholds.as<int16_t>()[(size_t(c / kBlock) * params.levels + i) * kBlock + c % kBlock] = sorted[i];
        }
        return conv;
    }

    Stem pack_stem(const int8_t* weights, const int32_t* thresholds) const override {
        return generic_kernels()->pack_stem(weights, thresholds);
    }

    int conv_items(const ConvCall& call) const override { return call.out_height * call.conv->blocks(); }

    void conv(const ConvCall& call, int begin, int end) const override {
        Sums sums;
        int16_t totals[kPixels];
        for (int item = begin; item < end; item++) {
            const int y = item / call.conv->blocks(), block = item % call.conv->blocks();
            for (int x = 0; x < call.out_width;) {
                const LookupInput in = lookup_input(call, y, x, block);
                const int pixels = call.out_width - x >= kPixels ? kPixels : 1;
                pixels == kPixels ? sum_tile<kPixels>(in, sums) : sum_tile<1>(in, sums);
                window_totals(call, y, x, pixels, totals);
                for (int p = 0; p < pixels; p++) emit_pixel(call, y, x + p, block, totals[p], sums[p]);
                x += pixels;
            }
        }
    }

    void stem(const StemCall& call, int begin, int end) const override { generic_kernels()->stem(call, begin, end); }

    void fully_connected(const uint16_t* features, int images, const int8_t* weights, const int32_t* bias, int32_t* out,
                         int begin, int end) const override {
        generic_kernels()->fully_connected(features, images, weights, bias, out, begin, end);
    }
};

}  // namespace

const Kernels* neon_kernels() {
    static const NeonKernels kernels;
    return &kernels;
}

}  // namespace resnet50

#else

namespace resnet50 {
const Kernels* neon_kernels() { return nullptr; }
}  // namespace resnet50

#endif
