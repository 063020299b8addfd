/* Runs a tokenizer: added tokens are found, the text between them is normalised, cut into pieces, and
 * each piece given to the model. Refuses text that is not UTF-8 or too long. All room is per call. */
#include "text/tokenizer_load.h"

#include "base/mem.h"

/* Normalising makes a text this much longer at most; no honest step comes near it. */
#define NORMAL_LIMIT ((size_t)1 << 28)
/* From this size on words come again so often that keeping them pays. */
#define CACHED_TEXT ((size_t)8 << 10)

void pph_tokenizer_close(pph_tokenizer **tokenizer)
{
    pph_tokenizer *t = *tokenizer;
    *tokenizer = NULL;
    if (!t)
        return;
    pph_subword_deinit(&t->model);
    pph_pretokenizer_free(&t->pretokenizer);
    pph_normalizer_free(&t->normalizer);
    pph_decode_steps_free(&t->decoder);
    pph_vocabulary_deinit(&t->vocabulary);
    pph_vocabulary_deinit(&t->extra);
    pph_added_set_deinit(&t->raw);
    pph_added_set_deinit(&t->normalized);
    pph_tokens_deinit(&t->special);
    pph_frame_deinit(&t->frame);
    pph_free(t);
}

pph_tokenizer_options pph_tokenizer_defaults(void)
{
    return (pph_tokenizer_options){0};
}

/* ---- encoding ---- */

/* What one call works with. */
typedef struct work {
    const pph_tokenizer *tokenizer;
    pph_regex_scratch *regex;
    pph_buffer normal;
    pph_pieces pieces;
    pph_subword_scratch model;
    pph_tokens *out;
    bool parse_special;
    bool continues;                    /* the text is not the beginning */
    const pph_tokenizer_range *ranges; /* NULL: parse_special says it for all of the text */
    size_t range_count;
} work;

static void work_deinit(work *w)
{
    pph_regex_scratch_free(&w->regex);
    pph_buffer_deinit(&w->normal);
    pph_pieces_deinit(&w->pieces);
    pph_subword_scratch_deinit(&w->model);
}

static pph_status encode_plain(work *w, pph_str text, bool leads, pph_error *err)
{
    const pph_tokenizer *t = w->tokenizer;
    if (!text.size)
        return PPH_OK;
    PPH_TRY(pph_pretokenizer_run(t->pretokenizer, w->regex, text, leads, &w->pieces, err));
    const char *bytes = (const char *)w->pieces.text.data;
    for (size_t i = 0; i < w->pieces.cuts.count; i++) {
        pph_regex_match piece = w->pieces.cuts.ranges[i];
        PPH_TRY(pph_subword_encode(&t->model, &w->model,
                                   (pph_str){bytes + piece.begin, piece.end - piece.begin}, w->out,
                                   err));
    }
    return PPH_OK;
}

/* The token itself, without the white space that it takes, lies in one of the ranges. */
static bool is_marked(const work *w, const pph_added_match *match)
{
    size_t begin = match->next - pph_tokenizer_token(w->tokenizer, match->id).size;
    for (size_t i = 0; i < w->range_count; i++)
        if (begin >= w->ranges[i].begin && match->next <= w->ranges[i].end)
            return true;
    return false;
}

/* The normalised text spells a special token. */
static bool spells_special(const work *w, pph_str text)
{
    pph_added_match match = {0};
    while (pph_added_set_search(&w->tokenizer->normalized, text, match.next, 0, true, &match))
        if (pph_tokenizer_is_special(w->tokenizer, match.id))
            return true;
    return false;
}

static pph_status normalize(work *w, pph_str text, pph_str *out, pph_error *err)
{
    PPH_TRY(pph_normalizer_run(w->tokenizer->normalizer, w->regex, text, &w->normal, err));
    *out = (pph_str){w->normal.size ? (const char *)w->normal.data : "", w->normal.size};
    return PPH_OK;
}

/* Whether special tokens of a section count that are looked for in normalised text. Where ranges say which,
 * they do unless what lies outside spells one when it is normalised by itself: then none of them does,
 * since nothing would tell them apart. The section begins at `offset`. */
static pph_status judge_section(work *w, pph_str section, size_t offset, bool *counts,
                                pph_error *err)
{
    *counts = w->ranges ? w->tokenizer->normalized.count > 0 : w->parse_special;
    size_t at = offset, end = offset + section.size;
    for (size_t i = 0; w->ranges && *counts && i <= w->range_count; i++) {
        size_t next = i < w->range_count ? PPH_MIN(w->ranges[i].begin, end) : end;
        if (next > at) {
            pph_str outside = {section.data + (at - offset), next - at}, normal;
            PPH_TRY(normalize(w, outside, &normal, err));
            *counts = !spells_special(w, normal);
        }
        at = i < w->range_count ? PPH_MAX(at, w->ranges[i].end) : end;
    }
    return PPH_OK;
}

