#include "engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "primitives.h"

namespace resnet50 {

namespace {

constexpr size_t kImageBytes = size_t(kImage) * kImage * kImageChannels;
constexpr int kChunk = 64;         // images whose features are kept at once: bounds the memory for any batch
constexpr int kClassItem = 8;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// levels: (positions, channels) of 0..15 -> features begin..end: the sums of max(0, level - 8)
void sum_positions(const uint8_t* levels, int positions, int channels, uint16_t* features, int begin, int end) {
    std::fill(features + begin, features + end, uint16_t(0));
    for (int p = 0; p < positions; p++, levels += channels)
        for (int c = begin; c < end; c++) features[c] = uint16_t(features[c] + (levels[c] > 8 ? levels[c] - 8 : 0));
}

}  // namespace

Codes Arena::make_codes(int size, int channels, int pad) {
    Codes codes{nullptr, nullptr, size, size, channels, pad};
    codes.bits = memory_.emplace_back(codes.bits_bytes()).data();
    codes.sums = memory_.emplace_back(codes.sums_bytes()).data();
    return codes;
}

Arena::Arena(const Network& network) : padded_(kPaddedBytes) {
    size_t output_bytes = size_t(kStemPooled) * kStemPooled * kStemChannels;
    for (const Block& block : network.blocks) output_bytes = std::max(output_bytes, block.output_bytes());
    output_ = Buffer(output_bytes);
    for (size_t i = 0; i < network.blocks.size(); i++) add_block(network, i);
}

void Arena::add_block(const Network& network, size_t index) {
    const Block& block = network.blocks[index];
    const int size = block.size_out();
    if (index == 0) input_ = make_codes(block.size_in, block.cin(), 0);
    // The block before may still read its own when this block's first rows are made.
    const size_t made = conva_out_.size();
    const bool reuse = made >= 2 && conva_out_[made - 2].height == size && conva_out_[made - 2].channels == block.width();
    const Codes a = conva_out_.emplace_back(reuse ? conva_out_[made - 2] : make_codes(size, block.width(), 1));
    const Codes b = make_codes(size, block.width(), 0);

    const auto step = [&](const Conv& conv, Emit emit, const Codes& in, bool joins) -> ConvCall& {
        Step& added = steps_.emplace_back();
        added.call.conv = &conv;
        added.call.emit = emit;
        added.call.in = in;
        added.call.out_height = added.call.out_width = size;
        added.block = int(index);
        added.joins = joins;
        added.last = emit == Emit::residual;
        return added.call;
    };
    step(block.convs[0], Emit::codes, input_, index > 0 && block.convs[0].stride == 1).out = a;
    step(block.convs[1], Emit::codes, a, false).out = b;
    // The shortcut is in the output's place: the block's input, or what conv1 makes of its codes, which are kept apart.
    if (block.projection()) step(block.convs[3], Emit::levels, input_, true).levels = output_.data();
    ConvCall& last = step(block.convs[2], Emit::residual, b, true);
    last.levels = output_.data();
    last.shortcut = output_.data();
    if (index + 1 < network.blocks.size()) {
        input_ = make_codes(size, block.cout(), 0);
        last.out = input_;
        last.next = network.blocks[index + 1].input_thresholds.data();
    }
}

StemCall Arena::stem_call(const Network& network) const {
    StemCall call;
    call.stem = &network.stem;
    call.padded = padded_.data();
    call.levels = output_.data();
    call.next = network.blocks[0].input_thresholds.data();
    call.out = steps_[0].call.in;
    return call;
}

// Watches images computed one at a time: copies every stage's output, or adds up the time of each step.
struct Engine::Observer {
    const std::vector<uint8_t*>* outputs = nullptr;
    std::vector<double>* seconds = nullptr;
    mutable size_t timed = 0;
    mutable double started = now();

