/* Makes a tokenizer from its description. Refuses models and steps that it does not know, by name. */
#include "text/tokenizer_load.h"

#include "base/mem.h"
#include "text/subword_json.h"
#include <stdlib.h>

#define TOKEN_LIMIT ((size_t)64 << 10)
/* What CLIP's files mean where they name no tokens. */
#define START_TOKEN "<|startoftext|>"
#define END_TOKEN   "<|endoftext|>"

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

/* ---- added and special tokens ---- */

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

pph_status pph_tokenizer_add(pph_tokenizer *t, pph_regex_scratch *scratch, pph_str text,
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
    return pph_tokenizer_add(t, scratch, text, token, err);
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

void pph_tokenizer_complete(pph_tokenizer *t)
{
    pph_added_set_finish(&t->raw);
    pph_added_set_finish(&t->normalized);
    if (t->special.count)
        qsort(t->special.ids, t->special.count, sizeof *t->special.ids, by_id);
    for (size_t i = 0; i < t->special.count && t->model.unigram; i++)
        pph_unigram_forbid(t->model.unigram, t->special.ids[i]);
    pph_subword_look(&t->model);
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
        PPH_TRY(pph_tokenizer_add(t, scratch, text, (pph_added){.id = id, .special = true}, err));
        PPH_TRY(pph_slots_add(&t->frame.single, (pph_slot){.id = id}, err));
        if (!i)
            PPH_TRY(pph_slots_add(&t->frame.single, (pph_slot){.kind = PPH_SLOT_FIRST}, err));
    }
    return PPH_OK;
}

/* The token that stands first or last around a text, or -1. */
static int32_t edge(const pph_slots *slots, bool last)
{
    const pph_slot *slot = slots->count ? &slots->at[last ? slots->count - 1 : 0] : NULL;
    return slot && slot->kind == PPH_SLOT_TOKEN ? slot->id : -1;
}

static pph_status load_named(pph_tokenizer *t, const pph_tokenizer_source *source, pph_error *err)
{
    t->start = named_id(t, source, "bos_token");
    t->end = named_id(t, source, "eos_token");
    t->pad = named_id(t, source, "pad_token");
    if (t->start < 0)
        t->start = edge(&t->frame.single, false);
    if (t->end < 0)
        t->end = edge(&t->frame.single, true);
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

/* "truncation" and "padding", where they are not null. */
static pph_status load_settings(pph_tokenizer_settings *to, const pph_json *root, pph_error *err)
{
    const pph_json *cut = pph_json_get(root, "truncation"), *pad = pph_json_get(root, "padding");
    const pph_json *strategy = pph_json_get(pad, "strategy");
    pph_str which = pph_json_string(pph_json_get(cut, "strategy"));
    int64_t limit = 0, length = 0, multiple = 0, id = 0, type = 0;
    PPH_TRY(pph_json_get_integer(cut, "max_length", 0, INT32_MAX, 0, &limit, err));
    PPH_TRY(pph_json_get_integer(strategy, "Fixed", 0, INT32_MAX, 0, &length, err));
    PPH_TRY(pph_json_get_integer(pad, "pad_to_multiple_of", 0, INT32_MAX, 0, &multiple, err));
    PPH_TRY(pph_json_get_integer(pad, "pad_id", 0, PPH_VOCABULARY_LIMIT - 1, 0, &id, err));
    PPH_TRY(pph_json_get_integer(pad, "pad_type_id", 0, INT32_MAX, 0, &type, err));
    *to = (pph_tokenizer_settings){
        .truncates = pph_json_is_object(cut),
        .left = pph_str_equal(pph_json_string(pph_json_get(cut, "direction")), PPH_STR("Left")),
        .strategy = pph_str_equal(which, PPH_STR("OnlyFirst"))    ? PPH_TRUNCATE_FIRST
                    : pph_str_equal(which, PPH_STR("OnlySecond")) ? PPH_TRUNCATE_SECOND
                                                                  : PPH_TRUNCATE_LONGEST,
        .limit = (size_t)limit,
        .pads = pph_json_is_object(pad),
        .pad_left = pph_str_equal(pph_json_string(pph_json_get(pad, "direction")), PPH_STR("Left")),
        .length = (size_t)length,
        .multiple = (size_t)multiple,
        .pad = (int32_t)id,
        .pad_type = (int32_t)type,
    };
    return PPH_OK;
}

static pph_status load_model(pph_tokenizer *t, const pph_tokenizer_source *source, pph_error *err)
{
    const pph_json *root = source->root;
    pph_subword_source from = {
        .model = pph_json_get(root, "model"),
        .vocab = source->vocab,
        .merges = source->merges,
        .lines = source->lines,
    };
    if (source->framed)
        from.unknown = named_or(source, "unk_token", END_TOKEN);
    pph_subword_kind kind;
    PPH_TRY(pph_subword_kind_of(&kind, from.model, err));
    PPH_TRY(pph_normalizer_new(&t->normalizer, pph_json_get(root, "normalizer"), err));
    PPH_TRY(pph_pretokenizer_new(&t->pretokenizer, pph_json_get(root, "pre_tokenizer"),
                                 pph_subword_takes_bytes(kind, from.model), err));
    from.byte_level = pph_pretokenizer_byte_level(t->pretokenizer);
    PPH_TRY(pph_subword_read_vocabulary(&t->vocabulary, kind, &from, err));
    PPH_TRY(pph_subword_read(&t->model, kind, &t->vocabulary, &from, err));
    pph_str suffix = pph_json_string(pph_json_get(from.model, "end_of_word_suffix"));
    return pph_decode_steps_new(&t->decoder, pph_json_get(root, "decoder"), suffix, err);
}

pph_status pph_tokenizer_load(pph_tokenizer **out, const pph_tokenizer_source *source,
                              pph_error *err)
{
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *t = pph_alloc(sizeof *t);
    if (!t)
        return PPH_FAIL_MEMORY(err, sizeof *t);
    PPH_AUTO(pph_regex_scratch_free) pph_regex_scratch *scratch = NULL;
    PPH_TRY(pph_regex_scratch_new(&scratch, err));
    PPH_TRY(load_model(t, source, err));
    PPH_TRY(load_added(t, scratch, pph_json_get(source->root, "added_tokens"), err));
    PPH_TRY(source->framed
                ? load_named_frame(t, scratch, source, err)
                : pph_frame_init(&t->frame, pph_json_get(source->root, "post_processor"), err));
    PPH_TRY(load_named(t, source, err));
    PPH_TRY(load_settings(&t->settings, source->root, err));
    pph_tokenizer_complete(t);
    *out = PPH_TAKE(t);
    return PPH_OK;
}
