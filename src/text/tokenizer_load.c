/* Makes a tokenizer from its description. Refuses models other than BPE, and steps that it does not
 * know, by name. */
#include "text/tokenizer_load.h"

#include "base/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_LIMIT ((size_t)64 << 10)
/* What CLIP's files mean where they name no tokens. */
#define START_TOKEN "<|startoftext|>"
#define END_TOKEN   "<|endoftext|>"

/* ---- vocabulary and merges ---- */

static pph_status load_vocabulary(pph_vocabulary *to, const pph_json *vocab, pph_error *err)
{
    if (!pph_json_is_object(vocab))
        return PPH_FAIL(err, PPH_CORRUPT, "the model has no 'vocab' of tokens and ids");
    PPH_TRY(pph_lookup_reserve(&to->ids, pph_json_size(vocab), err));
    for (void *it = pph_json_first(vocab); it; it = pph_json_next(vocab, it)) {
        pph_str token = pph_json_key(it);
        if (!pph_json_is_integer(pph_json_value(it)))
            return PPH_FAIL(err, PPH_CORRUPT, "the id of token '%.*s' is not a whole number",
                            (int)PPH_MIN(token.size, (size_t)60), token.data);
        PPH_TRY(pph_vocabulary_add(to, token, pph_json_integer(pph_json_value(it)), err));
    }
    return PPH_OK;
}

static pph_status bad_merge(pph_str text, pph_error *err)
{
    return PPH_FAIL(err, PPH_CORRUPT, "the merge '%.*s' is not two tokens with a space between",
                    (int)PPH_MIN(text.size, (size_t)60), text.size ? text.data : "");
}

/* "a b": exactly one space, and something on both sides. */
static pph_status add_merge_text(pph_bpe *bpe, pph_str text, pph_error *err)
{
    const char *space = text.size ? memchr(text.data, ' ', text.size) : NULL;
    size_t left = space ? (size_t)(space - text.data) : 0;
    if (!left || left + 1 == text.size || memchr(space + 1, ' ', text.size - left - 1))
        return bad_merge(text, err);
    return pph_bpe_add_merge(bpe, (pph_str){text.data, left},
                             (pph_str){space + 1, text.size - left - 1}, err);
}

static pph_status add_merge_json(pph_bpe *bpe, const pph_json *merge, pph_error *err)
{
    if (!pph_json_is_array(merge))
        return add_merge_text(bpe, pph_json_string(merge), err);
    const pph_json *left = pph_json_at(merge, 0), *right = pph_json_at(merge, 1);
    if (pph_json_size(merge) != 2 || !pph_json_is_string(left) || !pph_json_is_string(right))
        return bad_merge((pph_str){0}, err);
    return pph_bpe_add_merge(bpe, pph_json_string(left), pph_json_string(right), err);
}

/* merges.txt: one a line, CRLF or not; "#version" lines and empty ones are passed over. */
static pph_status add_merge_lines(pph_bpe *bpe, pph_str lines, pph_error *err)
{
    while (lines.size) {
        const char *newline = memchr(lines.data, '\n', lines.size);
        size_t size = newline ? (size_t)(newline - lines.data) : lines.size;
        pph_str line = {lines.data, size};
        size_t step = newline ? size + 1 : size;
        lines = (pph_str){lines.data + step, lines.size - step};
        if (pph_str_ends(line, "\r"))
            line.size--;
        if (line.size && !pph_str_starts(line, "#version"))
            PPH_TRY(add_merge_text(bpe, line, err));
    }
    return PPH_OK;
}

/* The text of a token that config or map name ("bos_token"), as text or as {"content": ..}. */
static pph_str named_token(const pph_tokenizer_source *source, const char *key)
{
    const pph_json *const files[] = {source->config, source->map};
    for (size_t i = 0; i < PPH_COUNT(files); i++) {
        const pph_json *value = pph_json_get(files[i], key);
        pph_str text =
            pph_json_string(pph_json_is_object(value) ? pph_json_get(value, "content") : value);
        if (text.size)
            return text;
    }
    return (pph_str){0};
}

static pph_str named_or(const pph_tokenizer_source *source, const char *key, const char *fallback)
{
    pph_str text = named_token(source, key);
    return text.size ? text : pph_str_view(fallback);
}

