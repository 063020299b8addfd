/* Puts a tokenizer together from tables: the vocabulary, the model over it, and the steps before and
 * behind that such models have by their kind. */
#include "text/tokenizer_tables.h"

#include "base/mem.h"
#include "text/bpe_presets.h"
#include "text/metaspace.h"
#include "text/tokenizer_load.h"
#include <string.h>

/* ---- vocabulary ---- */

static pph_token_kind kind_of(const pph_tokenizer_tables *tables, size_t id)
{
    return tables->kinds ? (pph_token_kind)tables->kinds[id] : PPH_TOKEN_NORMAL;
}

static bool bracketed(pph_str text)
{
    return text.size > 2 && text.data[0] == '[' && text.data[text.size - 1] == ']';
}

/* GGUF writes a WordPiece that begins a word with a mark for the space before it, and one that goes on
 * without anything; here the latter has "##", as in BERT's own files. */
static pph_status add_wordpiece(pph_vocabulary *to, pph_str text, int64_t id, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer spelled = {0};
    if (pph_str_starts(text, PPH_METASPACE) && text.size > 3)
        return pph_vocabulary_add(to, (pph_str){text.data + 3, text.size - 3}, id, err);
    PPH_TRY(pph_buffer_print(&spelled, err, "##%.*s", (int)PPH_MIN(text.size, (size_t)4096),
                             text.data));
    return pph_vocabulary_add(to, (pph_str){(const char *)spelled.data, spelled.size}, id, err);
}

static pph_status fill_vocabulary(pph_vocabulary *to, const pph_tokenizer_tables *tables,
                                  pph_error *err)
{
    PPH_TRY(pph_lookup_reserve(&to->ids, tables->count, err));
    for (size_t i = 0; i < tables->count; i++) {
        pph_str text = tables->tokens[i];
        if (!text.size)
            continue;
        if (tables->model == PPH_TABLES_WORDPIECE && tables->marked && !bracketed(text) &&
            kind_of(tables, i) == PPH_TOKEN_NORMAL)
            PPH_TRY(add_wordpiece(to, text, (int64_t)i, err));
        else
            PPH_TRY(pph_vocabulary_add(to, text, (int64_t)i, err));
    }
    return PPH_OK;
}

/* ---- models ---- */

static pph_status make_bpe(pph_tokenizer *t, const pph_tokenizer_tables *tables,
                           const pph_bpe_preset *preset, pph_error *err)
{
    const pph_bpe_options options = {.byte_level = true, .ignore_merges = preset->ignores_merges};
    PPH_TRY(pph_bpe_new(&t->model.bpe, &t->vocabulary, &options, tables->merge_count, err));
    for (size_t i = 0; i < tables->merge_count; i++) {
        pph_str text = tables->merges[i];
        /* A token may itself begin with a space's character, but never holds a plain space. */
        const char *space = text.size > 1 ? memchr(text.data + 1, ' ', text.size - 1) : NULL;
        size_t size = space ? (size_t)(space - text.data) : 0;
        if (!space || size + 1 == text.size)
            continue;
        pph_status status = pph_bpe_add_merge(t->model.bpe, (pph_str){text.data, size},
                                              (pph_str){space + 1, text.size - size - 1}, err);
        if (status != PPH_OK && status != PPH_CORRUPT)
            return status;
    }
    return PPH_OK;
}

/* Whether texts may become the token. */
static bool usable(const pph_tokenizer_tables *tables, size_t id)
{
    pph_token_kind kind = kind_of(tables, id);
    return tables->tokens[id].size && kind != PPH_TOKEN_UNKNOWN && kind != PPH_TOKEN_CONTROL &&
           kind != PPH_TOKEN_BYTE;
}

static pph_status make_scored(pph_tokenizer *t, const pph_tokenizer_tables *tables, pph_error *err)
{
    const pph_unigram_options options = {.unknown = tables->unknown, .byte_fallback = true};
    bool unigram = tables->model == PPH_TABLES_UNIGRAM;
    PPH_TRY(unigram ? pph_unigram_new(&t->model.unigram, &t->vocabulary, &options, err)
                    : pph_score_bpe_new(&t->model.score_bpe, &t->vocabulary, tables->unknown, err));
    for (size_t i = 0; i < tables->count; i++) {
        float score = tables->scores ? tables->scores[i] : 0;
        if (!usable(tables, i))
            continue;
        PPH_TRY(unigram ? pph_unigram_add(t->model.unigram, (int32_t)i, (double)score, err)
                        : pph_score_bpe_add(t->model.score_bpe, (int32_t)i, score, err));
    }
    return PPH_OK;
}

