/* What this processor can do, asked once. Any thread. */
#ifndef PPH_COMPUTE_CPU_H
#define PPH_COMPUTE_CPU_H

/* Bits. A bit is set only when the system also saves the registers that it needs. */
enum {
    PPH_CPU_AVX2 = 1 << 0,   /* with FMA and F16C */
    PPH_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL; AVX2 is then set as well */
    PPH_CPU_VNNI = 1 << 2,   /* AVX-512 VNNI */
    PPH_CPU_BF16 = 1 << 3,   /* AVX-512 BF16 */
    PPH_CPU_NEON = 1 << 4,   /* Advanced SIMD of AArch64 */
};

unsigned pph_cpu_features(void);

/* Treat subnormal numbers as zero on this thread; returns the state before, for the other. */
unsigned long pph_cpu_flush_denormals(void);
void pph_cpu_restore_float(unsigned long before);

#endif