static pph_status load_model(pph_tokenizer *t, const pph_tokenizer_source *source, pph_error *err)
{
    const pph_json *model = pph_json_get(source->root, "model");
    pph_bpe_options options = {
        .prefix = pph_json_string(pph_json_get(model, "continuing_subword_prefix")),
        .suffix = pph_json_string(pph_json_get(model, "end_of_word_suffix")),
        .unknown = pph_json_string(pph_json_get(model, "unk_token")),
        .byte_level = pph_pretokenizer_byte_level(t->pretokenizer),
    };
    if (source->framed)
        options.unknown = named_or(source, "unk_token", END_TOKEN);
    bool byte_fallback = false;
    PPH_TRY(pph_json_get_bool(model, "fuse_unk", false, &options.fuse_unknown, err));
    PPH_TRY(pph_json_get_bool(model, "ignore_merges", false, &options.ignore_merges, err));
    PPH_TRY(pph_json_get_bool(model, "byte_fallback", false, &byte_fallback, err));
    if (byte_fallback)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "a BPE model with 'byte_fallback' (SentencePiece's) is not supported");
    PPH_TRY(pph_bpe_new(&t->bpe, &t->vocabulary, &options, pph_json_size(source->merges), err));
    t->suffix_size = options.suffix.size;
    t->suffix = pph_str_copy(options.suffix);
    if (!t->suffix)
        return PPH_FAIL_MEMORY(err, options.suffix.size + 1);
    if (!source->merges)
        return add_merge_lines(t->bpe, source->lines, err);
    if (!pph_json_is_array(source->merges))
        return PPH_FAIL(err, PPH_CORRUPT, "the model's 'merges' are not a list");
    for (size_t i = 0; i < pph_json_size(source->merges); i++)
        PPH_TRY(add_merge_json(t->bpe, pph_json_at(source->merges, i), err));
    return PPH_OK;
}

static pph_status check_kind(const pph_json *model, pph_error *err)
{
    const pph_json *type = pph_json_get(model, "type");
    pph_str name = pph_json_string(type);
    if (!pph_json_is_object(model))
        return PPH_FAIL(err, PPH_CORRUPT, "has no 'model'; is it a tokenizer.json?");
    /* Old files leave the type out; only BPE has merges. */
    if (pph_json_is_null(type) ? pph_json_is_array(pph_json_get(model, "merges"))
                               : pph_str_equal(name, PPH_STR("BPE")))
        return PPH_OK;
    return PPH_FAIL(err, PPH_UNSUPPORTED, "its model is of the kind '%.*s'; BPE is supported",
                    (int)PPH_MIN(name.size, (size_t)40), name.size ? name.data : "");
}

/* ---- added and special tokens ---- */

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* Make `text` an added token; what is looked for in normalised text is normalised itself. */
static pph_status add_token(pph_tokenizer *t, pph_regex_scratch *scratch, pph_str text,
                            pph_added token, pph_error *err)
{
    if (pph_vocabulary_find(&t->vocabulary, text) < 0)
        PPH_TRY(pph_vocabulary_add(&t->extra, text, token.id, err));
    if (token.special)
        PPH_TRY(pph_tokens_add(&t->special, token.id, err));
    if (!token.normalized)
        return pph_added_set_add(&t->raw, text, token, err);
    PPH_AUTO(pph_buffer_deinit) pph_buffer normal = PPH_BUFFER_LIMIT(4 * TOKEN_LIMIT);
    PPH_TRY(pph_normalizer_run(t->normalizer, scratch, text, &normal, err));
    if (!normal.size)
        return PPH_OK;
    return pph_added_set_add(&t->normalized, (pph_str){(const char *)normal.data, normal.size},
                             token, err);
}

static pph_status load_added_one(pph_tokenizer *t, pph_regex_scratch *scratch, const pph_json *json,
                                 pph_error *err)
{
    pph_str text = pph_json_string(pph_json_get(json, "content"));
    if (!text.size || text.size > TOKEN_LIMIT)
        return PPH_FAIL(err, PPH_CORRUPT, "an added token's 'content' is empty or too long");
    int64_t id = 0;
    pph_added token = {0};
    PPH_TRY(pph_json_get_integer(json, "id", 0, PPH_VOCABULARY_LIMIT - 1, -1, &id, err));
    if (id < 0)
        return PPH_FAIL(err, PPH_CORRUPT, "the added token '%.*s' has no 'id'",
                        (int)PPH_MIN(text.size, (size_t)60), text.data);
    token.id = (int32_t)id;
    PPH_TRY(pph_json_get_bool(json, "special", false, &token.special, err));
    PPH_TRY(pph_json_get_bool(json, "normalized", !token.special, &token.normalized, err));
    PPH_TRY(pph_json_get_bool(json, "single_word", false, &token.single_word, err));
    PPH_TRY(pph_json_get_bool(json, "lstrip", false, &token.left, err));
    PPH_TRY(pph_json_get_bool(json, "rstrip", false, &token.right, err));
    return add_token(t, scratch, text, token, err);
}