static pph_status make_wordpiece(pph_tokenizer *t, const pph_tokenizer_tables *tables,
                                 pph_error *err)
{
    const pph_wordpiece_options options = {
        .prefix = PPH_STR("##"),
        .unknown = pph_vocabulary_token(&t->vocabulary, tables->unknown),
        .word_limit = 100,
    };
    return pph_wordpiece_new(&t->model.wordpiece, &t->vocabulary, &options, err);
}

static pph_status make_model(pph_tokenizer *t, const pph_tokenizer_tables *tables,
                             const pph_bpe_preset *preset, pph_error *err)
{
    static const pph_subword_kind kinds[] = {PPH_SUBWORD_BPE, PPH_SUBWORD_SCORE_BPE,
                                             PPH_SUBWORD_UNIGRAM, PPH_SUBWORD_WORDPIECE};
    t->model.kind = kinds[tables->model];
    t->model.vocabulary = &t->vocabulary;
    if (tables->model == PPH_TABLES_BPE)
        return make_bpe(t, tables, preset, err);
    if (tables->model == PPH_TABLES_WORDPIECE)
        return make_wordpiece(t, tables, err);
    return make_scored(t, tables, err);
}

/* ---- steps ---- */

/* What a tokenizer.json would say: an object with "normalizer", "pre_tokenizer" and "decoder". */
static const char bytes_plain[] = "{\"decoder\":{\"type\":\"ByteLevel\"}}";
static const char bytes_composed[] =
    "{\"normalizer\":{\"type\":\"NFC\"},\"decoder\":{\"type\":\"ByteLevel\"}}";
static const char pieces_prefixed[] =
    "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
    "\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}}";
static const char pieces_bare[] =
    "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
    "\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"}]}}";
static const char words_lower[] =
    "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true},\"pre_tokenizer\":{\"type\":"
    "\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\"}}";
static const char words_cased[] =
    "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":false},\"pre_tokenizer\":{\"type\":"
    "\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\"}}";

static const char *steps_of(const pph_tokenizer_tables *tables, const pph_bpe_preset *preset)
{
    if (preset)
        return preset->composes ? bytes_composed : bytes_plain;
    if (tables->model == PPH_TABLES_WORDPIECE)
        return tables->lower ? words_lower : words_cased;
    return tables->adds_prefix ? pieces_prefixed : pieces_bare;
}

static pph_status make_steps(pph_tokenizer *t, const pph_tokenizer_tables *tables,
                             const pph_bpe_preset *preset, pph_error *err)
{
    const char *text = steps_of(tables, preset);
    PPH_AUTO(pph_json_free) pph_json *steps = NULL;
    PPH_TRY(pph_json_parse(&steps, text, strlen(text), "a tokenizer's steps", err));
    if (tables->model == PPH_TABLES_SCORE_BPE || tables->model == PPH_TABLES_UNIGRAM) {
        const pph_sentencepiece_normal normal = {.add_prefix = tables->adds_prefix,
                                                 .remove_extra_spaces = tables->removes_spaces,
                                                 .escape = true};
        PPH_TRY(pph_normalizer_sentencepiece(&t->normalizer, &normal, tables->charsmap, err));
    } else {
        PPH_TRY(pph_normalizer_new(&t->normalizer, pph_json_get(steps, "normalizer"), err));
    }
    PPH_TRY(preset ? pph_pretokenizer_of_patterns(&t->pretokenizer, preset->patterns,
                                                  PPH_PRESET_PATTERNS, err)
                   : pph_pretokenizer_new(&t->pretokenizer, pph_json_get(steps, "pre_tokenizer"),
                                          false, err));
    return pph_decode_steps_new(&t->decoder, pph_json_get(steps, "decoder"), (pph_str){0}, err);
}

/* ---- what goes around ---- */

static pph_status add_token_slot(pph_slots *slots, int32_t id, int32_t type, pph_error *err)
{
    return id < 0 ? PPH_OK : pph_slots_add(slots, (pph_slot){.id = id, .type = type}, err);
}

