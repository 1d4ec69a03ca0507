// Threads that work on one image together or on one image each.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace resnet50 {

// The threads that share a piece of work. Every member calls `each` with the same sequence of item counts.
class Team {
public:
    explicit Team(int size) : shares_(size) {}
    int size() const { return int(shares_.size()); }

    // Calls work(begin, end) until items 0..count are done once, shared among the members: first the caller's own
    // contiguous share, which keeps its data in its core's cache, then whatever slower members have left. What all
    // members did before this call is finished and visible when work starts.
    template <typename Work>
    void each(int member, int count, const Work& work) {
        if (size() == 1) {
            work(0, count);
            return;
        }
        meet([&] {
            for (int i = 0; i < size(); i++) {
                shares_[i].next.store(count * i / size(), std::memory_order_relaxed);
                shares_[i].end = count * (i + 1) / size();
            }
        });
        for (int i = 0; i < size(); i++) {
            Share& share = shares_[(member + i) % size()];
            for (int item; (item = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) work(item, item + 1);
        }
    }

    // Waits for all members.
    void finish() {
        if (size() > 1) meet([] {});
    }

private:
    struct alignas(64) Share {
        std::atomic<int> next{0};
        int end = 0;
    };

    // A barrier; the last to arrive runs `prepare` before anyone leaves.
    template <typename Prepare>
    void meet(const Prepare& prepare) {
        const int round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
            prepare();
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
        } else {
            wait_for_round(round);
        }
    }
    void wait_for_round(int round);

    std::vector<Share> shares_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<int> round_{0};
};

// A caller and threads - 1 helpers that sleep between jobs.
class Pool {
public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    int threads() const { return int(helpers_.size()) + 1; }

    // Runs job(thread) on every thread, thread 0 being the caller, and returns when all are done. One run at a time.
    // Pools of one process together run at most as many threads as there are CPUs; a run waits for its turn.
    void run(const std::function<void(int)>& job);

private:
    void help(int thread);

    std::vector<std::thread> helpers_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int)>* job_ = nullptr;
    std::atomic<unsigned> jobs_{0};
    std::atomic<int> running_{0};
    bool closing_ = false;
};

}  // namespace resnet50
