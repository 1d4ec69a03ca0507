// What all kernels with tables share: a table holds, for each pattern of weight bits, the sum of the activations whose bit
// is set; sums stay in bytes for a chunk of lookups.
#pragma once

#include <algorithm>
#include <cstdint>

#include "layers.h"

namespace resnet50 {
namespace {

constexpr int kLevelMax = 3;  // of an activation
constexpr int kByteMax = 255;

// One table for each combination of `Group` activations, two bits each.
template <int Group, int Size>
void fill_tables(uint8_t (&tables)[1 << (2 * Group)][Size]) {
    for (int codes = 0; codes < 1 << (2 * Group); codes++)
        for (int weights = 0; weights < Size; weights++) {
            int sum = 0;
            for (int i = 0; i < Group; i++)
                if (weights >> i & 1) sum += codes >> (2 * i) & 3;
            tables[codes][weights] = uint8_t(sum);
        }
}

// How many units of inputs a chunk of lookups may have so that its sums fit a byte for these weights, whatever the
// activations: a channel's sum is largest where all the activations are 3 whose weight bit is set. Trained weights allow
// half as many again as any weights would, and every chunk costs a widening of its sums to 16 bits.
// A kernel row has `inputs` inputs, `unit` of them go together, and each has `together` weights that fall on the same sum:
// weight(channel, ky, i) is how many of these are set.
template <typename Weight>
int longest_chunk(const ConvParams& params, int inputs, int unit, int together, const Weight& weight) {
    const auto fits = [&](int units) {
        for (int channel = 0; channel < params.cout; channel++)
            for (int ky = 0; ky < params.ksize; ky++)
                for (int from = 0; from < inputs; from += units * unit) {
                    int ones = 0;
                    for (int i = from; i < std::min(from + units * unit, inputs); i++) ones += weight(channel, ky, i);
                    if (ones * kLevelMax > kByteMax) return false;
                }
        return true;
    };
    int units = kByteMax / (kLevelMax * unit * together);  // whatever the weights
    while (units * unit < inputs && fits(units + 1)) units++;
    return units;
}

}  // namespace
}  // namespace resnet50
