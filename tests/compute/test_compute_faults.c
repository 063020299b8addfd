/* Every allocation of this room made to fail in turn: the failure is reported as one, nothing leaks
 * (the sanitizer builds see to that), and the next attempt works. */
#include "base/mem.h"
#include "compute/attention.h"
#include "compute/linear.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 70, WIDTH = 64, SIZE = 32 };

static pph_precision precision;
static pph_dtype weights; /* their type */

/* A layer built and used by a team, and attention over its output. */
static pph_status everything(pph_error *err)
{
    static float weight[3 * WIDTH * WIDTH], bias[3 * WIDTH], wide[ROWS * WIDTH];
    static float y[ROWS * 3 * WIDTH], mixed[ROWS * WIDTH];
    static char narrow[ROWS * WIDTH * 4];
    static float scale[ROWS * WIDTH / 32];
    PPH_AUTO(pph_team_free) pph_team *team = NULL;
    PPH_AUTO(pph_scratch_free) pph_scratch *scratch = NULL;
    PPH_AUTO(pph_linear_free) pph_linear *linear = NULL;
    PPH_TRY(pph_team_new(&team, 2, err));
    PPH_TRY(pph_scratch_new(&scratch, err));
    PPH_TRY(pph_linear_new(&linear,
                           &(pph_linear_options){.name = "layer",
                                                 .precision = precision,
                                                 .inputs = WIDTH,
                                                 .outputs = 3 * WIDTH,
                                                 .weight_dtype = weights,
                                                 .weight = weight,
                                                 .bias = bias,
                                                 .rows_hint = ROWS},
                           team, err));
    pph_rows x = {narrow, pph_linear_input(linear), scale, WIDTH};
    PPH_TRY(pph_rows_convert(x, (pph_rows){wide, PPH_F32, NULL, WIDTH}, ROWS, WIDTH, scratch, err));
    pph_rows out = {y, PPH_BF16, NULL, 3 * WIDTH};
    PPH_TRY(pph_linear_run(linear, scratch, ROWS, x, out, false, err));
    pph_attention op = {.q = out,
                        .k = {(pph_bf16 *)(void *)y + WIDTH, PPH_BF16, NULL, 3 * WIDTH},
                        .v = {(pph_bf16 *)(void *)y + 2 * WIDTH, PPH_BF16, NULL, 3 * WIDTH},
                        .out = {mixed, PPH_F32, NULL, WIDTH},
                        .queries = ROWS,
                        .keys = ROWS,
                        .size = SIZE,
                        .scale = 0.2F};
    PPH_TRY(pph_attention_run(&op, 0, WIDTH / SIZE, 0, ROWS, scratch, err));
    PPH_TRY(pph_rows_gate(x, (pph_rows){wide, PPH_F32, NULL, WIDTH},
                          (pph_rows){mixed, PPH_F32, NULL, WIDTH}, ROWS, WIDTH, scratch, err));
    PPH_TRY(pph_rows_rms_norm(x, (pph_rows){wide, PPH_F32, NULL, WIDTH}, ROWS, WIDTH, wide, 1,
                              scratch, err));
    return pph_rows_norm(x, (pph_rows){wide, PPH_F32, NULL, WIDTH}, ROWS, WIDTH, wide, wide, 1,
                         scratch, err);
}

static void test_each_allocation(void **state)
{
    (void)state;
    static const pph_dtype types[] = {PPH_F32, PPH_F32, PPH_F32, PPH_Q4_0, PPH_Q5_1};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        weights = types[i];
        precision =
            weights == PPH_F32 ? (pph_precision)(PPH_PRECISION_F32 + (int)i) : PPH_PRECISION_INT8;
        pph_error err;
        assert_int_equal(everything(&err), PPH_OK);
        uint64_t nth = 1;
        for (;; nth++) {
            memset(&err, 0, sizeof err);
            pph_mem_fail_at(nth, false);
            pph_status status = everything(&err);
            bool reached = pph_mem_count() >= nth;
            pph_mem_fail_at(0, false);
            if (!reached) {
                assert_int_equal(status, PPH_OK);
                break;
            }
            if (status != PPH_OUT_OF_MEMORY || err.status != status || !err.message[0])
                fail_msg("allocation %d at %s gives %s: %s", (int)nth,
                         pph_precision_name(precision), pph_status_name(status), err.message);
        }
        assert_true(nth > (weights == PPH_F32 ? 10 : 5)); /* blocks need no library's objects */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
