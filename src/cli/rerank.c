/* paraphym rerank: documents by how well they answer a query, the best first. */
#include "cli/input.h"
#include "cli/session.h"

#include "base/json.h"
#include "base/mem.h"
#include <paraphym/rerank.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENTS = 10000 }; /* what the service takes at once */

typedef struct rerank_words {
    const char *query; /* the first word */
    pph_cli_inputs documents;
} rerank_words;

static void words_deinit(rerank_words *words)
{
    pph_cli_inputs_deinit(&words->documents);
}

static pph_status take_word(void *context, const char *option, const char *value, pph_error *err)
{
    rerank_words *words = context;
    (void)option;
    if (words->query)
        return pph_cli_inputs_add_text(&words->documents, value, err);
    words->query = value;
    return PPH_OK;
}

typedef struct place {
    size_t index;
    float logit;
} place;

/* The best first; of equal ones the first. Those without a score are not among them. */
static int by_rank(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static pph_status print_json(const pph_cli_input *document, const place *at, float score,
                             pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_print(&line, err, "{\"index\":%zu,\"document\":", at->index));
    PPH_TRY(pph_json_write_string(&line, pph_cli_input_name(document), err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"score\":"));
    PPH_TRY(pph_json_write_float(&line, score, err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"logit\":"));
    PPH_TRY(pph_json_write_float(&line, at->logit, err));
    PPH_TRY(pph_buffer_print(&line, err, "}\n"));
    return pph_command_write(&line, err);
}

static void print_plain(const pph_cli_input *document, float score)
{
    printf("%.4f  ", (double)score);
    pph_command_show(stdout, pph_cli_input_name(document), 0);
    printf("\n");
}

/* Returns an exit status. */
static int print_all(const pph_common *common, const pph_cli_inputs *documents,
                     const pph_scores *found, size_t top)
{
    PPH_AUTO(pph_free_at) place *places = pph_alloc_array(found->count, sizeof *places);
    pph_error error;
    size_t count = 0, failed = 0;
    if (!places)
        return pph_command_failed(
            (PPH_FAIL(&error, PPH_OUT_OF_MEMORY, "no memory for the order"), &error));
    for (size_t i = 0; i < found->count; i++) {
        if (found->errors[i].status == PPH_OK) {
            places[count++] = (place){.index = i, .logit = found->logits[i]};
            continue;
        }
        /* What is wrong with all is told once. */
        if (failed++ == 0 || strcmp(found->errors[i].message, error.message) != 0) {
            pph_error whole;
            error = found->errors[i];
            (void)PPH_FAIL(&whole, error.status, "document %zu: %s", i + 1, error.message);
            pph_command_failed(&whole);
        }
    }
    qsort(places, count, sizeof *places, by_rank);
    for (size_t i = 0; i < count && i < top; i++) {
        const pph_cli_input *document = &documents->items[places[i].index];
        float score = found->scores[places[i].index];
        if (!common->json)
            print_plain(document, score);
        else if (print_json(document, &places[i], score, &error) != PPH_OK)
            return pph_command_failed(&error);
    }
    return failed ? PPH_EXIT_FAILED : PPH_EXIT_OK;
}

static int run(const pph_common *common, rerank_words *words, const pph_multimodal_options *service,
               size_t top)
{
    pph_cli_inputs *documents = &words->documents;
    pph_error error;
    if (pph_cli_inputs_read(documents, DOCUMENTS, &error) != PPH_OK)
        return pph_command_failed(&error);
    PPH_AUTO(pph_free_at) const char **texts = pph_alloc_array(documents->count + 1, sizeof *texts);
    if (!texts)
        return pph_command_failed(
            (PPH_FAIL(&error, PPH_OUT_OF_MEMORY, "no memory for the documents"), &error));
    for (size_t i = 0; i < documents->count; i++) {
        pph_input view = pph_cli_input_view(&documents->items[i]);
        texts[i] = view.data;
        if (memchr(view.data, 0, view.size))
            return pph_command_failed(
                (PPH_FAIL(&error, PPH_INVALID_ARGUMENT, "document %zu contains a zero byte", i + 1),
                 &error));
    }
    PPH_AUTO(pph_session_close) pph_session session = {0};
    if (pph_session_open(&session, common, service, &error) != PPH_OK)
        return pph_command_failed(&error);
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_rerank(session.multimodal, words->query, texts, documents->count);
    if (pph_loading_wait(session.loading, future, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(print_all(common, documents, pph_future_value(future), top));
}

int pph_rerank_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(words_deinit) rerank_words words = {0};
    pph_multimodal_options service = pph_multimodal_defaults();
    long top = DOCUMENTS;
    const pph_option own[] = {
        {"top", 0, PPH_OPTION_INTEGER, &top, 1, DOCUMENTS, "N", "only the N best"},
        {"truncate", 0, PPH_OPTION_FLAG, &service.truncate, 0, 0, NULL,
         "cut pairs that are too long for the model"},
        {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_word, &words);
    if (leave >= 0)
        return leave;
    if (!words.query || !words.documents.count)
        return pph_command_usage(self, "give a query, then documents, or '-' for one a line");
    return run(&common, &words, &service, (size_t)top);
}
