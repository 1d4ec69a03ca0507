// What the kernels with tables of 16 bytes share: AVX2's VPSHUFB and NEON's TBL look up alike. Four activations of a pixel
// are a byte of its codes. All tables together are 4 KB and stay in the first cache.
#pragma once

#include <cstdint>

#include "layers.h"
#include "table_sums.h"

namespace resnet50 {
namespace {

constexpr int kLookupGroup = 4;   // activations a lookup
constexpr int kLookupTable = 16;  // bytes

struct LookupTables {
    alignas(64) uint8_t sums[256][kLookupTable];
    LookupTables() { fill_tables<kLookupGroup>(sums); }
};
inline const LookupTables& lookup_tables() {
    static const LookupTables instance;
    return instance;
}

// Layout: (block, ky, group, 64), a group in the low four bits of a byte.
inline Buffer pack_lookup_weights(const ConvParams& params) {
    Buffer weights(size_t(params.cout) * params.ksize * params.ksize * params.cin / kLookupGroup);
    uint8_t* out = weights.data();
    for (int first = 0; first < params.cout; first += kBlock)
        for (int tap = 0; tap < params.ksize * params.ksize; tap++)
            for (int in = 0; in < params.cin; in += kLookupGroup)
                for (int c = first; c < first + kBlock; c++, out++)
                    for (int i = 0; i < kLookupGroup; i++) *out |= uint8_t(params.weight(c, tap, in + i) << i);
    return weights;
}

// The pixels of a kernel row are side by side, and are added up as one run of inputs.
inline int lookup_chunk(const ConvParams& params) {
    return longest_chunk(params, params.ksize * params.cin, kLookupGroup, 1, [&](int channel, int ky, int i) {
        return params.weight(channel, ky * params.ksize + i / params.cin, i % params.cin);
    });
}

// rows[ky] is the leftmost pixel of kernel row ky, `step` the bytes between pixels; a row has `groups` groups.
struct LookupInput {
    const uint8_t* rows[3];
    size_t step;
    int ksize, groups, chunk;
    const uint8_t* weights;
};
inline LookupInput lookup_input(const ConvCall& call, int y, int x, int block) {
    const Conv& conv = *call.conv;
    LookupInput in{};
    for (int ky = 0; ky < conv.ksize; ky++)
        in.rows[ky] = call.in.bits_at(y * conv.stride + ky - conv.pad(), x * conv.stride - conv.pad());
    in.step = size_t(call.in.pixel_bytes()) * conv.stride;
    in.ksize = conv.ksize;
    in.groups = conv.ksize * conv.cin / kLookupGroup;
    in.chunk = conv.chunk;
    in.weights = conv.weights.data() + size_t(block) * conv.ksize * in.groups * kBlock;
    return in;
}

}  // namespace
}  // namespace resnet50
