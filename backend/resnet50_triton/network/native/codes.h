// Two-bit activations, the form in which every layer hands its result to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace resnet50 {

// Channels come in blocks of 64 everywhere: one AVX-512 register of bytes, and every layer's width is a multiple.
constexpr int kBlock = 64;
constexpr int kBlockCodeBytes = kBlock / 4;

// Bytes that a kernel may read past the last pixel of a plane; what it finds there never counts.
constexpr size_t kReadAhead = 64;

// height x width pixels of `channels` values 0..3, with `pad` pixels of zeros around them. Channel c of a pixel is in
// bits 2 * (c % 4) of its byte c / 4. `sums` has one byte for each pixel and block: the sum of the block's 64 values.
struct Codes {
    uint8_t* bits = nullptr;
    uint8_t* sums = nullptr;
    int height = 0;
    int width = 0;
    int channels = 0;
    int pad = 0;

    int pixel_bytes() const { return channels / 4; }
    int blocks() const { return channels / kBlock; }
    // One pixel more than there is: a row may be read, beyond its end, while another thread writes the next.
    size_t row_pixels() const { return size_t(width) + 2 * pad + 1; }
    size_t pixels() const { return (size_t(height) + 2 * pad) * row_pixels(); }
    size_t bits_bytes() const { return pixels() * pixel_bytes() + kReadAhead; }
    size_t sums_bytes() const { return pixels() * blocks(); }
    // y and x may be in the padding: -pad .. size + pad - 1.
    size_t pixel(int y, int x) const { return size_t(y + pad) * row_pixels() + (x + pad); }
    uint8_t* bits_at(int y, int x) const { return bits + pixel(y, x) * pixel_bytes(); }
    uint8_t* sums_at(int y, int x) const { return sums + pixel(y, x) * blocks(); }
};

// The sum of the 32 two-bit values in a word.
inline int sum_codes(uint64_t word) {
    constexpr uint64_t k3 = 0x3333333333333333, kF = 0x0f0f0f0f0f0f0f0f, kOnes = 0x0101010101010101;
    word = (word & k3) + ((word >> 2) & k3);
    word = (word & kF) + ((word >> 4) & kF);
    return int((word * kOnes) >> 56);
}

// The sum of one block's 64 values, at most 192.
inline uint8_t sum_block(const uint8_t* bits) {
    uint64_t words[2];
    std::memcpy(words, bits, sizeof words);
    return uint8_t(sum_codes(words[0]) + sum_codes(words[1]));
}

// values: 64 bytes of 0..3 -> 16 bytes of codes and their sum.
inline void pack_block(const uint8_t* values, uint8_t* bits, uint8_t* sum) {
    for (int i = 0; i < kBlockCodeBytes; i++)
        bits[i] = uint8_t(values[4 * i] | values[4 * i + 1] << 2 | values[4 * i + 2] << 4 | values[4 * i + 3] << 6);
    *sum = sum_block(bits);
}

}  // namespace resnet50
