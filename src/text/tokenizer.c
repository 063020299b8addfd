/* Runs a tokenizer: added tokens are found, the text between them is normalised, cut into pieces, and
 * each piece given to the model. Refuses text that is not UTF-8 or too long. All room is per call. */
#include "text/tokenizer_load.h"

#include "base/mem.h"
#include "text/byte_level.h"
#include <stdlib.h>
#include <string.h>

void pph_tokenizer_close(pph_tokenizer **tokenizer)
{
    pph_tokenizer *t = *tokenizer;
    *tokenizer = NULL;
    if (!t)
        return;
    pph_bpe_free(&t->bpe);
    pph_pretokenizer_free(&t->pretokenizer);
    pph_normalizer_free(&t->normalizer);
    pph_vocabulary_deinit(&t->vocabulary);
    pph_vocabulary_deinit(&t->extra);
    pph_added_set_deinit(&t->raw);
    pph_added_set_deinit(&t->normalized);
    pph_tokens_deinit(&t->special);
    pph_tokens_deinit(&t->before);
    pph_tokens_deinit(&t->after);
    pph_free(t->suffix);
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
    pph_bpe_scratch bpe;
    pph_tokens *out;
    bool parse_special;
} work;

static void work_deinit(work *w)
{
    pph_regex_scratch_free(&w->regex);
    pph_buffer_deinit(&w->normal);
    pph_pieces_deinit(&w->pieces);
    pph_bpe_scratch_deinit(&w->bpe);
}

static pph_status encode_plain(work *w, pph_str text, pph_error *err)
{
    const pph_tokenizer *t = w->tokenizer;
    PPH_TRY(pph_pretokenizer_run(t->pretokenizer, w->regex, text, &w->pieces, err));
    for (size_t i = 0; i < w->pieces.count; i++) {
        pph_regex_match piece = w->pieces.pieces[i];
        PPH_TRY(pph_bpe_encode(
            t->bpe, &w->bpe,
            (pph_str){(const char *)w->pieces.text.data + piece.begin, piece.end - piece.begin},
            w->out, err));
    }
    return PPH_OK;
}

static pph_status encode_normalized(work *w, pph_str text, pph_error *err)
{
    PPH_TRY(pph_normalizer_run(w->tokenizer->normalizer, w->regex, text, &w->normal, err));
    text = (pph_str){w->normal.size ? (const char *)w->normal.data : "", w->normal.size};
    pph_added_match match;
    size_t at = 0;
    while (pph_added_set_search(&w->tokenizer->normalized, text, at, w->parse_special, &match)) {
        PPH_TRY(encode_plain(w, (pph_str){text.data + at, match.begin - at}, err));
        PPH_TRY(pph_tokens_add(w->out, match.id, err));
        at = match.end;
    }
    return encode_plain(w, (pph_str){text.data + at, text.size - at}, err);
}

static pph_status encode_text(work *w, pph_str text, pph_error *err)
{
    pph_added_match match;
    size_t at = 0;
    while (pph_added_set_search(&w->tokenizer->raw, text, at, w->parse_special, &match)) {
        PPH_TRY(encode_normalized(w, (pph_str){text.data + at, match.begin - at}, err));
        PPH_TRY(pph_tokens_add(w->out, match.id, err));
        at = match.end;
    }
    return encode_normalized(w, (pph_str){text.data + at, text.size - at}, err);
}

/* Hold the list to the limit, `after` more tokens still to come. */
static pph_status fit(pph_tokens *out, size_t before, size_t after,
                      const pph_tokenizer_options *options, pph_error *err)
{
    size_t total = out->count + after;
    if (!options->limit || total <= options->limit)
        return PPH_OK;
    if (options->limit < before + after)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a limit of %zu tokens leaves no room: %zu go around every text",
                        options->limit, before + after);
    if (!options->truncate)
        return PPH_FAIL(
            err, PPH_TOO_LARGE,
            "the text has %zu tokens, at most %zu fit: %zu too many; shorten it, or ask "
            "for it to be cut (--truncate)",
            total, options->limit, total - options->limit);
    out->count = options->limit - after;
    return PPH_OK;
}