static pph_status load_added(pph_tokenizer *t, pph_regex_scratch *scratch, const pph_json *list,
                             pph_error *err)
{
    if (pph_json_is_null(list))
        return PPH_OK;
    if (!pph_json_is_array(list))
        return PPH_FAIL(err, PPH_CORRUPT, "'added_tokens' is not a list");
    for (size_t i = 0; i < pph_json_size(list); i++)
        PPH_TRY(load_added_one(t, scratch, pph_json_at(list, i), err));
    return PPH_OK;
}

static int32_t named_id(const pph_tokenizer *t, const pph_tokenizer_source *source, const char *key)
{
    pph_str text = named_token(source, key);
    return text.size ? pph_tokenizer_find(t, text) : -1;
}

/* ---- what goes around a text ---- */

/* [text, id] of RobertaProcessing and BertProcessing; an empty text adds nothing. */
static pph_status add_pair(pph_tokens *to, const pph_json *pair, pph_error *err)
{
    const pph_json *id = pph_json_at(pair, 1);
    if (!pph_json_is_integer(id) || pph_json_integer(id) < 0 ||
        pph_json_integer(id) >= PPH_VOCABULARY_LIMIT)
        return PPH_FAIL(err, PPH_CORRUPT, "the post-processor's 'cls' or 'sep' has no id");
    return pph_tokens_add(to, (int32_t)pph_json_integer(id), err);
}

/* The ids of a SpecialToken of a TemplateProcessing. */
static pph_status add_template_token(pph_tokens *to, const pph_json *tokens, pph_str name,
                                     pph_error *err)
{
    for (void *it = pph_json_first(tokens); it; it = pph_json_next(tokens, it)) {
        if (!pph_str_equal(pph_json_key(it), name))
            continue;
        const pph_json *ids = pph_json_get(pph_json_value(it), "ids");
        for (size_t i = 0; i < pph_json_size(ids); i++) {
            int64_t id = pph_json_integer(pph_json_at(ids, i));
            if (!pph_json_is_integer(pph_json_at(ids, i)) || id < 0 || id >= PPH_VOCABULARY_LIMIT)
                return PPH_FAIL(err, PPH_CORRUPT, "the template's token '%.*s' has a bad id",
                                (int)PPH_MIN(name.size, (size_t)60), name.data);
            PPH_TRY(pph_tokens_add(to, (int32_t)id, err));
        }
        return PPH_OK;
    }
    return PPH_FAIL(err, PPH_CORRUPT, "the template uses '%.*s', which it does not define",
                    (int)PPH_MIN(name.size, (size_t)60), name.size ? name.data : "");
}

static pph_status load_template(pph_tokenizer *t, const pph_json *json, pph_error *err)
{
    const pph_json *single = pph_json_get(json, "single");
    pph_tokens *to = &t->before;
    if (!pph_json_is_array(single))
        return PPH_FAIL(err, PPH_CORRUPT, "the template has no 'single' list");
    for (size_t i = 0; i < pph_json_size(single); i++) {
        const pph_json *item = pph_json_at(single, i);
        if (!pph_json_is_null(pph_json_get(item, "Sequence")))
            to = &t->after;
        else
            PPH_TRY(add_template_token(
                to, pph_json_get(json, "special_tokens"),
                pph_json_string(pph_json_get(pph_json_get(item, "SpecialToken"), "id")), err));
    }
    return PPH_OK;
}

