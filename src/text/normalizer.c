/* Normalisation in steps, each from one buffer into another. Refuses kinds that it does not know. */
#include "text/normalizer.h"

#include "base/base64.h"
#include "base/mem.h"
#include "text/charsmap.h"
#include "text/normalizer_steps.h"
#include "text/pattern.h"

#define STEP_LIMIT 32

typedef enum step_kind {
    STEP_FORM,
    STEP_LOWER,
    STEP_REPLACE,
    STEP_BERT,
    STEP_STRIP_ACCENTS,
    STEP_STRIP,
    STEP_PREPEND,
    STEP_NMT,
    STEP_BYTE_LEVEL,
    STEP_CHARSMAP,
    STEP_SENTENCEPIECE
} step_kind;

/* What a step needs beside its kind. */
typedef struct step {
    step_kind kind;
    pph_normal_form form;
    pph_pattern pattern; /* STEP_REPLACE: what, and by what */
    char *content;       /* STEP_REPLACE, STEP_PREPEND */
    size_t content_size;
    pph_bert_normal bert;
    bool left, right; /* STEP_STRIP */
    pph_charsmap *charsmap;
    pph_sentencepiece_normal sentencepiece; /* its charsmap is the one above */
} step;

struct pph_normalizer {
    step steps[STEP_LIMIT];
    size_t count;
};

static pph_status add_content(step *to, const pph_json *json, const char *key, pph_error *err)
{
    const pph_json *content = pph_json_get(json, key);
    if (!pph_json_is_string(content))
        return PPH_FAIL(err, PPH_CORRUPT, "a normalizer has no '%s'", key);
    to->content_size = pph_json_string(content).size;
    to->content = pph_str_copy(pph_json_string(content));
    return to->content ? PPH_OK : PPH_FAIL_MEMORY(err, to->content_size + 1);
}

static pph_status add_replace(step *to, const pph_json *json, pph_error *err)
{
    PPH_TRY(pph_pattern_init(&to->pattern, pph_json_get(json, "pattern"), err));
    return add_content(to, json, "content", err);
}

static pph_status add_prepend(step *to, const pph_json *json, pph_error *err)
{
    return add_content(to, json, "prepend", err);
}

static pph_status add_bert(step *to, const pph_json *json, pph_error *err)
{
    pph_bert_normal *bert = &to->bert;
    PPH_TRY(pph_json_get_bool(json, "clean_text", true, &bert->clean, err));
    PPH_TRY(pph_json_get_bool(json, "handle_chinese_chars", true, &bert->ideographs, err));
    PPH_TRY(pph_json_get_bool(json, "lowercase", true, &bert->lower, err));
    return pph_json_get_bool(json, "strip_accents", bert->lower, &bert->strip_accents, err);
}

static pph_status add_strip(step *to, const pph_json *json, pph_error *err)
{
    PPH_TRY(pph_json_get_bool(json, "strip_left", true, &to->left, err));
    return pph_json_get_bool(json, "strip_right", true, &to->right, err);
}

static pph_status add_charsmap(step *to, const pph_json *json, pph_error *err)
{
    pph_str text = pph_json_string(pph_json_get(json, "precompiled_charsmap"));
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    pph_status status = pph_base64_decode(text, &bytes, err);
    if (status == PPH_INVALID_ARGUMENT)
        return PPH_FAIL(err, PPH_CORRUPT, "a normalizer's 'precompiled_charsmap' is not base64");
    PPH_TRY(status);
    return pph_charsmap_new(&to->charsmap, bytes.data, bytes.size, err);
}

static const struct {
    const char *name;
    step_kind kind;
    pph_normal_form form;
    pph_status (*add)(step *to, const pph_json *json, pph_error *err); /* NULL: nothing to read */
} kinds[] = {
    {"NFC", STEP_FORM, PPH_NFC, NULL},
    {"NFD", STEP_FORM, PPH_NFD, NULL},
    {"NFKC", STEP_FORM, PPH_NFKC, NULL},
    {"NFKD", STEP_FORM, PPH_NFKD, NULL},
    {"Lowercase", STEP_LOWER, 0, NULL},
    {"Replace", STEP_REPLACE, 0, add_replace},
    {"BertNormalizer", STEP_BERT, 0, add_bert},
    {"StripAccents", STEP_STRIP_ACCENTS, 0, NULL},
    {"Strip", STEP_STRIP, 0, add_strip},
    {"Prepend", STEP_PREPEND, 0, add_prepend},
    {"Nmt", STEP_NMT, 0, NULL},
    {"ByteLevel", STEP_BYTE_LEVEL, 0, NULL},
    {"Precompiled", STEP_CHARSMAP, 0, add_charsmap},
};