pph_status pph_tokenizer_encode(const pph_tokenizer *tokenizer, pph_str text,
                                const pph_tokenizer_options *options, pph_tokens *out,
                                pph_error *err)
{
    static const pph_tokenizer_options defaults = {0};
    options = options ? options : &defaults;
    if (text.size > PPH_TOKENIZER_TEXT_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a text of %zu bytes; at most %zu are read", text.size,
                        PPH_TOKENIZER_TEXT_LIMIT);
    if (!text.data)
        text = PPH_STR("");
    size_t bad = pph_utf8_check(text);
    if (bad != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the text is not UTF-8: byte %zu is 0x%02x", bad,
                        (uint8_t)text.data[bad]);
    PPH_AUTO(work_deinit)
    work w = {.tokenizer = tokenizer, .out = out, .parse_special = options->parse_special};
    PPH_TRY(pph_regex_scratch_new(&w.regex, err));
    size_t before = options->bare ? 0 : tokenizer->before.count;
    size_t after = options->bare ? 0 : tokenizer->after.count;
    out->count = 0;
    for (size_t i = 0; i < before; i++)
        PPH_TRY(pph_tokens_add(out, tokenizer->before.ids[i], err));
    PPH_TRY(encode_text(&w, text, err));
    PPH_TRY(fit(out, before, after, options, err));
    for (size_t i = 0; i < after; i++)
        PPH_TRY(pph_tokens_add(out, tokenizer->after.ids[i], err));
    return PPH_OK;
}

/* ---- decoding ---- */

/* Append the bytes that a token stands for. A text outside the byte alphabet stands for itself. */
static pph_status append_token(const pph_tokenizer *t, pph_str text, pph_buffer *out,
                               pph_error *err)
{
    bool byte_level = pph_pretokenizer_byte_level(t->pretokenizer);
    for (size_t at = 0, length; at < text.size && byte_level; at += length)
        byte_level = pph_byte_level_byte(pph_utf8_decode(text, at, &length)) >= 0;
    if (!byte_level)
        return pph_buffer_append(out, text.data, text.size, err);
    for (size_t at = 0, length; at < text.size; at += length) {
        uint8_t byte = (uint8_t)pph_byte_level_byte(pph_utf8_decode(text, at, &length));
        PPH_TRY(pph_buffer_append(out, &byte, 1, err));
    }
    return PPH_OK;
}

/* How many of the bytes at the start, which are not UTF-8, could have begun one character. */
static size_t broken_length(pph_str text)
{
    size_t length = 1;
    while (length < PPH_MIN(text.size, (size_t)3)) {
        /* A prefix of a character is one that some continuation completes. */
        char whole[4] = {0};
        bool completes = false;
        memcpy(whole, text.data, length + 1);
        for (int next = 0x80; next < 0xC0 && !completes; next += 0x10)
            for (size_t size = length + 2; size <= 4 && !completes; size++) {
                memset(whole + length + 1, next, size - length - 1);
                completes = pph_utf8_check((pph_str){whole, size}) == SIZE_MAX;
            }
        if (!completes)
            break;
        length++;
    }
    return length;
}

static pph_status append_lossy(pph_str text, pph_buffer *out, pph_error *err)
{
    for (;;) {
        size_t good = pph_utf8_check(text);
        PPH_TRY(pph_buffer_append(out, text.data, PPH_MIN(good, text.size), err));
        if (good == SIZE_MAX)
            return PPH_OK;
        PPH_TRY(pph_buffer_append(out, "\xEF\xBF\xBD", 3, err));
        text = (pph_str){text.data + good, text.size - good};
        size_t bad = broken_length(text);
        text = (pph_str){text.data + bad, text.size - bad};
    }
}

static bool is_special(const pph_tokenizer *t, int32_t id)
{
    size_t low = 0, high = t->special.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->special.ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->special.count && t->special.ids[low] == id;
}

pph_status pph_tokenizer_decode(const pph_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                bool skip_special, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    for (size_t i = 0; i < count; i++) {
        pph_str token = pph_tokenizer_token(tokenizer, ids[i]);
        if (!token.size)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "id %d is no token of this vocabulary",
                            ids[i]);
        if (skip_special && is_special(tokenizer, ids[i]))
            continue;
        bool ends_word = tokenizer->suffix_size && pph_str_ends(token, tokenizer->suffix);
        token.size -= ends_word ? tokenizer->suffix_size : 0;
        PPH_TRY(append_token(tokenizer, token, &bytes, err));
        if (ends_word)
            PPH_TRY(pph_buffer_append(&bytes, " ", 1, err));
    }
    pph_str text = {bytes.size ? (const char *)bytes.data : "", bytes.size};
    /* Spaces that only stand for the ends of words do not belong around the whole. */
    while (tokenizer->suffix_size && pph_str_ends(text, " "))
        text.size--;
    while (tokenizer->suffix_size && pph_str_starts(text, " "))
        text = (pph_str){text.data + 1, text.size - 1};
    return append_lossy(text, out, err);
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