static pph_status load_frame(pph_tokenizer *t, const pph_json *json, int depth, pph_error *err)
{
    if (pph_json_is_null(json))
        return PPH_OK;
    pph_str type = pph_json_string(pph_json_get(json, "type"));
    if (pph_str_equal(type, PPH_STR("ByteLevel"))) /* it only moves offsets */
        return PPH_OK;
    if (pph_str_equal(type, PPH_STR("RobertaProcessing")) ||
        pph_str_equal(type, PPH_STR("BertProcessing"))) {
        PPH_TRY(add_pair(&t->before, pph_json_get(json, "cls"), err));
        return add_pair(&t->after, pph_json_get(json, "sep"), err);
    }
    if (pph_str_equal(type, PPH_STR("TemplateProcessing")))
        return load_template(t, json, err);
    if (pph_str_equal(type, PPH_STR("Sequence")) && depth < 4) {
        const pph_json *list = pph_json_get(json, "processors");
        for (size_t i = 0; i < pph_json_size(list); i++)
            PPH_TRY(load_frame(t, pph_json_at(list, i), depth + 1, err));
        return PPH_OK;
    }
    return PPH_FAIL(err, PPH_UNSUPPORTED, "the post-processor '%.*s' is not supported",
                    (int)PPH_MIN(type.size, (size_t)40), type.size ? type.data : "");
}

/* vocab.json with merges.txt: the frame and the special tokens are what config and map name. */
static pph_status load_named_frame(pph_tokenizer *t, pph_regex_scratch *scratch,
                                   const pph_tokenizer_source *source, pph_error *err)
{
    static const struct {
        const char *key, *fallback;
    } named[] = {{"bos_token", START_TOKEN}, {"eos_token", END_TOKEN}};
    for (size_t i = 0; i < PPH_COUNT(named); i++) {
        pph_str text = named_or(source, named[i].key, named[i].fallback);
        int32_t id = pph_vocabulary_find(&t->vocabulary, text);
        if (id < 0)
            return PPH_FAIL(err, PPH_CORRUPT, "the %s '%.*s' is not in the vocabulary",
                            named[i].key, (int)PPH_MIN(text.size, (size_t)60), text.data);
        PPH_TRY(add_token(t, scratch, text, (pph_added){.id = id, .special = true}, err));
        PPH_TRY(pph_tokens_add(i ? &t->after : &t->before, id, err));
    }
    return PPH_OK;
}

static pph_status load_settings(pph_tokenizer *t, const pph_tokenizer_source *source,
                                pph_error *err)
{
    t->start = named_id(t, source, "bos_token");
    t->end = named_id(t, source, "eos_token");
    t->pad = named_id(t, source, "pad_token");
    if (t->start < 0 && t->before.count)
        t->start = t->before.ids[0];
    if (t->end < 0 && t->after.count)
        t->end = t->after.ids[t->after.count - 1];
    if (t->pad < 0) {
        int64_t id = -1;
        PPH_TRY(pph_json_get_integer(pph_json_get(source->root, "padding"), "pad_id", 0,
                                     PPH_VOCABULARY_LIMIT - 1, t->end, &id, err));
        t->pad = (int32_t)id;
    }
    /* "No bound" is written as a number far past any model's. */
    double limit = pph_json_number(pph_json_get(source->config, "model_max_length"));
    t->limit = limit >= 1 && limit <= (double)PPH_TOKENIZER_TEXT_LIMIT ? (size_t)limit : 0;
    return PPH_OK;
}

pph_status pph_tokenizer_load(pph_tokenizer **out, const pph_tokenizer_source *source,
                              pph_error *err)
{
    PPH_TRY(check_kind(pph_json_get(source->root, "model"), err));
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *t = pph_alloc(sizeof *t);
    if (!t)
        return PPH_FAIL_MEMORY(err, sizeof *t);
    PPH_AUTO(pph_regex_scratch_free) pph_regex_scratch *scratch = NULL;
    PPH_TRY(pph_regex_scratch_new(&scratch, err));
    PPH_TRY(pph_normalizer_new(&t->normalizer, pph_json_get(source->root, "normalizer"), err));
    PPH_TRY(
        pph_pretokenizer_new(&t->pretokenizer, pph_json_get(source->root, "pre_tokenizer"), err));
    PPH_TRY(load_vocabulary(&t->vocabulary, source->vocab, err));
    PPH_TRY(load_model(t, source, err));
    PPH_TRY(load_added(t, scratch, pph_json_get(source->root, "added_tokens"), err));
    PPH_TRY(source->framed ? load_named_frame(t, scratch, source, err)
                           : load_frame(t, pph_json_get(source->root, "post_processor"), 0, err));
    PPH_TRY(load_settings(t, source, err));
    pph_added_set_finish(&t->raw);
    pph_added_set_finish(&t->normalized);
    if (t->special.count)
        qsort(t->special.ids, t->special.count, sizeof *t->special.ids, by_id);
    *out = PPH_TAKE(t);
    return PPH_OK;
}
