// An engine's runs, one after the other on a thread of their own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "engine.h"

namespace resnet50 {

// Neither the start nor the end of a run waits for a lock of the caller's language. Safe to use from several threads.
class Runs {
public:
    explicit Runs(Engine& engine);
    ~Runs() { close(); }
    Runs(const Runs&) = delete;
    Runs& operator=(const Runs&) = delete;

    // Queues a run (see Engine::logits) and returns its number, from 1. The arrays must live until it has finished.
    uint64_t start(const uint8_t* pixels, int count, const int8_t* weights, int32_t* logits);

    // Waits until a run has finished, for so many seconds at most; returns whether it has.
    bool wait(uint64_t run, double timeout_s);

    // The last run that has finished; those before it have, too.
    uint64_t finished();

    // How many runs have ended and calls of `poke` were made; and a wait, at most so long, until there are more.
    uint64_t events();
    void wait_for_event(uint64_t seen, double timeout_s);
    void poke();

    // Why a run that has finished was not computed; empty where it was.
    std::string error(uint64_t run);

    // Drops the runs that have not begun; `why` is their error.
    void cancel(const std::string& why);

    // Ends the thread after the run that it computes; until then that run's arrays must live. To be called by one thread.
    void close();

private:
    struct Run {
        const uint8_t* pixels;
        int count;
        const int8_t* weights;
        int32_t* logits;
    };

    void work();

    Engine& engine_;
    std::mutex mutex_;
    std::condition_variable started_, ended_;
    std::deque<Run> queue_;
    uint64_t submitted_ = 0, finished_ = 0, pokes_ = 0;
    std::map<uint64_t, std::string> errors_;
    bool cancelled_ = false, closing_ = false;
    std::string why_cancelled_;
    std::thread thread_;
};

}  // namespace resnet50
