#include "runs.h"

#include <chrono>
#include <exception>

namespace resnet50 {

Runs::Runs(Engine& engine) : engine_(engine), thread_([this] { work(); }) {}

void Runs::close() {
    if (!thread_.joinable()) return;
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
        queue_.clear();
    }
    started_.notify_all();
    thread_.join();
}

uint64_t Runs::start(const uint8_t* pixels, int count, const int8_t* weights, int32_t* logits) {
    std::lock_guard lock(mutex_);
    queue_.push_back({pixels, count, weights, logits});
    started_.notify_all();
    return ++submitted_;
}

bool Runs::wait(uint64_t run, double timeout_s) {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return finished_ >= run; });
}

uint64_t Runs::finished() {
    std::lock_guard lock(mutex_);
    return finished_;
}

uint64_t Runs::events() {
    std::lock_guard lock(mutex_);
    return finished_ + pokes_;
}

void Runs::wait_for_event(uint64_t seen, double timeout_s) {
    std::unique_lock lock(mutex_);
    ended_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return finished_ + pokes_ != seen; });
}

void Runs::poke() {
    std::lock_guard lock(mutex_);
    pokes_++;
    ended_.notify_all();
}

std::string Runs::error(uint64_t run) {
    std::lock_guard lock(mutex_);
    const auto found = errors_.find(run);
    return found == errors_.end() ? "" : found->second;
}

void Runs::cancel(const std::string& why) {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    why_cancelled_ = why;
}

void Runs::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        started_.wait(lock, [&] { return closing_ || !queue_.empty(); });
        if (queue_.empty()) return;
        const Run run = queue_.front();
        queue_.pop_front();
        std::string error = cancelled_ ? why_cancelled_ : "";
        if (!cancelled_) {
            lock.unlock();
            try {
                engine_.logits(run.pixels, run.count, run.weights, run.logits);
            } catch (const std::exception& failed) {
                error = std::string("the kernel failed: ") + failed.what();
            }
            lock.lock();
        }
        finished_++;
        if (!error.empty()) errors_[finished_] = error;
        ended_.notify_all();
    }
}

}  // namespace resnet50
