/* Processor features through the compiler's run-time support, which also asks the system whether
 * the wide registers are enabled. */
#include "compute/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdbool.h>

/* Asked directly: clang 14 knows no such name. The registers that it works on are AVX's. */
static bool has_f16c(void)
{
    unsigned eax, ebx, ecx = 0, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

unsigned pph_cpu_features(void)
{
#if defined(__x86_64__)
    unsigned found = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        found |= PPH_CPU_AVX2;
    if ((found & PPH_CPU_AVX2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        found |= PPH_CPU_AVX512;
        if (__builtin_cpu_supports("avx512vnni"))
            found |= PPH_CPU_VNNI;
        if (__builtin_cpu_supports("avx512bf16"))
            found |= PPH_CPU_BF16;
    }
    return found;
#elif defined(__aarch64__)
    return PPH_CPU_NEON;
#else
    return 0;
#endif
}

unsigned long pph_cpu_flush_denormals(void)
{
#if defined(__x86_64__)
    unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
#elif defined(__aarch64__)
    unsigned long before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1UL << 24));
    return before;
#else
    return 0;
#endif
}

void pph_cpu_restore_float(unsigned long before)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}
