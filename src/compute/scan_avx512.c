/* The search kernels with VNNI: 64 products an instruction, so that memory is what bounds them. Four
 * rows at a time share the loads of the query, and the sums of all four are folded together. */
#include "compute/kernels_scan.h"

#include "compute/cpu.h"
#include <immintrin.h>

static inline __m512i load(const void *bytes)
{
    return _mm512_loadu_si512(bytes);
}

/* The totals of four registers, in order. */
static inline __m128i totals(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

static void dots(int32_t *sums, const uint8_t *rows, size_t width, size_t count,
                 const int8_t *query)
{
    size_t i = 0;
    for (; i + 4 <= count; i += 4, rows += 4 * width) {
        __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
        for (size_t j = 0; j < width; j += 64) {
            __m512i q = load(query + j);
            a = _mm512_dpbusd_epi32(a, load(rows + j), q);
            b = _mm512_dpbusd_epi32(b, load(rows + width + j), q);
            c = _mm512_dpbusd_epi32(c, load(rows + 2 * width + j), q);
            d = _mm512_dpbusd_epi32(d, load(rows + 3 * width + j), q);
            _mm_prefetch((const char *)(rows + 4 * width + 4 * j), _MM_HINT_T0);
            _mm_prefetch((const char *)(rows + 4 * width + 4 * j + 64), _MM_HINT_T0);
            _mm_prefetch((const char *)(rows + 4 * width + 4 * j + 128), _MM_HINT_T0);
            _mm_prefetch((const char *)(rows + 4 * width + 4 * j + 192), _MM_HINT_T0);
        }
        _mm_storeu_si128((__m128i *)(void *)(sums + i), totals(a, b, c, d));
    }
    for (; i < count; i++, rows += width) {
        __m512i sum = _mm512_setzero_si512();
        for (size_t j = 0; j < width; j += 64)
            sum = _mm512_dpbusd_epi32(sum, load(rows + j), load(query + j));
        sums[i] = _mm512_reduce_add_epi32(sum);
    }
}

static size_t pick(uint32_t *out, float *values, const int32_t *sums, const float *scale,
                   const float *slack, const pph_scan_bounds *bounds, float threshold, size_t count)
{
    const __m512 factor = _mm512_set1_ps(bounds->factor), growth = _mm512_set1_ps(bounds->growth);
    const __m512 spread = _mm512_set1_ps(bounds->spread), least = _mm512_set1_ps(threshold);
    const __m512i offset = _mm512_set1_epi32(bounds->offset);
    const __m512i step = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t picked = 0;
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 lanes = count - i < 16 ? (__mmask16)((1u << (count - i)) - 1) : 0xFFFF;
        __m512 sum =
            _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_maskz_loadu_epi32(lanes, sums + i), offset));
        __m512 value =
            _mm512_mul_ps(_mm512_mul_ps(sum, _mm512_maskz_loadu_ps(lanes, scale + i)), factor);
        __m512 most = _mm512_add_ps(
            _mm512_add_ps(value, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, slack + i), growth)),
            spread);
        lanes = _mm512_mask_cmp_ps_mask(lanes, most, least, _CMP_GE_OQ);
        if (!lanes)
            continue;
        __m512i at = _mm512_add_epi32(step, _mm512_set1_epi32((int)i));
        _mm512_mask_compressstoreu_epi32(out + picked, lanes, at);
        _mm512_mask_compressstoreu_ps(values + picked, lanes, value);
        picked += (size_t)__builtin_popcount(lanes);
    }
    return picked;
}

void pph_scan_fill_avx512(pph_scan_kernels *table, unsigned features)
{
    table->pick = pick;
    if (features & PPH_CPU_VNNI) {
        table->name = "avx512-vnni";
        table->dots = dots;
    }
}