    void step_done() const {
        if (!seconds) return;
        const double time = now();
        (*seconds)[timed++] += time - started;
        started = time;
    }
    void stage_done(int stage, const uint8_t* output, size_t size_bytes) const {
        if (outputs) std::memcpy((*outputs)[stage], output, size_bytes);
    }
};

Engine::Engine(std::shared_ptr<const Network> network, int threads)
    : network_(std::move(network)), pool_(threads), arenas_(threads), features_(kChunk * kFeatures * sizeof(uint16_t)) {
    const Arena like_each(*network_);
    alone_ = plan_parts(like_each.steps(), *network_->kernels, 1);
    together_ = plan_parts(like_each.steps(), *network_->kernels, threads);
}

// The thread that works in an arena touches its memory first, which places it near that thread's CPU.
Arena& Engine::arena(int thread) {
    if (!arenas_[thread]) arenas_[thread] = std::make_unique<Arena>(*network_);
    return *arenas_[thread];
}

// One image, by the calling thread alone or by all threads together.
void Engine::image(const uint8_t* pixels, Arena& arena, bool together, uint16_t* features, const Observer* observer) {
    const int threads = together ? pool_.threads() : 1;
    const auto each = [&](int count, const auto& work) {  // work(begin, end)
        if (together)
            pool_.each(count, [&](int, int item) { work(item, item + 1); });
        else
            work(0, count);
    };
    each(threads, [&](int begin, int end) {
        pad_rows(pixels, arena.padded(), kImage * begin / threads, kImage * end / threads);
    });
    if (observer) observer->step_done();
    const StemCall stem = arena.stem_call(*network_);
    const int rows = plan_stem_rows(threads);
    each((kStemPooled + rows - 1) / rows, [&](int begin, int end) {
        network_->kernels->stem(stem, begin * rows, std::min(end * rows, kStemPooled));
    });
    if (observer) observer->step_done();
    if (observer) observer->stage_done(0, arena.output(), size_t(kStemPooled) * kStemPooled * kStemChannels);
    if (observer)
        watch(arena, *observer);
    else
        for (const Part& part : together ? together_ : alone_) {
            const auto item = [&](int i) { compute(arena, part, i); };
            if (together)
                pool_.each(part.items, [&](int, int i) { item(i); });
            else
                for (int i = 0; i < part.items; i++) item(i);
        }
    const Block& last = network_->blocks.back();
    each(last.cout() / kBlock, [&](int begin, int end) {
        sum_positions(arena.output(), last.size_out() * last.size_out(), last.cout(), features, begin * kBlock, end * kBlock);
    });
    if (observer) observer->step_done();
}

// One item of a part, through its steps.
void Engine::compute(const Arena& arena, const Part& part, int item) const {
    const Kernels& kernels = *network_->kernels;
    for (size_t i = part.first; i < part.first + part.count; i++) {
        const ConvCall& call = arena.steps()[i].call;
        const int items = part.by_rows ? kernels.conv_items(call) / call.out_height : 1;
        kernels.conv(call, item * items, (item + 1) * items);
    }
}

// Step after step, each complete before the next.
void Engine::watch(const Arena& arena, const Observer& observer) {
    for (const Step& step : arena.steps()) {
        const int items = network_->kernels->conv_items(step.call);
        pool_.each(items, [&](int, int item) { network_->kernels->conv(step.call, item, item + 1); });
        observer.step_done();
        if (step.last) observer.stage_done(step.block + 1, arena.output(), network_->blocks[step.block].output_bytes());
    }
}

// As many images as go evenly among the threads are computed by one thread each, the rest by all threads together.
void Engine::images(const uint8_t* pixels, int count, uint16_t* features) {
    const int apart = count - count % pool_.threads();
    pool_.each(apart, [&](int thread, int i) {
        image(pixels + i * kImageBytes, arena(thread), false, features + size_t(i) * kFeatures, nullptr);
    });
    for (int i = apart; i < count; i++)
        image(pixels + i * kImageBytes, arena(0), true, features + size_t(i) * kFeatures, nullptr);
}

void Engine::classify(int count, const int8_t* weights, int32_t* logits) {
    pool_.each(kClasses / kClassItem, [&](int, int item) {
        network_->kernels->fully_connected(features_.as<uint16_t>(), count, weights, network_->bias.data(), logits,
                                           item * kClassItem, (item + 1) * kClassItem);
    });
}

void Engine::features(const uint8_t* pixels, int count, uint16_t* features) {
    std::lock_guard lock(mutex_);
    Pool::Session session(pool_);
    images(pixels, count, features);
}

void Engine::logits(const uint8_t* pixels, int count, const int8_t* weights, int32_t* logits) {
    std::lock_guard lock(mutex_);
    Pool::Session session(pool_);
    for (int first = 0; first < count; first += kChunk) {
        const int some = std::min(kChunk, count - first);
        images(pixels + first * kImageBytes, some, features_.as<uint16_t>());
        classify(some, weights, logits + size_t(first) * kClasses);
    }
}

void Engine::stages(const uint8_t* pixels, int count, const std::vector<uint8_t*>& outputs) {
    std::lock_guard lock(mutex_);
    Pool::Session session(pool_);
    for (int i = 0; i < count; i++) {
        std::vector<uint8_t*> of_image = outputs;
        of_image[0] += size_t(i) * kStemPooled * kStemPooled * kStemChannels;
        for (size_t b = 0; b < network_->blocks.size(); b++) of_image[b + 1] += i * network_->blocks[b].output_bytes();
        Observer observer;
        observer.outputs = &of_image;
        image(pixels + i * kImageBytes, arena(0), true, features_.as<uint16_t>(), &observer);
    }
}

std::vector<double> Engine::profile(const uint8_t* pixels, int count, const int8_t* weights) {
    std::lock_guard lock(mutex_);
    Pool::Session session(pool_);
    std::vector<double> seconds(arena(0).steps().size() + 4);
    std::vector<int32_t> logits(kClasses);
    for (int i = 0; i < count; i++) {
        Observer observer;
        observer.seconds = &seconds;
        image(pixels + i * kImageBytes, arena(0), true, features_.as<uint16_t>(), &observer);
        const double started = now();
        classify(1, weights, logits.data());
        seconds.back() += now() - started;
    }
    return seconds;
}

}  // namespace resnet50
