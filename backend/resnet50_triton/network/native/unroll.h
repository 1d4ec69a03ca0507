// Loops that are certainly unrolled. Arrays of vectors stay in registers only if every index is a constant early on;
// GCC 12 spills them where it unrolls a plain loop itself.
#pragma once

#include <type_traits>
#include <utility>

#define RESNET50_INLINE __attribute__((always_inline))

namespace resnet50 {
namespace {

template <typename Body, int... I>
RESNET50_INLINE inline void unroll_each(std::integer_sequence<int, I...>, const Body& body) {
    (body(std::integral_constant<int, I>{}), ...);
}

// Calls body(0), ..., body(Count - 1); its argument is a compile-time constant.
template <int Count, typename Body>
RESNET50_INLINE inline void unroll(const Body& body) {
    unroll_each(std::make_integer_sequence<int, Count>{}, body);
}

}  // namespace
}  // namespace resnet50
