// How the steps of one image are shared among threads.
#pragma once

#include <vector>

#include "kernels.h"

namespace resnet50 {

// One convolution over an image. One that `joins` the step before needs, besides what was complete before the chain that
// it joins, only the same row of it.
struct Step {
    ConvCall call;
    int block;   // number of its block
    bool joins;
    bool last;   // the block's output is complete after it

    double macs() const;
};

// Steps between two meetings of the threads. Its items are rows, each through all the steps, or else items of the
// kernels, each through all the steps.
struct Part {
    size_t first, count;
    int items;
    bool by_rows;
    double macs;
};

// Threads meet after a 3x3 that needs its neighbours' rows; up to there a row's results stay in its thread's cache. Where
// rows would go badly among the threads, as the 7 of the last stage, single steps have more items, and more meetings.
std::vector<Part> plan_parts(const std::vector<Step>& steps, const Kernels& kernels, int threads);

// Pooled rows of an item of the stem. Each item computes one row of conv0 more than it keeps.
int plan_stem_rows(int threads);

}  // namespace resnet50
