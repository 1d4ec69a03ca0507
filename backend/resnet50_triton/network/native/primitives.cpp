#include "primitives.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "pool.h"

namespace resnet50 {

namespace {

// Calls work(image, memory) for each image on some thread, with memory of that thread's own.
template <typename Make, typename Work>
void for_images(int images, int threads, const Make& make, const Work& work) {
    Pool pool(std::clamp(threads, 1, std::max(1, images)));
    std::vector<decltype(make())> memory;
    for (int i = 0; i < pool.threads(); i++) memory.push_back(make());
    Pool::Session session(pool);
    pool.each(images, [&](int thread, int image) { work(image, memory[thread]); });
}

}  // namespace

void convolve(const Kernels& kernels, const uint8_t* x, int images, int height, int width, const ConvParams& params,
              int threads, int32_t* out) {
    const Conv conv = kernels.pack(params);
    ConvCall call;
    call.conv = &conv;
    call.emit = Emit::sums;
    call.in = {nullptr, nullptr, height, width, params.cin, conv.pad()};
    call.out_height = (height - 1) / params.stride + 1;
    call.out_width = (width - 1) / params.stride + 1;
    struct Memory {
        Buffer bits, sums;
    };
    for_images(
        images, threads, [&] { return Memory{Buffer(call.in.bits_bytes()), Buffer(call.in.sums_bytes())}; },
        [&](int image, Memory& memory) {
            ConvCall mine = call;
            mine.in.bits = memory.bits.data();
            mine.in.sums = memory.sums.data();
            mine.sums = out + size_t(image) * call.out_height * call.out_width * params.cout;
            const uint8_t* values = x + size_t(image) * height * width * params.cin;
            for (int y = 0; y < height; y++)
                for (int column = 0; column < width; column++)
                    for (int b = 0; b < mine.in.blocks(); b++, values += kBlock)
                        pack_block(values, mine.in.bits_at(y, column) + b * kBlockCodeBytes, mine.in.sums_at(y, column) + b);
            kernels.conv(mine, 0, kernels.conv_items(mine));
        });
}

void convolve_pixels(const Kernels& kernels, const uint8_t* pixels, int images, const int8_t* weights, int threads,
                     int32_t* out) {
    const int32_t no_thresholds[kStemChannels * 3] = {};
    const Stem stem = kernels.pack_stem(weights, no_thresholds);
    for_images(
        images, threads, [] { return Buffer(kPaddedBytes); },
        [&](int image, Buffer& padded) {
            pad_rows(pixels + size_t(image) * kImage * kImage * kImageChannels, padded.data(), 0, kImage);
            StemCall call;
            call.stem = &stem;
            call.padded = padded.data();
            call.sums = out + size_t(image) * kStemSize * kStemSize * kStemChannels;
            kernels.stem(call, 0, kStemSize);
        });
}

void pad_rows(const uint8_t* pixels, uint8_t* padded, int begin, int end) {
    constexpr int kRowBytes = kImage * kImageChannels;
    for (int y = begin; y < end; y++)  // the padding around them was zeroed once
        std::memcpy(padded + size_t(y + kStemPad) * kPaddedRowBytes + kStemPad * kImageChannels, pixels + size_t(y) * kRowBytes,
                    kRowBytes);
}

}  // namespace resnet50
