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
// away: little against a 3 ms image, and it saves two context switches a step.
constexpr int kSpins = 2000;
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

// Waits a moment: busily at first, then yielding the CPU.
class Patience {
public:
    void wait() {
        if (spins_++ < kSpins)
            relax();
        else
            std::this_thread::yield();
    }

private:
    int spins_ = 0;
};

}  // namespace

Pool::Pool(int threads) : shares_(threads) {
    for (int i = 1; i < threads; i++) helpers_.emplace_back([this, i] { help(i); });
}

Pool::~Pool() {
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
        open_ = true;
    }
    wake_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
}

Pool::Session::Session(Pool& pool) : pool_(pool) {
    turns().take(pool.threads());
    if (pool.helpers_.empty()) return;
    {
        std::lock_guard lock(pool.mutex_);
        pool.open_ = true;
    }
    pool.wake_.notify_all();
}

Pool::Session::~Session() {
    pool_.open_ = false;
    turns().give_back(pool_.threads());
}

void Pool::run(int count) {
    done_.store(0, std::memory_order_relaxed);
    for (int i = 0; i < threads(); i++) {
        const uint64_t begin = int64_t(count) * i / threads(), end = int64_t(count) * (i + 1) / threads();
        shares_[i].range.store(end << 32 | begin, std::memory_order_release);  // with it, work_ and call_ become visible
    }
    work_on_items(0);
    for (Patience patience; done_.load(std::memory_order_acquire) != count;) patience.wait();
}

// Returns whether there were any. A thread that holds an item keeps the step, and so work_ and call_, as they are.
bool Pool::work_on_items(int thread) {
    bool any = false;
    for (int i = 0; i < threads(); i++) {
        std::atomic<uint64_t>& range = shares_[(thread + i) % threads()].range;
        const auto left = [](uint64_t value) { return uint32_t(value) < uint32_t(value >> 32); };
        int done = 0;
        while (left(range.load(std::memory_order_relaxed))) {
            const uint64_t taken = range.fetch_add(1, std::memory_order_acq_rel);
            if (!left(taken)) break;
            call_(work_, thread, int(uint32_t(taken)));
            done++;
        }
        if (done) done_.fetch_add(done, std::memory_order_acq_rel);
        any = any || done;
    }
    return any;
}

void Pool::help(int thread) {
    for (;;) {
        // Between two sessions it lingers: the next request of a busy server comes sooner than a thread wakes.
        auto until = std::chrono::steady_clock::now() + kLinger;
        for (Patience patience; open_ || std::chrono::steady_clock::now() < until;) {
            if (work_on_items(thread)) {
                patience = Patience();
                until = std::chrono::steady_clock::now() + kLinger;
            } else {
                if (open_ && closing_) return;
                patience.wait();
            }
        }
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return open_.load(); });
    }
}

}  // namespace resnet50
