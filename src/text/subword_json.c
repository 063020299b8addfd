/* Makes models from JSON. Refuses kinds that it does not know. */
#include "text/subword_json.h"

#include "base/mem.h"
#include <string.h>

/* ---- kinds ---- */

static const struct {
    const char *name;
    pph_subword_kind kind;
} kinds[] = {
    {"BPE", PPH_SUBWORD_BPE},
    {"Unigram", PPH_SUBWORD_UNIGRAM},
    {"WordPiece", PPH_SUBWORD_WORDPIECE},
    {"WordLevel", PPH_SUBWORD_WORDS},
};

pph_status pph_subword_kind_of(pph_subword_kind *out, const pph_json *model, pph_error *err)
{
    const pph_json *type = pph_json_get(model, "type");
    pph_str name = pph_json_string(type);
    if (!pph_json_is_object(model))
        return PPH_FAIL(err, PPH_CORRUPT, "has no 'model'; is it a tokenizer.json?");
    if (pph_json_is_null(type) && pph_json_is_array(pph_json_get(model, "merges")))
        name = PPH_STR("BPE");
    else if (pph_json_is_null(type) && pph_json_get(model, "max_input_chars_per_word"))
        name = PPH_STR("WordPiece");
    else if (pph_json_is_null(type) && pph_json_is_array(pph_json_get(model, "vocab")))
        name = PPH_STR("Unigram");
    for (size_t i = 0; i < PPH_COUNT(kinds); i++)
        if (pph_str_equal(name, pph_str_view(kinds[i].name))) {
            *out = kinds[i].kind;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_UNSUPPORTED, "its model is of the kind '%.*s', which is not supported",
                    (int)PPH_MIN(name.size, (size_t)40), name.size ? name.data : "");
}

bool pph_subword_takes_bytes(pph_subword_kind kind, const pph_json *model)
{
    return kind == PPH_SUBWORD_BPE && !pph_json_true(pph_json_get(model, "byte_fallback"));
}

/* ---- vocabulary and merges ---- */

static pph_status read_object(pph_vocabulary *to, const pph_json *vocab, pph_error *err)
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