static pph_status make_frame(pph_tokenizer *t, const pph_tokenizer_tables *tables, pph_error *err)
{
    bool bert = tables->model == PPH_TABLES_WORDPIECE;
    int32_t start = tables->adds_start ? tables->start : -1;
    int32_t last = bert ? tables->separator : tables->end;
    int32_t end = tables->adds_end ? last : -1;
    /* As RoBERTa's, where a model with both marks takes texts in pairs. */
    int32_t middle = tables->model == PPH_TABLES_UNIGRAM && start >= 0 ? end : -1;
    const pph_slot first = {.kind = PPH_SLOT_FIRST};
    const pph_slot second = {.kind = PPH_SLOT_SECOND, .type = middle < 0};
    pph_slots *one = &t->frame.single, *two = &t->frame.pair;
    PPH_TRY(add_token_slot(one, start, 0, err));
    PPH_TRY(pph_slots_add(one, first, err));
    PPH_TRY(add_token_slot(one, end, 0, err));
    PPH_TRY(add_token_slot(two, start, 0, err));
    PPH_TRY(pph_slots_add(two, first, err));
    PPH_TRY(add_token_slot(two, end, 0, err));
    PPH_TRY(add_token_slot(two, middle, 0, err));
    PPH_TRY(pph_slots_add(two, second, err));
    return add_token_slot(two, end, second.type, err);
}

static pph_status add_marks(pph_tokenizer *t, const pph_tokenizer_tables *tables, pph_error *err)
{
    PPH_AUTO(pph_regex_scratch_free) pph_regex_scratch *scratch = NULL;
    PPH_TRY(pph_regex_scratch_new(&scratch, err));
    for (size_t i = 0; i < tables->count; i++) {
        pph_token_kind kind = kind_of(tables, i);
        bool special = kind == PPH_TOKEN_CONTROL || kind == PPH_TOKEN_UNKNOWN;
        if (!tables->tokens[i].size || (!special && kind != PPH_TOKEN_USER))
            continue;
        const pph_added token = {
            .id = (int32_t)i, .special = special, .right = special && tables->right};
        PPH_TRY(pph_tokenizer_add(t, scratch, tables->tokens[i], token, err));
    }
    return PPH_OK;
}

static pph_status check_ids(const pph_tokenizer_tables *tables, pph_error *err)
{
    const int32_t ids[] = {tables->start, tables->end, tables->unknown, tables->separator,
                           tables->pad};
    for (size_t i = 0; i < PPH_COUNT(ids); i++)
        if (ids[i] >= 0 && ((size_t)ids[i] >= tables->count || !tables->tokens[ids[i]].size))
            return PPH_FAIL(err, PPH_CORRUPT,
                            "id %d is named as a special token, but is none of the %zu tokens",
                            ids[i], tables->count);
    return PPH_OK;
}

bool pph_tokenizer_starts(pph_str pre)
{
    const pph_bpe_preset *preset = pph_bpe_preset_find(pre);
    return preset && preset->adds_start;
}

pph_status pph_tokenizer_make(pph_tokenizer **out, const pph_tokenizer_tables *tables,
                              pph_error *err)
{
    const pph_bpe_preset *preset = NULL;
    if (tables->model == PPH_TABLES_BPE && !(preset = pph_bpe_preset_find(tables->pre)))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the pre-tokenizer '%.*s' is not known; take the model's folder with its "
                        "tokenizer.json instead",
                        (int)PPH_MIN(tables->pre.size, (size_t)60), tables->pre.data);
    PPH_TRY(check_ids(tables, err));
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *t = pph_alloc(sizeof *t);
    if (!t)
        return PPH_FAIL_MEMORY(err, sizeof *t);
    PPH_TRY(fill_vocabulary(&t->vocabulary, tables, err));
    PPH_TRY(make_model(t, tables, preset, err));
    PPH_TRY(make_steps(t, tables, preset, err));
    PPH_TRY(add_marks(t, tables, err));
    PPH_TRY(make_frame(t, tables, err));
    t->start = tables->start;
    t->end = tables->end;
    t->pad = tables->pad >= 0 ? tables->pad : tables->end;
    pph_tokenizer_complete(t);
    *out = PPH_TAKE(t);
    return PPH_OK;
}
