// Single layers before their thresholds, for calibrating networks and for testing kernels.
#pragma once

#include "kernels.h"

namespace resnet50 {

// x: (images, height, width, cin) of 0..3 -> out: (images, height', width', cout), padded by ksize / 2
void convolve(const Kernels& kernels, const uint8_t* x, int images, int height, int width, const ConvParams& params,
              int threads, int32_t* out);

// pixels: (images, 224, 224, 3), weights: (64, 7, 7, 3) -> out: (images, 112, 112, 64)
void convolve_pixels(const Kernels& kernels, const uint8_t* pixels, int images, const int8_t* weights, int threads,
                     int32_t* out);

void pad_rows(const uint8_t* pixels, uint8_t* padded, int begin, int end);

}  // namespace resnet50
