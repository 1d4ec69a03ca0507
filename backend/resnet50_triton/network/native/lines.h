// Thresholds as a straight line: a multiplication in the place of 15 comparisons.
#pragma once

#include <cstdint>
#include <optional>

namespace resnet50 {

// The number of thresholds <= s is clamp((offset + slope * s) >> shift, 0, levels), for every s of -limit..limit.
struct Line {
    int32_t offset;
    int16_t slope;  // twice it fits an int16 too
    int32_t shift;
};

// Finds a line that counts the same as `levels` ascending thresholds, if there is one. Where thresholds come from batch
// normalization and a uniform quantizer they lie on a line but for rounding.
std::optional<Line> fit_line(const int16_t* thresholds, int levels, int limit);

}  // namespace resnet50
