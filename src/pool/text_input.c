/* Texts on their way into a model. The tokenizer is opened with the first text, since a picture does
 * not need it and a large vocabulary takes a while to read.
 *
 * A prepared text is   skipped, second, id, id ...   : how many ids are not pooled, and from which one on
 * they belong to the second text of a pair. */
#include "pool/text_input.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/tokenizer.h"
#include "weights/sentence.h"
#include <pthread.h>
#include <string.h>

enum { HEADER = 2 };
#define CONFIG_LIMIT ((size_t)64 << 20)

struct pph_text_input {
    char *folder;
    pph_model_info info;
    pph_sentence *sentence; /* NULL for a CLIP, whose texts are given as they are */
    bool nomic;
    bool
        ends; /* tokenizer_config.json wants an end token, which tokenizer.json does not put there */

    pthread_mutex_t mutex; /* guards the opening of the tokenizer */
    bool tokenizer_tried;
    pph_tokenizer *tokenizer;
    pph_error tokenizer_error;
};

pph_status pph_text_input_new(pph_text_input **out, const char *folder, const pph_model *model,
                              pph_error *err)
{
    PPH_AUTO(pph_text_input_free) pph_text_input *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    pthread_mutex_init(&it->mutex, NULL);
    if (!(it->folder = pph_str_copy(pph_str_view(folder))))
        return PPH_FAIL_MEMORY(err, strlen(folder) + 1);
    pph_str type = pph_str_view(pph_model_type(model));
    it->info = *pph_model_describe(model);
    it->nomic = pph_str_equal(type, PPH_STR("nomic_bert"));
    if (!pph_str_starts(type, "clip"))
        PPH_TRY(pph_sentence_read(&it->sentence, folder, err));
    *out = PPH_TAKE(it);
    return PPH_OK;
}

void pph_text_input_free(pph_text_input **input)
{
    pph_text_input *it = PPH_TAKE(*input);
    if (!it)
        return;
    pph_tokenizer_close(&it->tokenizer);
    pph_sentence_free(&it->sentence);
    pthread_mutex_destroy(&it->mutex);
    pph_free(it->folder);
    pph_free(it);
}

/* Whether texts shall end in the end token, and do not by themselves: some decoders' folders say it beside
 * their tokenizer.json alone ("add_eos_token"). */
static pph_status look_for_end(pph_text_input *it, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(it->folder, "tokenizer_config.json");
    PPH_AUTO(pph_json_free) pph_json *config = NULL;
    PPH_AUTO(pph_tokens_deinit) pph_tokens around = {0};
    bool wanted = false;
    int32_t end = pph_tokenizer_end(it->tokenizer);
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(it->folder) + 32);
    if (!it->sentence || end < 0 || pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_OK;
    PPH_TRY(pph_json_load(&config, path, CONFIG_LIMIT, err));
    PPH_TRY(pph_json_get_bool(config, "add_eos_token", false, &wanted, err));
    PPH_TRY(pph_tokenizer_encode(it->tokenizer, PPH_STR(""), NULL, &around, err));
    it->ends = wanted && (!around.count || around.ids[around.count - 1] != end);
    return PPH_OK;
}

/* A failure for want of memory is not remembered: the next text tries again. */
static pph_status open_tokenizer(pph_text_input *it, pph_error *err)
{
    pthread_mutex_lock(&it->mutex);
    if (!it->tokenizer_tried) {
        pph_error *error = &it->tokenizer_error;
        pph_status status = pph_tokenizer_open(&it->tokenizer, it->folder, error);
        if (status == PPH_OK)
            status = look_for_end(it, error);
        it->tokenizer_tried = status != PPH_OUT_OF_MEMORY;
        if (status != PPH_OK)
            pph_tokenizer_close(&it->tokenizer);
    }
    pph_error failed = it->tokenizer_error;
    bool open = it->tokenizer != NULL;
    pthread_mutex_unlock(&it->mutex);
    return open ? PPH_OK : PPH_FAIL(err, failed.status, "%s", failed.message);
}

