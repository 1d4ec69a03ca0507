#include "plan.h"

#include <algorithm>

namespace resnet50 {

namespace {

// What a meeting costs, in multiply-adds of one thread: about two microseconds.
constexpr double kMeeting = 1.5e6;

int rounds(int items, int threads) { return (items + threads - 1) / threads; }

// What the busiest thread does, in multiply-adds.
double cost(const Part& part, int threads) { return part.macs / part.items * rounds(part.items, threads) + kMeeting; }

Part make_part(const std::vector<Step>& steps, size_t first, size_t count, int items, bool by_rows) {
    Part part{first, count, items, by_rows, 0};
    for (size_t i = first; i < first + count; i++) part.macs += steps[i].macs();
    return part;
}

}  // namespace

double Step::macs() const {
    return double(call.out_height) * call.out_width * call.conv->cin * call.conv->cout * call.conv->taps();
}

std::vector<Part> plan_parts(const std::vector<Step>& steps, const Kernels& kernels, int threads) {
    std::vector<Part> plan;
    for (size_t first = 0, end; first < steps.size(); first = end) {
        for (end = first + 1; end < steps.size() && steps[end].joins;) end++;
        const Part chain = make_part(steps, first, end - first, steps[first].call.out_height, true);
        std::vector<Part> apart;
        double apart_cost = 0;
        for (size_t i = first; i < end;) {
            // A shortcut goes with what it is added to, so that an item's is still in the cache.
            const size_t count = steps[i].call.emit == Emit::levels ? 2 : 1;
            apart.push_back(make_part(steps, i, count, kernels.conv_items(steps[i].call), false));
            apart_cost += cost(apart.back(), threads);
            i += count;
        }
        // One thread has no other to meet, and is 1 % faster a step at a time.
        if (threads > 1 && cost(chain, threads) <= apart_cost)
            plan.push_back(chain);
        else
            plan.insert(plan.end(), apart.begin(), apart.end());
    }
    return plan;
}

int plan_stem_rows(int threads) {
    int best = kStemPooled;
    const auto conv_rows = [&](int rows) { return rounds(rounds(kStemPooled, rows), threads) * (2 * rows + 1); };
    for (int rows = 1; rows <= kStemPooled; rows++)
        if (conv_rows(rows) < conv_rows(best)) best = rows;
    return best;
}

}  // namespace resnet50
