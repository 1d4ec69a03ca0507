// Answers the undefined instructions that masked.py put in the place of CPUID: the CPU's own answer without AVX-512,
// AVX-VNNI and AMX. Anything else that raises SIGILL ends the process as it would have.
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum {
    EBX7 = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31,  // AVX512*
    ECX7 = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14,  // AVX512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
    EDX7 = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25,  // AVX512 *, AMX
    EAX7_1 = 1u << 4 | 1u << 5,                                                      // AVX-VNNI, AVX512 BF16
};

static void answer(int number, siginfo_t* info, void* context) {
    (void)info;
    greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
    const uint8_t* at = (const uint8_t*)registers[REG_RIP];
    if (at[0] != 0x0f || at[1] != 0x0b) {
        signal(number, SIG_DFL);
        return;
    }
    unsigned leaf = (unsigned)registers[REG_RAX], part = (unsigned)registers[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, part, a, b, c, d);
    if (leaf == 7 && part == 0) {
        b &= ~(unsigned)EBX7;
        c &= ~(unsigned)ECX7;
        d &= ~(unsigned)EDX7;
    } else if (leaf == 7 && part == 1) {
        a &= ~(unsigned)EAX7_1;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGILL, &action, NULL);
}
