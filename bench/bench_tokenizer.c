/* How fast texts become tokens, on one thread, and what texts that are hard to cut cost.
 *
 *   bench_tokenizer TEXT MODEL...
 *
 * TEXT is a file, MODEL a tokenizer.json, a GGUF or a folder. Prints megabytes a second for the file
 * (the best of five), then the seconds for a megabyte of one letter, of spaces, and so forth. Times are
 * the processor's, so that what else runs does not count. */
#include "base/file.h"
#include "base/mem.h"
#include "model/gguf_tokenizer.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { REPEATS = 5, MEGABYTE = 1 << 20 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static pph_status seconds(const pph_tokenizer *t, pph_str text, double *out, pph_error *err)
{
    PPH_AUTO(pph_tokens_deinit) pph_tokens tokens = {0};
    double begin = now();
    PPH_TRY(pph_tokenizer_encode(t, text, NULL, &tokens, err));
    *out = now() - begin;
    return PPH_OK;
}

static pph_status speed(const pph_tokenizer *t, pph_str text, pph_error *err)
{
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        double took = 0;
        PPH_TRY(seconds(t, text, &took, err));
        if (took > 0)
            best = PPH_MAX(best, (double)text.size / took / 1e6);
    }
    printf("%6.1f MB/s ", best);
    return PPH_OK;
}

static pph_status hard_cases(const pph_tokenizer *t, pph_error *err)
{
    static const struct {
        const char *name, *unit;
    } cases[] = {{"letter", "a"},
                 {"spaces", " "},
                 {"emoji", "\xF0\x9F\x98\x80"},
                 {"ideograph", "\xE4\xB8\xAD"},
                 {"marks", "\xCC\x81\xCC\xA3"},
                 {"digits", "1"},
                 {"lines", " \n"}};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
        double took = 0;
        while (text.size < MEGABYTE)
            PPH_TRY(pph_buffer_append(&text, cases[i].unit, strlen(cases[i].unit), err));
        PPH_TRY(pph_buffer_append(&text, "a", 1, err));
        PPH_TRY(seconds(t, (pph_str){(const char *)text.data, text.size}, &took, err));
        printf(" %s %.2f", cases[i].name, took);
    }
    return PPH_OK;
}

static pph_status run(const char *file, const char *model, pph_error *err)
{
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *t = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(pph_file_read(file, &text, err));
    PPH_TRY(pph_model_tokenizer_open(&t, model, err));
    printf("%-32s", pph_path_name(model));
    PPH_TRY(speed(t, (pph_str){(const char *)text.data, text.size}, err));
    PPH_TRY(hard_cases(t, err));
    printf("\n");
    return PPH_OK;
}

int main(int argc, char **argv)
{
    pph_error error;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_tokenizer TEXT MODEL...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        if (run(argv[1], argv[i], &error) != PPH_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 1;
        }
    return 0;
}
