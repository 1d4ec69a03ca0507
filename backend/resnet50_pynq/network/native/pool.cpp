#include "pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace resnet50 {

namespace {

// Steps of one image are tens of microseconds apart, so waiting threads look for a while before they give their CPU
// away. The figures cost little against a 3 ms image and save two context switches a step.
constexpr int kSpins = 20000;
constexpr auto kLinger = std::chrono::microseconds(50);

void relax() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

int cpus() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return std::max(1, int(std::thread::hardware_concurrency()));
}

// The CPUs of this process, lent to one run after the other in the order of their coming.
class Turns {
public:
    void take(int threads) {
        std::unique_lock lock(mutex_);
        const unsigned ticket = tickets_++;
        // A run that wants more threads than there are CPUs was told so by its owner; it runs alone.
        changed_.wait(lock, [&] { return ticket == serving_ && (busy_ == 0 || busy_ + threads <= limit_); });
        serving_++;
        busy_ += threads;
        changed_.notify_all();
    }
    void give_back(int threads) {
        std::lock_guard lock(mutex_);
        busy_ -= threads;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    unsigned tickets_ = 0, serving_ = 0;
    int busy_ = 0;
    const int limit_ = cpus();
};

Turns& turns() {
    static Turns instance;
    return instance;
}

}  // namespace

void Team::wait_for_round(int round) {
    for (int spin = 0; round_.load(std::memory_order_acquire) == round; spin++) {
        if (spin < kSpins)
            relax();
        else
            std::this_thread::yield();  // another process has the CPU that the last member needs
    }
}

Pool::Pool(int threads) {
    for (int i = 1; i < threads; i++) helpers_.emplace_back([this, i] { help(i); });
}

Pool::~Pool() {
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
        jobs_.fetch_add(1);
    }
    wake_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
}

void Pool::run(const std::function<void(int)>& job) {
    turns().take(threads());
    if (!helpers_.empty()) {
        std::lock_guard lock(mutex_);
        job_ = &job;
        running_.store(int(helpers_.size()), std::memory_order_relaxed);
        jobs_.fetch_add(1, std::memory_order_release);
        wake_.notify_all();
    }
    job(0);
    if (!helpers_.empty()) {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return running_.load(std::memory_order_acquire) == 0; });
    }
    turns().give_back(threads());
}

void Pool::help(int thread) {
    for (unsigned seen = 0;; seen++) {
        const auto until = std::chrono::steady_clock::now() + kLinger;
        while (jobs_.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < until) relax();
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return jobs_.load(std::memory_order_relaxed) != seen; });
            if (closing_) return;
        }
        (*job_)(thread);
        std::lock_guard lock(mutex_);
        if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) done_.notify_one();
    }
}

}  // namespace resnet50
