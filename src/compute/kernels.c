/* Chooses the kernels, once. */
#include "compute/kernels.h"

#include "compute/cpu.h"
#include <pthread.h>

static pph_kernels chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void pph_kernels_fill(pph_kernels *table, unsigned features)
{
    pph_pixels_fill_c(&table->pixels);
    pph_tensor_fill_c(&table->tensor);
    pph_scan_fill_c(&table->scan);
    pph_pages_fill_c(&table->pages);
    pph_strips_fill_c(&table->strips);
#if defined(__x86_64__)
    if (features & PPH_CPU_AVX2) {
        pph_pixels_fill_avx2(&table->pixels);
        pph_tensor_fill_avx2(&table->tensor);
        pph_scan_fill_avx2(&table->scan);
        pph_pages_fill_avx2(&table->pages);
        pph_strips_fill_avx2(&table->strips);
    }
    if (features & PPH_CPU_AVX512) {
        pph_pixels_fill_avx512(&table->pixels, features);
        pph_tensor_fill_avx512(&table->tensor, features);
        pph_scan_fill_avx512(&table->scan, features);
        pph_pages_fill_avx512(&table->pages, features);
        pph_strips_fill_avx512(&table->strips, features);
    }
#elif defined(__aarch64__)
    if (features & PPH_CPU_NEON) {
        pph_pixels_fill_neon(&table->pixels);
        pph_tensor_fill_neon(&table->tensor);
        pph_scan_fill_neon(&table->scan);
        pph_pages_fill_neon(&table->pages);
        pph_strips_fill_neon(&table->strips);
    }
#else
    (void)features;
#endif
}

static void choose(void)
{
    pph_kernels_fill(&chosen, pph_cpu_features());
}

const pph_kernels *pph_kernels_get(void)
{
    pthread_once(&once, choose);
    return &chosen;
}