/* The most tokens of a text: the model's, and the tokenizer's where it says less. */
static size_t limit_of(const pph_text_input *it)
{
    size_t limit = it->sentence ? pph_tokenizer_limit(it->tokenizer) : 0;
    return limit ? PPH_MIN(limit, it->info.context) : it->info.context;
}

/* What is put before a text. nomic's models were trained with these words and their folders do not name
 * them; no other kind can be told by its files. */
static pph_status find_prompt(const pph_text_input *it, const char *task, pph_str *prompt,
                              pph_error *err)
{
    static const pph_str query = {"search_query: ", 14}, document = {"search_document: ", 17};
    *prompt = (pph_str){NULL, 0};
    if (!it->sentence && task && strcmp(task, "query") != 0 && strcmp(task, "document") != 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: the model knows no tasks, '%.60s' neither",
                        it->folder, task);
    if (!it->sentence)
        return PPH_OK;
    pph_status status = pph_sentence_find(it->sentence, task, prompt, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, it->folder);
    if (it->nomic && !it->sentence->prompt_count && task)
        *prompt = strcmp(task, "query") == 0 ? query : document;
    return PPH_OK;
}

/* Without white space at either end, as sentence-transformers gives texts to the tokenizer. */
static pph_str strip(pph_str text)
{
    size_t length, first = text.size, last = 0;
    for (size_t at = 0; at < text.size; at += length) {
        if (pph_unicode_space(pph_utf8_decode(text, at, &length)))
            continue;
        first = PPH_MIN(first, at);
        last = at + length;
    }
    return first < last ? (pph_str){text.data + first, last - first} : (pph_str){text.data, 0};
}

/* The text as the tokenizer gets it; `whole` and `lower` keep what had to be made. */
static pph_status word(const pph_text_input *it, pph_str prompt, pph_str *text, pph_buffer *whole,
                       pph_buffer *lower, pph_error *err)
{
    if (prompt.size) {
        PPH_TRY(pph_buffer_append(whole, prompt.data, prompt.size, err));
        PPH_TRY(pph_buffer_append(whole, text->data, text->size, err));
        *text = (pph_str){(const char *)whole->data, whole->size};
    }
    if (it->sentence && it->sentence->found)
        *text = strip(*text);
    if (it->sentence && it->sentence->lower_case) {
        PPH_TRY(pph_str_lower(*text, lower, err));
        *text = (pph_str){(const char *)lower->data, lower->size};
    }
    return PPH_OK;
}

/* How many ids of the prompt are left out of the pooling: all of its own, and what stands before it. */
static pph_status count_skipped(const pph_text_input *it, pph_str prompt, size_t *out,
                                pph_error *err)
{
    *out = 0;
    if (!prompt.size || !it->sentence->skip_prompt)
        return PPH_OK;
    PPH_AUTO(pph_tokens_deinit) pph_tokens tokens = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer whole = {0}, lower = {0};
    pph_str text = prompt;
    PPH_TRY(word(it, (pph_str){NULL, 0}, &text, &whole, &lower, err));
    PPH_TRY(pph_tokenizer_encode(it->tokenizer, text, NULL, &tokens, err));
    size_t count = tokens.count;
    if (count && tokens.ids[count - 1] == pph_tokenizer_end(it->tokenizer))
        count--;
    *out = count;
    return PPH_OK;
}

/* ids  [count] to the form that is described above */
static pph_status give(const int32_t *ids, size_t size, size_t skipped, size_t second,
                       int32_t **out, size_t *count, pph_error *err)
{
    int32_t *made = pph_alloc_array(HEADER + size, sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, (HEADER + size) * sizeof *made);
    made[0] = (int32_t)skipped;
    made[1] = (int32_t)second;
    memcpy(made + HEADER, ids, size * sizeof *ids);
    *out = made;
    *count = HEADER + size;
    return PPH_OK;
}

