#include "lines.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace resnet50 {

namespace {

constexpr int kTrials = 17;
constexpr int kMaxShift = 24;
constexpr int kMaxSlope = std::numeric_limits<int16_t>::max() / 2;

// The line reaches i + 1 at thresholds[i], if that is within the limits, and stays below just before.
struct Offsets {
    int64_t low = std::numeric_limits<int64_t>::min(), high = std::numeric_limits<int64_t>::max();
};
Offsets offsets_for(const int16_t* thresholds, int levels, int limit, int64_t slope, int shift) {
    Offsets range;
    for (int i = 0; i < levels; i++) {
        const int64_t level = int64_t(i + 1) << shift;
        if (thresholds[i] <= limit) range.low = std::max(range.low, level - slope * thresholds[i]);
        if (thresholds[i] - 1 >= -limit) range.high = std::min(range.high, level - 1 - slope * (thresholds[i] - 1));
    }
    return range;
}

}  // namespace

std::optional<Line> fit_line(const int16_t* thresholds, int levels, int limit) {
    // What each pair of thresholds says about the slope, in levels.
    double low = 0, high = 1;
    for (int i = 0; i < levels; i++)
        for (int j = i + 1; j < levels; j++) {
            const int apart = thresholds[j] - thresholds[i];
            if (thresholds[i] - 1 >= -limit && thresholds[j] <= limit) low = std::max(low, double(j - i) / (apart + 1));
            if (thresholds[j] <= limit && apart > 1) high = std::min(high, double(j - i) / (apart - 1));
        }
    for (int trial = 0; trial < kTrials && low <= high; trial++) {
        const double slope = low + (high - low) * (trial + 0.5) / kTrials;
        int shift = kMaxShift;
        while (shift > 0 && std::ldexp(slope, shift) > kMaxSlope) shift--;
        const int64_t scaled = std::llround(std::ldexp(slope, shift));
        const Offsets range = offsets_for(thresholds, levels, limit, scaled, shift);
        if (range.low > range.high) continue;
        const int64_t offset = range.low == std::numeric_limits<int64_t>::min()    ? range.high
                               : range.high == std::numeric_limits<int64_t>::max() ? range.low
                                                                                   : (range.low + range.high) / 2;
        if (std::abs(offset) + scaled * 2 * limit > std::numeric_limits<int32_t>::max()) continue;
        return Line{int32_t(offset), int16_t(scaled), shift};
    }
    return std::nullopt;
}

}  // namespace resnet50
