/* Times every tensor kernel for every instruction set that this processor has: nanoseconds a call on
 * sizes that a ViT has, and how many times faster than plain C that is.
 *
 *   bench_kernels
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "compute/cpu.h"
#include "compute/kernels.h"
#include <stdio.h>
#include <string.h>

enum { WIDTH = 768, KEYS = 577, SIZE = 64, ROWS = 24, STRIDE = 3 * WIDTH, TRIES = 300 };

/* Numbers that all cases work on. */
typedef struct room {
    float *in, *out, *gamma, *panel;
    pph_bf16 *halves, *narrow, *panel16;
    int8_t *bytes;
    int32_t *sums;
} room;

typedef struct timed {
    const char *name;
    void (*run)(const pph_tensor_kernels *k, room *r);
} timed;

static void run_widen16(const pph_tensor_kernels *k, room *r)
{
    k->f32_from_f16(r->out, r->halves, WIDTH);
}
static void run_widen(const pph_tensor_kernels *k, room *r)
{
    k->f32_from_bf16(r->out, r->halves, WIDTH);
}
static void run_narrow(const pph_tensor_kernels *k, room *r)
{
    k->bf16_from_f32(r->narrow, r->in, WIDTH);
}
static void run_bytes(const pph_tensor_kernels *k, room *r)
{
    k->i8_from_f32(r->bytes, r->in, WIDTH);
}
static void run_add(const pph_tensor_kernels *k, room *r)
{
    k->add(r->out, r->in, r->gamma, WIDTH);
}
static void run_dot(const pph_tensor_kernels *k, room *r)
{
    r->out[0] = k->dot(r->in, r->gamma, WIDTH);
}
static void run_quick(const pph_tensor_kernels *k, room *r)
{
    memcpy(r->out, r->in, WIDTH * sizeof *r->out);
    k->activate[PPH_ACT_QUICK_GELU](r->out, WIDTH);
}
static void run_erf(const pph_tensor_kernels *k, room *r)
{
    memcpy(r->out, r->in, WIDTH * sizeof *r->out);
    k->activate[PPH_ACT_GELU_ERF](r->out, WIDTH);
}
static void run_norm(const pph_tensor_kernels *k, room *r)
{
    k->norm(r->out, r->in, r->gamma, r->gamma, 1e-5F, WIDTH);
}
static void run_norm16(const pph_tensor_kernels *k, room *r)
{
    k->norm_bf16(r->narrow, r->in, r->gamma, r->gamma, 1e-5F, WIDTH);
}
static void run_rms_norm(const pph_tensor_kernels *k, room *r)
{
    k->rms_norm(r->out, r->in, r->gamma, 1e-5F, WIDTH);
}
static void run_rotate(const pph_tensor_kernels *k, room *r)
{
    k->rotate(r->out, r->gamma, SIZE / 2, WIDTH / SIZE, SIZE);
}
static void run_gate(const pph_tensor_kernels *k, room *r)
{
    k->gate(r->out, r->in, r->gamma, WIDTH);
}
static void run_gate16(const pph_tensor_kernels *k, room *r)
{
    k->gate_bf16(r->narrow, r->in, r->gamma, WIDTH);
}
static void run_exp(const pph_tensor_kernels *k, room *r)
{
    k->exponents(r->out, r->in, 0.125F, KEYS);
}
static void run_exp16(const pph_tensor_kernels *k, room *r)
{
    k->exponents_bf16(r->narrow, r->in, 0.125F, KEYS);
}
static void run_dequantise(const pph_tensor_kernels *k, room *r)
{
    k->dequantise(r->out, r->sums, r->sums, r->gamma, 0.01F, r->gamma, WIDTH);
}
static void run_rows(const pph_tensor_kernels *k, room *r)
{
    k->panel_rows(r->panel, r->in, STRIDE, SIZE, PPH_PANEL);
}
static void run_columns(const pph_tensor_kernels *k, room *r)
{
    k->panel_columns(r->panel, r->in, STRIDE, SIZE, PPH_PANEL);
}
static void run_multiply(const pph_tensor_kernels *k, room *r)
{
    k->panel_multiply(r->out, PPH_PANEL, r->in, STRIDE, r->panel, ROWS, SIZE);
}
static void run_rows16(const pph_tensor_kernels *k, room *r)
{
    k->panel_rows_bf16(r->panel16, r->halves, STRIDE, SIZE, PPH_PANEL);
}
static void run_columns16(const pph_tensor_kernels *k, room *r)
{
    k->panel_columns_bf16(r->panel16, r->halves, STRIDE, SIZE, PPH_PANEL);
}
static void run_multiply16(const pph_tensor_kernels *k, room *r)
{
    k->panel_multiply_bf16(r->out, PPH_PANEL, r->halves, STRIDE, r->panel16, ROWS, SIZE);
}