static pph_status check(const pph_text_input *it, bool pair, pph_error *err)
{
    if (pair ? it->info.labels == 1 : it->info.texts)
        return PPH_OK;
    if (pair && it->info.labels)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: the model gives a pair of texts %zu numbers; one that ranks gives one",
                        it->folder, it->info.labels);
    if (pair)
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "%s: the model embeds and does not judge pairs of texts; use a cross-encoder "
            "(a reranker)",
            it->folder);
    if (it->info.labels)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: the model judges pairs of texts and embeds none; use it to rerank",
                        it->folder);
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "%s: the model has no text tower; it embeds pictures alone", it->folder);
}

static pph_status prepare_pair(const pph_text_input *it, const pph_embedding_text *text,
                               const pph_tokenizer_options *options, int32_t **out, size_t *count,
                               pph_error *err)
{
    PPH_AUTO(pph_encoding_deinit) pph_encoding made = {0};
    PPH_TRY(pph_tokenizer_encode_pair(it->tokenizer, text->query, text->text, options, &made, err));
    size_t second = 0;
    while (second < made.types.count && made.types.ids[second] == 0)
        second++;
    return give(made.ids.ids, made.ids.count, 0, second, out, count, err);
}

pph_status pph_text_input_prepare(const pph_text_input *input, const pph_embedding_text *text,
                                  int32_t **out, size_t *count, pph_error *err)
{
    PPH_TRY(check(input, text->query.data != NULL, err));
    PPH_TRY(open_tokenizer((pph_text_input *)input, err));
    pph_tokenizer_options options = pph_tokenizer_defaults();
    options.limit = limit_of(input);
    options.truncate = text->truncate;
    if (text->query.data)
        return prepare_pair(input, text, &options, out, count, err);
    PPH_AUTO(pph_tokens_deinit) pph_tokens tokens = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer whole = {0}, lower = {0};
    pph_str prompt, worded = text->text;
    size_t skipped;
    PPH_TRY(find_prompt(input, text->task, &prompt, err));
    PPH_TRY(word(input, prompt, &worded, &whole, &lower, err));
    options.limit -= input->ends;
    PPH_TRY(pph_tokenizer_encode(input->tokenizer, worded, &options, &tokens, err));
    if (input->ends)
        PPH_TRY(pph_tokens_add(&tokens, pph_tokenizer_end(input->tokenizer), err));
    if (!tokens.count)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the text has no tokens");
    PPH_TRY(count_skipped(input, prompt, &skipped, err));
    return give(tokens.ids, tokens.count, skipped, tokens.count, out, count, err);
}

pph_status pph_text_batch_init(pph_text_batch *batch, size_t count, const int32_t *const *prepared,
                               const size_t *sizes, pph_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += sizes[i] - HEADER;
    *batch = (pph_text_batch){.ids = pph_alloc_array(total, sizeof *batch->ids),
                              .numbers = pph_alloc_array(3 * count, sizeof *batch->numbers)};
    if (!batch->ids || !batch->numbers)
        return PPH_FAIL_MEMORY(err, total * sizeof *batch->ids);
    size_t *lengths = batch->numbers, *seconds = lengths + count, *skipped = seconds + count;
    for (size_t i = 0, at = 0; i < count; at += lengths[i++]) {
        lengths[i] = sizes[i] - HEADER;
        skipped[i] = (size_t)prepared[i][0];
        seconds[i] = (size_t)prepared[i][1];
        memcpy(batch->ids + at, prepared[i] + HEADER, lengths[i] * sizeof *batch->ids);
    }
    batch->texts = (pph_texts){.count = count,
                               .ids = batch->ids,
                               .lengths = lengths,
                               .seconds = seconds,
                               .skipped = skipped};
    return PPH_OK;
}

void pph_text_batch_deinit(pph_text_batch *batch)
{
    pph_free(batch->ids);
    pph_free(batch->numbers);
    *batch = (pph_text_batch){0};
}
