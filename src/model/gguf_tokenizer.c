/* Copies the keys of a GGUF file into the tables that a tokenizer is made of. Texts stay where they
 * are; arrays must be of one length. */
#include "model/gguf_tokenizer.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/tokenizer_tables.h"
#include "text/vocabulary.h"
#include "weights/folder.h"

/* The tables' own storage. */
typedef struct storage {
    pph_str *tokens, *merges;
    float *scores;
    uint8_t *kinds;
} storage;

static void storage_deinit(storage *s)
{
    pph_free(s->tokens);
    pph_free(s->merges);
    pph_free(s->scores);
    pph_free(s->kinds);
}

/* What a model has where the file is silent; ids as the first such models had them. */
static const struct {
    const char *name;
    pph_tables_model model;
    int32_t start, end, unknown;
    bool adds_start, adds_end, adds_prefix;
} models[] = {
    {"llama", PPH_TABLES_SCORE_BPE, 1, 2, 0, true, false, true},
    {"gpt2", PPH_TABLES_BPE, -1, -1, -1, false, false, false},
    {"t5", PPH_TABLES_UNIGRAM, -1, 1, 2, false, true, true},
    {"bert", PPH_TABLES_WORDPIECE, 101, 102, 100, true, true, false},
};

static bool flag(const pph_gguf *file, const char *key, bool fallback)
{
    const pph_gguf_value *value = pph_gguf_find(file, key);
    return value && value->kind == PPH_GGUF_BOOL ? value->whole != 0 : fallback;
}

static pph_status id_of(const pph_gguf *file, const char *key, int32_t fallback, int32_t *out,
                        pph_error *err)
{
    int64_t id;
    PPH_TRY(pph_gguf_integer(file, key, -1, UINT32_MAX, fallback, &id, err));
    *out = id < PPH_VOCABULARY_LIMIT ? (int32_t)id : -1; /* none is written as 2^32 - 1 */
    return PPH_OK;
}

/* An array of texts; *count stays 0 where there is none. */
static pph_status read_texts(pph_str **out, size_t *count, const pph_gguf *file, const char *key,
                             pph_error *err)
{
    const pph_gguf_value *array = pph_gguf_find(file, key);
    if (!array)
        return PPH_OK;
    if (array->kind != PPH_GGUF_ARRAY || array->array.element != PPH_GGUF_STRING)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: '%s' is not a list of texts", file->name, key);
    if (array->array.count > PPH_VOCABULARY_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s: '%s' has more than %d texts", file->name, key,
                        PPH_VOCABULARY_LIMIT);
    size_t size = (size_t)array->array.count;
    *out = pph_alloc_array(size, sizeof **out);
    if (!*out)
        return PPH_FAIL_MEMORY(err, size * sizeof **out);
    pph_gguf_cursor cursor = pph_gguf_elements(array);
    for (pph_gguf_value text; *count < size && pph_gguf_next(&cursor, &text);)
        (*out)[(*count)++] = text.text;
    if (*count != size)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: '%s' has changed while it was read", file->name,
                        key);
    return PPH_OK;
}

static pph_status check_numbers(const pph_gguf *file, const char *key, const pph_gguf_value *array,
                                size_t count, pph_error *err)
{
    if (array->kind != PPH_GGUF_ARRAY || array->array.count != count)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: '%s' is not a list of %zu numbers, one a token",
                        file->name, key, count);
    return PPH_OK;
}

static pph_status read_scores(storage *s, size_t count, const pph_gguf *file, pph_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    const pph_gguf_value *array = pph_gguf_find(file, key);
    if (!array)
        return PPH_OK;
    PPH_TRY(check_numbers(file, key, array, count, err));
    s->scores = pph_alloc_array(count, sizeof *s->scores);
    if (!s->scores)
        return PPH_FAIL_MEMORY(err, count * sizeof *s->scores);
    pph_gguf_cursor cursor = pph_gguf_elements(array);
    pph_gguf_value score;
    for (size_t i = 0; i < count && pph_gguf_next(&cursor, &score); i++)
        s->scores[i] = score.kind == PPH_GGUF_F32 ? (float)score.number : 0;
    return PPH_OK;
}

static pph_status read_kinds(storage *s, size_t count, const pph_gguf *file, pph_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    const pph_gguf_value *array = pph_gguf_find(file, key);
    if (!array)
        return PPH_OK;
    PPH_TRY(check_numbers(file, key, array, count, err));
    s->kinds = pph_alloc_array(count, sizeof *s->kinds);
    if (!s->kinds)
        return PPH_FAIL_MEMORY(err, count);
    pph_gguf_cursor cursor = pph_gguf_elements(array);
    pph_gguf_value kind;
    for (size_t i = 0; i < count && pph_gguf_next(&cursor, &kind); i++) {
        int64_t number = kind.kind == PPH_GGUF_I32   ? kind.integer
                         : kind.kind == PPH_GGUF_U32 ? (int64_t)kind.whole
                                                     : 0;
        s->kinds[i] = number >= PPH_TOKEN_NORMAL && number <= PPH_TOKEN_BYTE ? (uint8_t)number
                                                                             : PPH_TOKEN_NORMAL;
    }
    return PPH_OK;
}