/* [[token, score], ..], ids counting from 0. */
static pph_status read_list(pph_vocabulary *to, const pph_json *vocab, pph_error *err)
{
    if (!pph_json_is_array(vocab))
        return PPH_FAIL(err, PPH_CORRUPT, "the model has no 'vocab' list of tokens and scores");
    PPH_TRY(pph_lookup_reserve(&to->ids, pph_json_size(vocab), err));
    for (size_t i = 0; i < pph_json_size(vocab); i++) {
        const pph_json *pair = pph_json_at(vocab, i);
        pph_str token = pph_json_string(pph_json_at(pair, 0));
        if (!pph_json_is_string(pph_json_at(pair, 0)) || !pph_json_is_number(pph_json_at(pair, 1)))
            return PPH_FAIL(err, PPH_CORRUPT, "token %zu of the 'vocab' is not a text and a score",
                            i);
        if (token.size)
            PPH_TRY(pph_vocabulary_add(to, token, (int64_t)i, err));
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

/* ---- models ---- */

static pph_status read_bpe(pph_subword *out, const pph_vocabulary *vocabulary,
                           const pph_subword_source *source, pph_error *err)
{
    const pph_json *model = source->model;
    pph_bpe_options options = {
        .prefix = pph_json_string(pph_json_get(model, "continuing_subword_prefix")),
        .suffix = pph_json_string(pph_json_get(model, "end_of_word_suffix")),
        .unknown = pph_json_string(pph_json_get(model, "unk_token")),
        .byte_level = source->byte_level,
    };
    if (!options.unknown.size)
        options.unknown = source->unknown;
    PPH_TRY(pph_json_get_bool(model, "fuse_unk", false, &options.fuse_unknown, err));
    PPH_TRY(pph_json_get_bool(model, "ignore_merges", false, &options.ignore_merges, err));
    PPH_TRY(pph_json_get_bool(model, "byte_fallback", false, &options.byte_fallback, err));
    PPH_TRY(pph_bpe_new(&out->bpe, vocabulary, &options, pph_json_size(source->merges), err));
    if (!source->merges)
        return add_merge_lines(out->bpe, source->lines, err);
    if (!pph_json_is_array(source->merges))
        return PPH_FAIL(err, PPH_CORRUPT, "the model's 'merges' are not a list");
    for (size_t i = 0; i < pph_json_size(source->merges); i++)
        PPH_TRY(add_merge_json(out->bpe, pph_json_at(source->merges, i), err));
    return PPH_OK;
}

static pph_status read_wordpiece(pph_subword *out, const pph_vocabulary *vocabulary,
                                 const pph_subword_source *source, pph_error *err)
{
    const pph_json *prefix = pph_json_get(source->model, "continuing_subword_prefix");
    pph_wordpiece_options options = {
        .prefix = prefix ? pph_json_string(prefix) : PPH_STR("##"),
        .unknown = pph_json_string(pph_json_get(source->model, "unk_token")),
    };
    if (!options.unknown.size)
        options.unknown = PPH_STR("[UNK]");
    int64_t limit = 0;
    PPH_TRY(pph_json_get_integer(source->model, "max_input_chars_per_word", 0, INT64_MAX, 100,
                                 &limit, err));
    options.word_limit = (size_t)limit;
    return pph_wordpiece_new(&out->wordpiece, vocabulary, &options, err);
}

static pph_status read_unigram(pph_subword *out, const pph_vocabulary *vocabulary,
                               const pph_subword_source *source, pph_error *err)
{
    pph_unigram_options options = {.unknown = -1};
    int64_t unknown = -1;
    PPH_TRY(pph_json_get_integer(source->model, "unk_id", 0, PPH_VOCABULARY_LIMIT - 1, -1, &unknown,
                                 err));
    PPH_TRY(pph_json_get_bool(source->model, "byte_fallback", false, &options.byte_fallback, err));
    options.unknown = (int32_t)unknown;
    PPH_TRY(pph_unigram_new(&out->unigram, vocabulary, &options, err));
    for (size_t i = 0; i < vocabulary->size; i++)
        if (vocabulary->tokens[i].size)
            PPH_TRY(pph_unigram_add(out->unigram, (int32_t)i,
                                    pph_json_number(pph_json_at(pph_json_at(source->vocab, i), 1)),
                                    err));
    return PPH_OK;
}

pph_status pph_subword_read_vocabulary(pph_vocabulary *out, pph_subword_kind kind,
                                       const pph_subword_source *source, pph_error *err)
{
    return kind == PPH_SUBWORD_UNIGRAM ? read_list(out, source->vocab, err)
                                       : read_object(out, source->vocab, err);
}

pph_status pph_subword_read(pph_subword *out, pph_subword_kind kind,
                            const pph_vocabulary *vocabulary, const pph_subword_source *source,
                            pph_error *err)
{
    out->kind = kind;
    out->vocabulary = vocabulary;
    switch (kind) {
    case PPH_SUBWORD_BPE:
        return read_bpe(out, vocabulary, source, err);
    case PPH_SUBWORD_WORDPIECE:
        return read_wordpiece(out, vocabulary, source, err);
    case PPH_SUBWORD_UNIGRAM:
        return read_unigram(out, vocabulary, source, err);
    case PPH_SUBWORD_SCORE_BPE: /* no tokenizer.json has it */
        break;
    case PPH_SUBWORD_WORDS:
        out->unknown = pph_vocabulary_find(
            vocabulary, pph_json_string(pph_json_get(source->model, "unk_token")));
        return PPH_OK;
    }
    return PPH_FAIL(err, PPH_INTERNAL, "a tokenizer's model of no kind");
}
