// What this CPU can do at most, one thread: each pair of instructions that an inner loop is made of, on registers alone.
// Prints a JSON object of 1e9 multiply-adds a second (those of the network: six or four for a byte looked up).
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define LOOKUP512(i) "vpermb %%zmm14, %%zmm15, %%zmm13\n vpaddb %%zmm13, %%zmm" #i ", %%zmm" #i "\n"
#define VNNI512(i) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #i "\n"
#define LOOKUP256(i) "vpshufb %%ymm14, %%ymm15, %%ymm13\n vpaddb %%ymm13, %%ymm" #i ", %%ymm" #i "\n"
#define MADD256(i) "vpmaddwd %%ymm14, %%ymm15, %%ymm13\n vpaddd %%ymm13, %%ymm" #i ", %%ymm" #i "\n"
#define LOW "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm13"

void lookup512() { asm volatile(TWELVE(LOOKUP512)::: LOW); }
void vnni512() { asm volatile(TWELVE(VNNI512)::: LOW); }
void lookup256() { asm volatile(TWELVE(LOOKUP256)::: LOW); }
void madd256() { asm volatile(TWELVE(MADD256)::: LOW); }

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
    return 12 * macs * kLoops / best * 1e-9;
}

}  // namespace

int main() {
    std::printf("{\"avx2 lookup\": %.1f, \"avx2 vpmaddwd\": %.1f", rate<lookup256>(32 * 4), rate<madd256>(16));
    if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
        std::printf(", \"avx512 lookup\": %.1f, \"avx512 vpdpbusd\": %.1f", rate<lookup512>(64 * 6), rate<vnni512>(64));
    std::printf("}\n");
}