/* depth bounds a Sequence within a Sequence. */
static pph_status add_steps(pph_normalizer *n, const pph_json *json, int depth, pph_error *err)
{
    if (pph_json_is_null(json))
        return PPH_OK;
    pph_str type = pph_json_string(pph_json_get(json, "type"));
    if (pph_str_equal(type, PPH_STR("Sequence"))) {
        const pph_json *list = pph_json_get(json, "normalizers");
        if (!pph_json_is_array(list) || depth > 4)
            return PPH_FAIL(err, PPH_CORRUPT, "the normalizer 'Sequence' is not a list");
        for (size_t i = 0; i < pph_json_size(list); i++)
            PPH_TRY(add_steps(n, pph_json_at(list, i), depth + 1, err));
        return PPH_OK;
    }
    if (n->count == STEP_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a normalizer of more than %d steps", STEP_LIMIT);
    for (size_t i = 0; i < PPH_COUNT(kinds); i++) {
        if (!pph_str_equal(type, pph_str_view(kinds[i].name)))
            continue;
        /* A charsmap of null replaces nothing. */
        if (kinds[i].kind == STEP_CHARSMAP &&
            !pph_json_string(pph_json_get(json, "precompiled_charsmap")).size)
            return PPH_OK;
        step *to = &n->steps[n->count++];
        to->kind = kinds[i].kind;
        to->form = kinds[i].form;
        return kinds[i].add ? kinds[i].add(to, json, err) : PPH_OK;
    }
    return PPH_FAIL(err, PPH_UNSUPPORTED, "the normalizer '%.*s' is not supported",
                    (int)PPH_MIN(type.size, (size_t)40), type.size ? type.data : "");
}

pph_status pph_normalizer_new(pph_normalizer **out, const pph_json *json, pph_error *err)
{
    PPH_AUTO(pph_normalizer_free) pph_normalizer *n = pph_alloc(sizeof *n);
    if (!n)
        return PPH_FAIL_MEMORY(err, sizeof *n);
    PPH_TRY(add_steps(n, json, 0, err));
    *out = PPH_TAKE(n);
    return PPH_OK;
}

pph_status pph_normalizer_sentencepiece(pph_normalizer **out, const pph_sentencepiece_normal *what,
                                        pph_str charsmap, pph_error *err)
{
    PPH_AUTO(pph_normalizer_free) pph_normalizer *n = pph_alloc(sizeof *n);
    if (!n)
        return PPH_FAIL_MEMORY(err, sizeof *n);
    step *to = &n->steps[n->count++];
    to->kind = STEP_SENTENCEPIECE;
    if (charsmap.size)
        PPH_TRY(pph_charsmap_new(&to->charsmap, charsmap.data, charsmap.size, err));
    to->sentencepiece = *what;
    to->sentencepiece.charsmap = to->charsmap;
    *out = PPH_TAKE(n);
    return PPH_OK;
}

void pph_normalizer_free(pph_normalizer **normalizer)
{
    pph_normalizer *n = *normalizer;
    *normalizer = NULL;
    if (!n)
        return;
    for (size_t i = 0; i < n->count; i++) {
        pph_pattern_deinit(&n->steps[i].pattern);
        pph_free(n->steps[i].content);
        pph_charsmap_free(&n->steps[i].charsmap);
    }
    pph_free(n);
}

static pph_status replace(const step *s, pph_regex_scratch *scratch, pph_str text, pph_buffer *out,
                          pph_error *err)
{
    pph_pattern_walk walk = {0};
    for (;;) {
        pph_regex_match match;
        bool found;
        size_t before = walk.done;
        PPH_TRY(pph_pattern_next(&s->pattern, scratch, text, &walk, &match, &found, err));
        if (!found)
            return pph_buffer_append(out, text.data + before, text.size - before, err);
        PPH_TRY(pph_buffer_append(out, text.data + before, match.begin - before, err));
        PPH_TRY(pph_buffer_append(out, s->content, s->content_size, err));
    }
}

static pph_status run_step(const step *s, pph_regex_scratch *scratch, pph_str text, pph_buffer *out,
                           pph_error *err)
{
    switch (s->kind) {
    case STEP_FORM:
        return pph_str_normalize(text, s->form, out, err);
    case STEP_LOWER:
        return pph_str_lower(text, out, err);
    case STEP_REPLACE:
        return replace(s, scratch, text, out, err);
    case STEP_BERT:
        return pph_normal_bert(&s->bert, text, out, err);
    case STEP_STRIP_ACCENTS:
        return pph_normal_strip_accents(text, out, err);
    case STEP_STRIP:
        return pph_normal_strip(text, s->left, s->right, out, err);
    case STEP_PREPEND:
        if (text.size)
            PPH_TRY(pph_buffer_append(out, s->content, s->content_size, err));
        return pph_buffer_append(out, text.data, text.size, err);
    case STEP_NMT:
        return pph_normal_nmt(text, out, err);
    case STEP_BYTE_LEVEL:
        return pph_normal_byte_level(text, out, err);
    case STEP_CHARSMAP:
        return pph_charsmap_run(s->charsmap, text, out, err);
    case STEP_SENTENCEPIECE:
        return pph_sentencepiece_normalize(&s->sentencepiece, text, out, err);
    }
    return PPH_FAIL(err, PPH_INTERNAL, "a normalizer step of no kind");
}

pph_status pph_normalizer_run(const pph_normalizer *normalizer, pph_regex_scratch *scratch,
                              pph_str text, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer other = PPH_BUFFER_LIMIT(out->limit);
    pph_buffer spare;
    out->size = 0;
    if (!normalizer->count)
        return pph_buffer_append(out, text.data, text.size, err);
    for (size_t i = 0; i < normalizer->count; i++) {
        /* The last result is in `other` now, this step's goes to `out`. */
        out->size = 0;
        PPH_TRY(run_step(&normalizer->steps[i], scratch, text, out, err));
        if (i + 1 < normalizer->count) {
            spare = other;
            other = *out;
            *out = spare;
            /* A buffer that nothing was written to has no bytes to point to. */
            text = (pph_str){other.size ? (const char *)other.data : "", other.size};
        }
    }
    return PPH_OK;
}
