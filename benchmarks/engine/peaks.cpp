// What this CPU can do at most, one thread: each pair of instructions that an inner loop is made of, on registers alone.
// Prints a JSON object of 1e9 multiply-adds a second (those of the network: six or four for a byte looked up).
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Four lookups, then their four additions: one cycle a pair on Zen 4, where strictly in turns they take 1.24.
#define FOUR(op, add, r, a, b, c, d) \
    op " %%" r "14, %%" r "15, %%" r "10\n" op " %%" r "14, %%" r "15, %%" r "11\n" \
    op " %%" r "14, %%" r "15, %%" r "12\n" op " %%" r "14, %%" r "15, %%" r "13\n" \
    add " %%" r "10, %%" r #a ", %%" r #a "\n" add " %%" r "11, %%" r #b ", %%" r #b "\n" \
    add " %%" r "12, %%" r #c ", %%" r #c "\n" add " %%" r "13, %%" r #d ", %%" r #d "\n"
#define EIGHT(op, add, r) FOUR(op, add, r, 0, 1, 2, 3) FOUR(op, add, r, 4, 5, 6, 7)
#define VNNI512(i) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #i "\n"
#define LOW "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm10", "xmm11", "xmm12", "xmm13"

void lookup512() { asm volatile(EIGHT("vpermb", "vpaddb", "zmm")::: LOW); }
void vnni512() {
    asm volatile(VNNI512(0) VNNI512(1) VNNI512(2) VNNI512(3) VNNI512(4) VNNI512(5) VNNI512(6) VNNI512(7)::: LOW);
}
void lookup256() { asm volatile(EIGHT("vpshufb", "vpaddb", "ymm")::: LOW); }
void madd256() { asm volatile(EIGHT("vpmaddwd", "vpaddd", "ymm")::: LOW); }

constexpr int kInstructions = 8;  // or pairs of them, in each

// The best of several short runs: the machine may be shared.
template <void (*body)()>
double rate(double macs) {
    constexpr int kLoops = 300000;
    double best = 1e9;
    for (int repeat = 0; repeat < 15; repeat++) {
        const double started = now();
        for (int i = 0; i < kLoops; i++) body();
        best = std::min(best, now() - started);
    }
    return kInstructions * macs * kLoops / best * 1e-9;
}

}  // namespace

int main() {
    std::printf("{\"avx2 lookup\": %.1f, \"avx2 vpmaddwd\": %.1f", rate<lookup256>(32 * 4), rate<madd256>(16));
    if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
        std::printf(", \"avx512 lookup\": %.1f, \"avx512 vpdpbusd\": %.1f", rate<lookup512>(64 * 6), rate<vnni512>(64));
    std::printf("}\n");
}
