// Plain C++ that compiles anywhere. Sixty-four-bit words of 32 activations are masked with words of weights and summed
// in two-, four- and eight-bit fields, eight output channels side by side, which compilers turn into vector code.
#include <cstring>

#include "kernels.h"
#include "shared.h"

namespace resnet50 {
namespace {

constexpr int kLanes = 8;        // output channels computed together
constexpr int kWordCodes = 32;   // activations in a word
constexpr int kByteWords = 21;   // words whose byte sums fit a byte: a word adds at most 4 * 3 to each

// A weight bit covers its activation's two bits. Layout: (cout / 8, tap, cin / 32, 8) words.
void pack_words(const ConvParams& params, uint64_t* words) {
    for (int group = 0; group < params.cout / kLanes; group++)
        for (int tap = 0; tap < params.ksize * params.ksize; tap++)
            for (int word = 0; word < params.cin / kWordCodes; word++)
                for (int lane = 0; lane < kLanes; lane++) {
                    uint64_t mask = 0;
                    for (int i = 0; i < kWordCodes; i++)
                        if (params.weight(group * kLanes + lane, tap, word * kWordCodes + i)) mask |= uint64_t(3) << 2 * i;
                    *words++ = mask;
                }
}

// Adds to sums[8] the masked sums of one run of consecutive activations.
void add_run(const uint8_t* bits, const uint64_t* weights, int words, int32_t* sums) {
    constexpr uint64_t k3 = 0x3333333333333333, kF = 0x0f0f0f0f0f0f0f0f;
    constexpr uint64_t kBytes = 0x00ff00ff00ff00ff, kShorts = 0x0001000100010001;
    for (int first = 0; first < words; first += kByteWords) {
        const int last = first + kByteWords < words ? first + kByteWords : words;
        uint64_t bytes[kLanes] = {};
        for (int w = first; w < last; w++) {
            uint64_t codes;
            std::memcpy(&codes, bits + 8 * w, sizeof codes);
            for (int lane = 0; lane < kLanes; lane++) {
                uint64_t v = codes & weights[w * kLanes + lane];
                v = (v & k3) + ((v >> 2) & k3);
                bytes[lane] += (v & kF) + ((v >> 4) & kF);
            }
        }
        for (int lane = 0; lane < kLanes; lane++)
            sums[lane] += int32_t((((bytes[lane] & kBytes) + ((bytes[lane] >> 8) & kBytes)) * kShorts) >> 48);
    }
}

// S for the 64 channels of a block at one output pixel.
void sum_pixel(const ConvCall& call, int y, int x, int block, int32_t* sums) {
    const Conv& conv = *call.conv;
    const int words = conv.cin / kWordCodes, pad = conv.pad();
    int16_t total;
    window_totals(call, y, x, 1, &total);
    std::memset(sums, 0, kBlock * sizeof *sums);
    for (int tap = 0; tap < conv.taps(); tap++) {
        const int in_y = y * conv.stride + tap / conv.ksize - pad, in_x = x * conv.stride + tap % conv.ksize - pad;
        for (int lane = 0; lane < kBlock; lane += kLanes) {
            const size_t group = size_t(block) * (kBlock / kLanes) + lane / kLanes;
            add_run(call.in.bits_at(in_y, in_x), conv.weights.as<uint64_t>() + (group * conv.taps() + tap) * words * kLanes,
                    words, sums + lane);
        }
    }
    for (int c = 0; c < kBlock; c++) sums[c] = 2 * sums[c] - total;
}

void emit(const ConvCall& call, int y, int x, int block, const int32_t* sums) {
    const Conv& conv = *call.conv;
    const size_t at = call.out_pixel(y, x) * conv.cout + size_t(block) * kBlock;
    if (call.emit == Emit::sums) {
        std::memcpy(call.sums + at, sums, kBlock * sizeof *sums);
        return;
    }
    uint8_t values[kBlock] = {};
    const int16_t* thresholds = conv.thresholds.as<int16_t>() + size_t(block) * conv.levels * kBlock;
    for (int level = 0; level < conv.levels; level++, thresholds += kBlock)
        for (int c = 0; c < kBlock; c++) values[c] = uint8_t(values[c] + (sums[c] >= thresholds[c]));
    if (call.emit == Emit::residual) {
        for (int c = 0; c < kBlock; c++) {
            const int sum = values[c] + call.shortcut[at + c] - 8;
            values[c] = uint8_t(sum < 0 ? 0 : sum > 15 ? 15 : sum);
        }
    }
    if (call.emit != Emit::codes) std::memcpy(call.levels + at, values, kBlock);
    if (call.emit == Emit::levels) return;
    if (call.emit == Emit::residual) {
        if (!call.next) return;
        uint8_t counted[kBlock];
        for (int c = 0; c < kBlock; c++) {
            const uint8_t* next = call.next + size_t(block) * kBlock + c;
            counted[c] = uint8_t((values[c] >= next[0]) + (values[c] >= next[conv.cout]) + (values[c] >= next[2 * conv.cout]));
        }
        std::memcpy(values, counted, kBlock);
    }
    pack_block(values, call.out.bits_at(y, x) + block * kBlockCodeBytes, call.out.sums_at(y, x) + block);
}

class GenericKernels final : public Kernels {
public:
    const char* name() const override { return "generic"; }