static pph_status read_ids(pph_tokenizer_tables *t, const pph_gguf *file, pph_error *err)
{
    PPH_TRY(id_of(file, "tokenizer.ggml.bos_token_id", t->start, &t->start, err));
    PPH_TRY(id_of(file, "tokenizer.ggml.eos_token_id", t->end, &t->end, err));
    PPH_TRY(id_of(file, "tokenizer.ggml.unknown_token_id", t->unknown, &t->unknown, err));
    PPH_TRY(id_of(file, "tokenizer.ggml.padding_token_id", -1, &t->pad, err));
    if (t->model != PPH_TABLES_WORDPIECE)
        return PPH_OK;
    PPH_TRY(id_of(file, "tokenizer.ggml.cls_token_id", t->start, &t->start, err));
    PPH_TRY(id_of(file, "tokenizer.ggml.seperator_token_id", t->end, &t->separator, err));
    t->end = t->separator;
    return PPH_OK;
}

static void read_charsmap(pph_tokenizer_tables *t, const pph_gguf *file)
{
    const pph_gguf_value *map = pph_gguf_find(file, "tokenizer.ggml.precompiled_charsmap");
    if (map && map->kind == PPH_GGUF_ARRAY &&
        (map->array.element == PPH_GGUF_U8 || map->array.element == PPH_GGUF_I8))
        t->charsmap = (pph_str){(const char *)map->array.data, map->array.bytes};
}

static pph_status read_tables(pph_tokenizer_tables *t, storage *s, const pph_gguf *file,
                              pph_error *err)
{
    PPH_TRY(read_texts(&s->tokens, &t->count, file, "tokenizer.ggml.tokens", err));
    if (!t->count)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: has no tokens", file->name);
    PPH_TRY(read_texts(&s->merges, &t->merge_count, file, "tokenizer.ggml.merges", err));
    PPH_TRY(read_scores(s, t->count, file, err));
    PPH_TRY(read_kinds(s, t->count, file, err));
    PPH_TRY(read_ids(t, file, err));
    read_charsmap(t, file);
    t->tokens = s->tokens;
    t->merges = s->merges;
    t->scores = s->scores;
    t->kinds = s->kinds;
    t->pre = pph_gguf_text(file, "tokenizer.ggml.pre");
    t->adds_start = flag(file, "tokenizer.ggml.add_bos_token", t->adds_start);
    t->adds_end = flag(file, "tokenizer.ggml.add_eos_token", t->adds_end);
    t->adds_prefix = flag(file, "tokenizer.ggml.add_space_prefix", t->adds_prefix);
    t->removes_spaces = t->model == PPH_TABLES_UNIGRAM &&
                        flag(file, "tokenizer.ggml.remove_extra_whitespaces", true);
    t->lower = flag(file, "tokenizer.ggml.normalizer.lowercase", true);
    t->marked = true;
    /* Phi-3's marks swallow the white space behind them, which no key says. */
    t->right = t->model == PPH_TABLES_SCORE_BPE &&
               pph_str_equal(pph_gguf_text(file, "general.architecture"), PPH_STR("phi3"));
    return PPH_OK;
}

pph_status pph_gguf_tokenizer(pph_tokenizer **out, const pph_gguf *file, pph_error *err)
{
    PPH_AUTO(storage_deinit) storage s = {0};
    pph_str name = pph_gguf_text(file, "tokenizer.ggml.model");
    if (!name.size)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: has no tokenizer", file->name);
    for (size_t i = 0; i < PPH_COUNT(models); i++) {
        if (!pph_str_equal(name, pph_str_view(models[i].name)))
            continue;
        pph_tokenizer_tables tables = {
            .model = models[i].model,
            .adds_start = models[i].adds_start,
            .adds_end = models[i].adds_end,
            .adds_prefix = models[i].adds_prefix,
            .start = models[i].start,
            .end = models[i].end,
            .unknown = models[i].unknown,
            .separator = -1,
            .pad = -1,
        };
        if (tables.model == PPH_TABLES_BPE)
            tables.adds_start = pph_tokenizer_starts(pph_gguf_text(file, "tokenizer.ggml.pre"));
        PPH_TRY(read_tables(&tables, &s, file, err));
        pph_status status = pph_tokenizer_make(out, &tables, err);
        return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, file->name);
    }
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "%s: its tokenizer is of the kind '%.*s'; llama, gpt2, t5 and bert are read",
                    file->name, (int)PPH_MIN(name.size, (size_t)40), name.data);
}

pph_status pph_model_tokenizer_open(pph_tokenizer **out, const char *path, pph_error *err)
{
    pph_str view = pph_str_view(path);
    if (pph_str_ends(view, ".gguf")) {
        PPH_AUTO(pph_gguf_close) pph_gguf file = {0};
        PPH_TRY(pph_gguf_open(&file, path, err));
        return pph_gguf_tokenizer(out, &file, err);
    }
    if (pph_str_ends(view, ".json") || pph_str_ends(view, ".model") || pph_str_ends(view, ".txt"))
        return pph_tokenizer_open(out, path, err);
    PPH_AUTO(pph_free_at) char *folder = NULL;
    PPH_TRY(pph_folder_find(&folder, path, err));
    return pph_tokenizer_open(out, folder, err);
}
