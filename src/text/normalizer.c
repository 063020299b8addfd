/* Normalisation in steps, each from one buffer into another. Refuses kinds that it does not know. */
#include "text/normalizer.h"

#include "base/mem.h"
#include "text/pattern.h"

#define STEP_LIMIT 32

typedef enum step_kind { STEP_NFC, STEP_LOWER, STEP_REPLACE } step_kind;

typedef struct step {
    step_kind kind;
    pph_pattern pattern; /* STEP_REPLACE: what, and by what */
    char *content;
    size_t content_size;
} step;

struct pph_normalizer {
    step steps[STEP_LIMIT];
    size_t count;
};

static pph_status add_replace(step *to, const pph_json *json, pph_error *err)
{
    const pph_json *content = pph_json_get(json, "content");
    if (!pph_json_is_string(content))
        return PPH_FAIL(err, PPH_CORRUPT, "the normalizer 'Replace' has no 'content'");
    PPH_TRY(pph_pattern_init(&to->pattern, pph_json_get(json, "pattern"), err));
    to->content_size = pph_json_string(content).size;
    to->content = pph_str_copy(pph_json_string(content));
    return to->content ? PPH_OK : PPH_FAIL_MEMORY(err, to->content_size + 1);
}

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
    step *to = &n->steps[n->count++];
    if (pph_str_equal(type, PPH_STR("NFC"))) {
        to->kind = STEP_NFC;
    } else if (pph_str_equal(type, PPH_STR("Lowercase"))) {
        to->kind = STEP_LOWER;
    } else if (pph_str_equal(type, PPH_STR("Replace"))) {
        to->kind = STEP_REPLACE;
        return add_replace(to, json, err);
    } else {
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the normalizer '%.*s' is not supported; NFC, Lowercase and Replace are",
                        (int)PPH_MIN(type.size, (size_t)40), type.size ? type.data : "");
    }
    return PPH_OK;
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

void pph_normalizer_free(pph_normalizer **normalizer)
{
    pph_normalizer *n = *normalizer;
    *normalizer = NULL;
    if (!n)
        return;
    for (size_t i = 0; i < n->count; i++) {
        pph_pattern_deinit(&n->steps[i].pattern);
        pph_free(n->steps[i].content);
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
    case STEP_NFC:
        return pph_str_nfc(text, out, err);
    case STEP_LOWER:
        return pph_str_lower(text, out, err);
    case STEP_REPLACE:
        return replace(s, scratch, text, out, err);
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