    Conv pack(const ConvParams& params) const override {
        Conv conv{params.cin, params.cout, params.ksize, params.stride, params.levels, 0, {}, {}};
        const size_t words = size_t(params.cout) * conv.taps() * params.cin / kWordCodes;
        conv.weights = Buffer(words * sizeof(uint64_t));
        pack_words(params, conv.weights.as<uint64_t>());
        conv.thresholds = Buffer(size_t(params.cout) * params.levels * sizeof(int16_t));
        for (int c = 0; c < params.cout; c++) {
            int16_t sorted[15];
            sorted_thresholds(params, c, sorted);
            for (int i = 0; i < params.levels; i++)
                conv.thresholds.as<int16_t>()[(size_t(c / kBlock) * params.levels + i) * kBlock + c % kBlock] = sorted[i];
        }
        return conv;
    }

    // Layout: (7, 21, 64) of int16: compilers have vector multiplications for it everywhere.
    Stem pack_stem(const int8_t* weights, const int32_t* thresholds) const override {
        Stem stem{Buffer(kStemChannels * kStemKernel * kStemRowBytes * sizeof(int16_t)), Buffer(3 * kStemChannels * sizeof(int32_t))};
        for (int c = 0; c < kStemChannels; c++) {
            for (int i = 0; i < kStemKernel * kStemRowBytes; i++)
                stem.weights.as<int16_t>()[i * kStemChannels + c] = weights[c * kStemKernel * kStemRowBytes + i];
            for (int i = 0; i < 3; i++) stem.thresholds.as<int32_t>()[i * kStemChannels + c] = thresholds[3 * c + i];
        }
        return stem;
    }

    int conv_items(const ConvCall& call) const override { return call.out_height * call.conv->blocks(); }

    void conv(const ConvCall& call, int begin, int end) const override {
        const int blocks = call.conv->blocks();
        int32_t sums[kBlock];
        for (int item = begin; item < end; item++)
            for (int x = 0; x < call.out_width; x++) {
                sum_pixel(call, item / blocks, x, item % blocks, sums);
                emit(call, item / blocks, x, item % blocks, sums);
            }
    }

    void stem(const StemCall& call, int begin, int end) const override {
        const auto sum_row = [&](int y, int x, int32_t* sums) {
            std::memset(sums, 0, kStemChannels * sizeof *sums);
            const int16_t* weights = call.stem->weights.as<int16_t>();
            for (int ky = 0; ky < kStemKernel; ky++) {
                const uint8_t* pixels = call.padded + size_t(2 * y + ky) * kPaddedRowBytes + size_t(2) * x * kImageChannels;
                for (int i = 0; i < kStemRowBytes; i++, weights += kStemChannels) {
                    const int16_t pixel = pixels[i];
                    for (int c = 0; c < kStemChannels; c++) sums[c] += int32_t(pixel) * int32_t(weights[c]);
                }
            }
        };
        if (call.sums) {
            for (int y = begin; y < end; y++)
                for (int x = 0; x < kStemSize; x++) sum_row(y, x, call.sums + (size_t(y) * kStemSize + x) * kStemChannels);
            return;
        }
        stem_rows(call, begin, end, [&](int y, uint8_t* levels) {
            const int32_t* thresholds = call.stem->thresholds.as<int32_t>();
            int32_t sums[kStemChannels];
            for (int x = 0; x < kStemSize; x++, levels += kStemChannels) {
                sum_row(y, x, sums);
                for (int c = 0; c < kStemChannels; c++)
                    levels[c] = uint8_t((sums[c] >= thresholds[c]) + (sums[c] >= thresholds[kStemChannels + c]) +
                                        (sums[c] >= thresholds[2 * kStemChannels + c]));
            }
        });
    }

    void fully_connected(const uint16_t* features, int images, const int8_t* weights, const int32_t* bias, int32_t* out,
                         int begin, int end) const override {
        for (int c = begin; c < end; c++)
            for (int n = 0; n < images; n++) {
                const uint16_t* feature = features + size_t(n) * kFeatures;
                const int8_t* row = weights + size_t(c) * kFeatures;
                int32_t sum = bias[c];
                for (int k = 0; k < kFeatures; k++) sum += feature[k] * row[k];
                out[size_t(n) * kClasses + c] = sum;
            }
    }
};

}  // namespace

const Kernels* generic_kernels() {
    static const GenericKernels kernels;
    return &kernels;
}

}  // namespace resnet50
