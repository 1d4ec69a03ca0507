// Threads that share work in small items.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace resnet50 {

// A caller and threads - 1 helpers. A step is finished when its items are, not when every thread has come: a helper
// that has lost its CPU to another process holds up nothing but the item it is at.
class Pool {
public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    int threads() const { return int(shares_.size()); }

    // While one lives, its maker may call `each` and the helpers stay awake. One at a time for a pool. The pools of a
    // process together run at most as many threads as it has CPUs; a session waits for its turn.
    class Session {
    public:
        explicit Session(Pool& pool);
        ~Session();
        Session(const Session&) = delete;
        Session& operator=(const Session&) = delete;

    private:
        Pool& pool_;
    };

    // Calls work(thread, item) once for each item 0..count-1 and returns when all are done; count is below 2^31. A
    // thread takes first from its own contiguous share, which keeps its data in its core's cache, then from others'.
    template <typename Work>
    void each(int count, const Work& work) {
        work_ = &work;
        call_ = [](const void* function, int thread, int item) { (*static_cast<const Work*>(function))(thread, item); };
        run(count);
    }

private:
    struct alignas(64) Share {
        std::atomic<uint64_t> range{0};  // end in the high half, next item in the low
    };

    void run(int count);
    bool work_on_items(int thread);
    void help(int thread);

    const void* work_ = nullptr;
    void (*call_)(const void*, int, int) = nullptr;
    std::vector<Share> shares_;
    alignas(64) std::atomic<int> done_{0};
    alignas(64) std::atomic<bool> open_{false};
    std::atomic<bool> closing_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> helpers_;
};

}  // namespace resnet50