static pph_status encode_normalized(work *w, pph_str section, size_t offset, bool leads,
                                    pph_error *err)
{
    const pph_added_set *added = &w->tokenizer->normalized;
    bool special;
    pph_str text;
    if (!section.size)
        return PPH_OK;
    PPH_TRY(judge_section(w, section, offset, &special, err));
    PPH_TRY(normalize(w, section, &text, err));
    pph_added_match match = {0};
    for (size_t at = 0;; at = match.end) {
        bool found = pph_added_set_search(added, text, match.next, at, special, &match);
        size_t end = found ? match.begin : text.size;
        if (end > at)
            PPH_TRY(encode_plain(w, (pph_str){text.data + at, end - at}, leads && !at, err));
        if (!found)
            return PPH_OK;
        PPH_TRY(pph_tokens_add(w->out, match.id, err));
    }
}

/* The next added token of the text as it came. */
static bool next_raw(const work *w, pph_str text, size_t at, pph_added_match *match)
{
    const pph_added_set *added = &w->tokenizer->raw;
    if (!w->ranges)
        return pph_added_set_search(added, text, match->next, at, w->parse_special, match);
    while (pph_added_set_search(added, text, match->next, at, true, match))
        if (!pph_tokenizer_is_special(w->tokenizer, match->id) || is_marked(w, match))
            return true;
    return false;
}

static pph_status encode_text(work *w, pph_str text, pph_error *err)
{
    pph_added_match match = {0};
    for (size_t at = 0;; at = match.end) {
        bool found = next_raw(w, text, at, &match);
        size_t end = found ? match.begin : text.size;
        if (end > at)
            PPH_TRY(encode_normalized(w, (pph_str){text.data + at, end - at}, at,
                                      !at && !w->continues, err));
        if (!found)
            return PPH_OK;
        PPH_TRY(pph_tokens_add(w->out, match.id, err));
    }
}

static pph_status encode(work *w, pph_str text, pph_error *err)
{
    if (text.size > PPH_TOKENIZER_TEXT_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a text of %zu bytes; at most %zu are read", text.size,
                        PPH_TOKENIZER_TEXT_LIMIT);
    if (!text.data)
        text = PPH_STR("");
    size_t bad = pph_utf8_check(text);
    if (bad != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the text is not UTF-8: byte %zu is 0x%02x", bad,
                        (uint8_t)text.data[bad]);
    w->normal = PPH_BUFFER_LIMIT(NORMAL_LIMIT);
    w->model.caches = text.size >= CACHED_TEXT;
    PPH_TRY(pph_regex_scratch_new(&w->regex, err));
    return encode_text(w, text, err);
}

pph_status pph_tokenizer_plain_ids(const pph_tokenizer *tokenizer, pph_str text, bool parse_special,
                                   pph_tokens *out, pph_error *err)
{
    PPH_AUTO(work_deinit)
    work w = {.tokenizer = tokenizer, .out = out, .parse_special = parse_special};
    return encode(&w, text, err);
}

pph_status pph_tokenizer_encode_marked(const pph_tokenizer *tokenizer, pph_str text,
                                       const pph_tokenizer_range *ranges, size_t count,
                                       bool continues, pph_tokens *out, pph_error *err)
{
    static const pph_tokenizer_range none;
    PPH_AUTO(work_deinit)
    work w = {.tokenizer = tokenizer,
              .out = out,
              .continues = continues,
              .ranges = ranges ? ranges : &none,
              .range_count = count};
    return encode(&w, text, err);
}

/* ---- looking ---- */

pph_str pph_tokenizer_token(const pph_tokenizer *tokenizer, int64_t id)
{
    pph_str token = pph_vocabulary_token(&tokenizer->vocabulary, id);
    return token.size ? token : pph_vocabulary_token(&tokenizer->extra, id);
}

int32_t pph_tokenizer_find(const pph_tokenizer *tokenizer, pph_str token)
{
    int32_t id = pph_vocabulary_find(&tokenizer->vocabulary, token);
    return id >= 0 ? id : pph_vocabulary_find(&tokenizer->extra, token);
}

size_t pph_tokenizer_size(const pph_tokenizer *tokenizer)
{
    return PPH_MAX(tokenizer->vocabulary.size, tokenizer->extra.size);
}

int32_t pph_tokenizer_start(const pph_tokenizer *tokenizer)
{
    return tokenizer->start;
}

int32_t pph_tokenizer_end(const pph_tokenizer *tokenizer)
{
    return tokenizer->end;
}

int32_t pph_tokenizer_pad(const pph_tokenizer *tokenizer)
{
    return tokenizer->pad;
}

size_t pph_tokenizer_limit(const pph_tokenizer *tokenizer)
{
    return tokenizer->limit;
}

bool pph_tokenizer_is_special(const pph_tokenizer *tokenizer, int32_t id)
{
    size_t low = 0, high = tokenizer->special.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tokenizer->special.ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tokenizer->special.count && tokenizer->special.ids[low] == id;
}

const pph_tokenizer_settings *pph_tokenizer_wants(const pph_tokenizer *tokenizer)
{
    return &tokenizer->settings;
}