static const timed cases[] = {
    {"f32_from_f16 768", run_widen16},
    {"f32_from_bf16 768", run_widen},
    {"bf16_from_f32 768", run_narrow},
    {"i8_from_f32 768", run_bytes},
    {"add 768", run_add},
    {"dot 768", run_dot},
    {"quick_gelu 768", run_quick},
    {"gelu_erf 768", run_erf},
    {"norm 768", run_norm},
    {"norm_bf16 768", run_norm16},
    {"rms_norm 768", run_rms_norm},
    {"rotate 12x64", run_rotate},
    {"gate 768", run_gate},
    {"gate_bf16 768", run_gate16},
    {"exponents 577", run_exp},
    {"exponents_bf16 577", run_exp16},
    {"dequantise 768", run_dequantise},
    {"panel_rows 64", run_rows},
    {"panel_columns 64", run_columns},
    {"panel_multiply 24x64", run_multiply},
    {"panel_rows_bf16 64", run_rows16},
    {"panel_columns_bf16 64", run_columns16},
    {"panel_multiply_bf16 24x64", run_multiply16},
};

/* The least nanoseconds of a call, over runs of 20. */
static double measure(const timed *which, const pph_tensor_kernels *kernels, room *r)
{
    double best = 1e30;
    for (int i = 0; i < TRIES; i++) {
        pph_nanos start = pph_clock_now();
        for (int j = 0; j < 20; j++)
            which->run(kernels, r);
        double took = (double)(pph_clock_now() - start) / 20;
        if (took < best)
            best = took;
    }
    return best;
}

static void *numbers(size_t count, size_t size)
{
    return pph_alloc_aligned(count * size);
}

int main(void)
{
    static const unsigned sets[] = {0, PPH_CPU_AVX2, PPH_CPU_AVX2 | PPH_CPU_AVX512,
                                    PPH_CPU_AVX2 | PPH_CPU_AVX512 | PPH_CPU_VNNI | PPH_CPU_BF16,
                                    PPH_CPU_NEON};
    const size_t n = (size_t)STRIDE * PPH_PANEL;
    room r = {numbers(n, 4), numbers(n, 4), numbers(n, 4), numbers(n, 4), numbers(n, 2),
              numbers(n, 2), numbers(n, 2), numbers(n, 1), numbers(n, 4)};
    if (!r.in || !r.out || !r.gamma || !r.panel || !r.halves || !r.narrow || !r.panel16 ||
        !r.bytes || !r.sums)
        return 1;
    for (size_t i = 0; i < n; i++) {
        r.in[i] = (float)(i * 2654435761U >> 8 & 1023) / 256 - 2;
        r.gamma[i] = 1 + r.in[i] / 8;
        r.halves[i] = pph_f32_to_bf16(r.in[i]);
        r.panel[i] = r.in[i];
        r.panel16[i] = r.halves[i];
        r.sums[i] = (int32_t)i;
    }
    for (size_t c = 0; c < PPH_COUNT(cases); c++) {
        double plain = 0;
        printf("%-26s", cases[c].name);
        for (size_t s = 0; s < PPH_COUNT(sets); s++) {
            static pph_kernels table;
            if (sets[s] & ~pph_cpu_features())
                continue;
            pph_kernels_fill(&table, sets[s]);
            double took = measure(&cases[c], &table.tensor, &r);
            plain = s ? plain : took;
            printf("  %s%s %8.1f ns (%5.1f x)", table.tensor.name,
                   table.tensor.bf16_dot ? "+bf16" : "", took, plain / took);
        }
        printf("\n");
    }
    void *all[] = {r.in, r.out, r.gamma, r.panel, r.halves, r.narrow, r.panel16, r.bytes, r.sums};
    for (size_t i = 0; i < PPH_COUNT(all); i++)
        pph_free(all[i]);
    return 0;
}
