/* Takes tables out of an open tokenizer and of the files it was read from, and tries them. Owns copies of
 * what it makes up; the rest is borrowed from the tokenizer and the files, which it keeps. */
#include "text/tokenizer_export.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/bpe_presets.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_load.h"
#include <stdio.h>
#include <string.h>

#define FILE_LIMIT ((size_t)256 << 20)
/* Of a name that is made up. */
enum { NAME = 32 };

/* own     the folder's tokenizer, as it is
 * made    names of tokens that there are none of; joined: merges */
struct pph_tokenizer_export {
    pph_tokenizer *own;
    pph_json *root;
    pph_buffer file, made, joined;
    pph_sentencepiece pieces;
    pph_str *tokens, *merges;
    float *scores;
    uint8_t *kinds;
    pph_tokenizer_tables tables;
};

void pph_tokenizer_export_close(pph_tokenizer_export **exported)
{
    pph_tokenizer_export *e = *exported;
    *exported = NULL;
    if (!e)
        return;
    pph_tokenizer_close(&e->own);
    pph_json_free(&e->root);
    pph_sentencepiece_deinit(&e->pieces);
    pph_buffer_deinit(&e->file);
    pph_buffer_deinit(&e->made);
    pph_buffer_deinit(&e->joined);
    pph_free(e->tokens);
    pph_free(e->merges);
    pph_free(e->scores);
    pph_free(e->kinds);
    pph_free(e);
}

const pph_tokenizer_tables *pph_tokenizer_export_tables(const pph_tokenizer_export *exported)
{
    return &exported->tables;
}

/* ---- trying ---- */

/* Cases, digits, marks, white space, scripts, and a letter that is not composed. */
static const char *const probes[] = {
    "Hello, world! It's 1234567 o'clock; we'LL see 3 + 44 = 47.",
    "  leading,  double   and trailing  ",
    "lines\n\nand\r\n  more\n \n\ttabs\t\t .\n",
    "CamelCaseWORDS snake_case kebab-case x86_64/path/to\\file (a)[b]{c} !!!\n///\n",
    "na\xC3\xAFve cafe\xCC\x81 \xC3\x9Cn\xC3\xAF"
    "c\xC3\xB6"
    "de \xCE\xB5\xCE\xBB "
    "\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 \xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D",
    "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C\xE3\x80\x82\xE3\x81\x93\xE3\x82"
    "\x93\xE3\x81\xAB\xE3\x81\xA1\xE3\x81\xAF 2024\xE5\xB9\xB4 \xED\x95\x9C\xEA\xB5\xAD",
    "\xF0\x9F\x98\x80\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD \xE2\x82\xAC"
    "50 \xC2\xBD \xD9\xA1\xD9\xA2"
    "\xD9\xA3 a\xC2\xA0z 'S I'M don't $x<=y>z^~|`",
    "x",
};

/* A text as pieces: normalised, then cut. */
typedef struct cutter {
    const pph_normalizer *normalizer;
    const pph_pretokenizer *pretokenizer;
    pph_buffer normal;
    pph_pieces pieces;
} cutter;

static void cutter_deinit(cutter *c)
{
    pph_buffer_deinit(&c->normal);
    pph_pieces_deinit(&c->pieces);
}

static pph_status cut(cutter *c, pph_regex_scratch *scratch, const char *text, pph_error *err)
{
    c->normal.size = 0;
    PPH_TRY(pph_normalizer_run(c->normalizer, scratch, pph_str_view(text), &c->normal, err));
    return pph_pretokenizer_run(c->pretokenizer, scratch,
                                (pph_str){(const char *)c->normal.data, c->normal.size}, true,
                                &c->pieces, err);
}

static bool same_pieces(const pph_pieces *a, const pph_pieces *b)
{
    if (a->cuts.count != b->cuts.count || a->text.size != b->text.size ||
        memcmp(a->text.data, b->text.data, a->text.size) != 0)
        return false;
    for (size_t i = 0; i < a->cuts.count; i++)
        if (a->cuts.ranges[i].begin != b->cuts.ranges[i].begin ||
            a->cuts.ranges[i].end != b->cuts.ranges[i].end)
            return false;
    return true;
}

static pph_status cuts_alike(const pph_tokenizer *a, const pph_tokenizer *b, bool *alike,
                             pph_error *err)
{
    PPH_AUTO(pph_regex_scratch_free) pph_regex_scratch *scratch = NULL;
    PPH_AUTO(cutter_deinit)
    cutter one = {.normalizer = a->normalizer, .pretokenizer = a->pretokenizer};
    PPH_AUTO(cutter_deinit)
    cutter other = {.normalizer = b->normalizer, .pretokenizer = b->pretokenizer};
    PPH_TRY(pph_regex_scratch_new(&scratch, err));
    *alike = true;
    for (size_t i = 0; *alike && i < PPH_COUNT(probes); i++) {
        PPH_TRY(cut(&one, scratch, probes[i], err));
        PPH_TRY(cut(&other, scratch, probes[i], err));
        *alike = same_pieces(&one.pieces, &other.pieces);
    }
    return PPH_OK;
}

/* Whether both give the same ids. lax  texts that begin with a space do not count */
static pph_status encodes_alike(const pph_tokenizer *a, const pph_tokenizer *b, bool lax,
                                bool *alike, pph_error *err)
{
    PPH_AUTO(pph_tokens_deinit) pph_tokens one = {0};
    PPH_AUTO(pph_tokens_deinit) pph_tokens other = {0};
    *alike = true;
    for (size_t i = 0; *alike && i < PPH_COUNT(probes); i++) {
        if (lax && probes[i][0] == ' ')
            continue;
        PPH_TRY(pph_tokenizer_encode(a, pph_str_view(probes[i]), NULL, &one, err));
        PPH_TRY(pph_tokenizer_encode(b, pph_str_view(probes[i]), NULL, &other, err));
        *alike = one.count == other.count &&
                 (!one.count || !memcmp(one.ids, other.ids, one.count * sizeof *one.ids));
    }
    return PPH_OK;
}

/* ---- tokens ---- */

/* The text of a token that there is none of. */
static pph_status make_up(pph_tokenizer_export *e, size_t id, pph_error *err)
{
    char name[NAME];
    int size = snprintf(name, sizeof name, "[PAD%zu]", id);
    const uint8_t *at = e->made.data + e->made.size;
    PPH_TRY(pph_buffer_append(&e->made, name, (size_t)size, err));
    e->tokens[id] = (pph_str){(const char *)at, (size_t)size};
    e->kinds[id] = PPH_TOKEN_UNUSED;
    return PPH_OK;
}

static bool is_byte(pph_str token)
{
    return token.size == 6 && !memcmp(token.data, "<0x", 3) && token.data[5] == '>';
}

/* Tokens and kinds of `count` ids, but for what added tokens are. */
static pph_status take_tokens(pph_tokenizer_export *e, size_t count, pph_error *err)
{
    size_t missing = 0;
    e->tokens = pph_alloc_array(count, sizeof *e->tokens);
    e->kinds = pph_alloc_array(count, sizeof *e->kinds);
    if (!e->tokens || !e->kinds)
        return PPH_FAIL_MEMORY(err, count * sizeof *e->tokens);
    for (size_t i = 0; i < count; i++)
        missing += !pph_tokenizer_token(e->own, (int64_t)i).size;
    if (missing) /* at one go, since views into it are kept */
        PPH_TRY(pph_buffer_reserve(&e->made, missing * NAME, err));
    for (size_t i = 0; i < count; i++) {
        e->tokens[i] = pph_tokenizer_token(e->own, (int64_t)i);
        e->kinds[i] = PPH_TOKEN_NORMAL;
        if (pph_tokenizer_is_special(e->own, (int32_t)i))
            e->kinds[i] = PPH_TOKEN_CONTROL;
        else if (e->tables.model == PPH_TABLES_SCORE_BPE && is_byte(e->tokens[i]))
            e->kinds[i] = PPH_TOKEN_BYTE;
        if (!e->tokens[i].size)
            PPH_TRY(make_up(e, i, err));
    }
    e->tables.tokens = e->tokens;
    e->tables.kinds = e->kinds;
    e->tables.count = count;
    return PPH_OK;
}

/* Added tokens that are not special are found in every text. */
static void mark_added(pph_tokenizer_export *e)
{
    const pph_json *list = pph_json_get(e->root, "added_tokens");
    for (size_t i = 0; i < pph_json_size(list); i++) {
        const pph_json *item = pph_json_at(list, i);
        int64_t id = pph_json_integer(pph_json_get(item, "id"));
        if (id >= 0 && (size_t)id < e->tables.count && e->kinds[id] != PPH_TOKEN_CONTROL)
            e->kinds[id] = PPH_TOKEN_USER;
    }
}

static int32_t within(const pph_tokenizer_export *e, int32_t id)
{
    return id >= 0 && (size_t)id < e->tables.count ? id : -1;
}

/* The token that stands beside a single text. */
static int32_t beside(const pph_slots *slots, bool behind)
{
    size_t place = 0;
    while (place < slots->count && slots->at[place].kind != PPH_SLOT_FIRST)
        place++;
    if (!behind)
        return place == 1 ? slots->at[0].id : -1;
    return place + 2 == slots->count ? slots->at[place + 1].id : -1;
}

static void take_frame(pph_tokenizer_export *e)
{
    pph_tokenizer_tables *t = &e->tables;
    int32_t before = within(e, beside(&e->own->frame.single, false));
    int32_t behind = within(e, beside(&e->own->frame.single, true));
    t->adds_start = before >= 0;
    t->adds_end = behind >= 0;
    t->start = before >= 0 ? before : within(e, e->own->start);
    t->end = behind >= 0 ? behind : within(e, e->own->end);
    t->pad = within(e, e->own->pad);
}

/* ---- merges ---- */

static pph_status bad_merges(pph_error *err)
{
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "the tokenizer's merges are not pairs of tokens without spaces");
}

/* Both parts of a merge, "a b" or ["a", "b"]. */
static bool merge_parts(const pph_json *merge, pph_str *left, pph_str *right)
{
    pph_str text = pph_json_string(merge);
    *left = pph_json_string(pph_json_at(merge, 0));
    *right = pph_json_string(pph_json_at(merge, 1));
    if (text.size) {
        const char *space = memchr(text.data, ' ', text.size);
        size_t size = space ? (size_t)(space - text.data) : 0;
        *left = (pph_str){text.data, size};
        *right = space ? (pph_str){space + 1, text.size - size - 1} : (pph_str){0};
    }
    return left->size && right->size;
}

/* All merges as "a b". */
static pph_status take_merges(pph_tokenizer_export *e, pph_error *err)
{
    const pph_json *list = pph_json_get(pph_json_get(e->root, "model"), "merges");
    size_t count = pph_json_size(list), bytes = 0;
    pph_str left, right;
    e->merges = pph_alloc_array(count, sizeof *e->merges);
    if (!e->merges)
        return PPH_FAIL_MEMORY(err, count * sizeof *e->merges);
    for (size_t i = 0; i < count; i++) {
        if (!merge_parts(pph_json_at(list, i), &left, &right) ||
            memchr(left.data, ' ', left.size) || memchr(right.data, ' ', right.size))
            return bad_merges(err);
        bytes += left.size + right.size + 1;
    }
    if (bytes) /* at one go, since views into it are kept */
        PPH_TRY(pph_buffer_reserve(&e->joined, bytes, err));
    for (size_t i = 0; i < count; i++) {
        pph_buffer *to = &e->joined;
        merge_parts(pph_json_at(list, i), &left, &right);
        e->merges[i] = (pph_str){(const char *)to->data + to->size, left.size + right.size + 1};
        PPH_TRY(pph_buffer_append(to, left.data, left.size, err));
        PPH_TRY(pph_buffer_append(to, " ", 1, err));
        PPH_TRY(pph_buffer_append(to, right.data, right.size, err));
    }
    e->tables.merges = e->merges;
    e->tables.merge_count = count;
    return PPH_OK;
}

/* Scores by merges: a token's is the higher, the earlier a merge makes it. */
static pph_status score_by_merges(pph_tokenizer_export *e, pph_error *err)
{
    const pph_json *list = pph_json_get(pph_json_get(e->root, "model"), "merges");
    PPH_AUTO(pph_buffer_deinit) pph_buffer whole = {0};
    size_t count = pph_json_size(list);
    e->scores = pph_alloc_array(e->tables.count, sizeof *e->scores);
    if (!e->scores)
        return PPH_FAIL_MEMORY(err, e->tables.count * sizeof *e->scores);
    for (size_t i = 0; i < e->tables.count; i++) {
        bool text = e->kinds[i] == PPH_TOKEN_NORMAL;
        e->scores[i] = text ? -(float)(count + 1) : 0;
    }
    for (size_t i = count; i-- > 0;) {
        pph_str left, right;
        if (!merge_parts(pph_json_at(list, i), &left, &right))
            return bad_merges(err);
        whole.size = 0;
        PPH_TRY(pph_buffer_append(&whole, left.data, left.size, err));
        PPH_TRY(pph_buffer_append(&whole, right.data, right.size, err));
        int32_t id =
            within(e, pph_tokenizer_find(e->own, (pph_str){(char *)whole.data, whole.size}));
        if (id >= 0)
            e->scores[id] = -(float)(i + 1);
    }
    e->tables.scores = e->scores;
    return PPH_OK;
}

/* ---- the two algorithms ---- */

/* Whether the tables make the tokenizer that they are of. */
static pph_status try_tables(const pph_tokenizer_export *e, bool lax, bool *alike, pph_error *err)
{
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *made = NULL;
    PPH_TRY(pph_tokenizer_make(&made, &e->tables, err));
    return encodes_alike(e->own, made, lax, alike, err);
}

/* Find the preset that cuts as the tokenizer does. */
static pph_status choose_preset(pph_tokenizer_export *e, pph_error *err)
{
    const pph_json *model = pph_json_get(e->root, "model");
    bool ignores = pph_json_true(pph_json_get(model, "ignore_merges")), alike = false;
    pph_tokenizer_tables empty = {
        .model = PPH_TABLES_BPE, .start = -1, .end = -1, .unknown = -1, .separator = -1, .pad = -1};
    const char *name;
    for (size_t i = 0; (name = pph_bpe_preset_name(i)); i++) {
        PPH_AUTO(pph_tokenizer_close) pph_tokenizer *steps = NULL;
        empty.pre = pph_str_view(name);
        if (pph_bpe_preset_find(empty.pre)->ignores_merges != ignores)
            continue;
        PPH_TRY(pph_tokenizer_make(&steps, &empty, err));
        PPH_TRY(cuts_alike(e->own, steps, &alike, err));
        if (alike) {
            e->tables.pre = empty.pre;
            return PPH_OK;
        }
    }
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "the tokenizer cuts texts in a way that GGUF has no name for here");
}

static pph_status export_bpe(pph_tokenizer_export *e, size_t count, pph_error *err)
{
    bool alike = false;
    e->tables.model = PPH_TABLES_BPE;
    PPH_TRY(choose_preset(e, err));
    PPH_TRY(take_tokens(e, count, err));
    mark_added(e);
    take_frame(e);
    PPH_TRY(take_merges(e, err));
    PPH_TRY(try_tables(e, false, &alike, err));
    return alike ? PPH_OK
                 : PPH_FAIL(err, PPH_UNSUPPORTED,
                            "the tokenizer puts together tokens in a way that GGUF cannot say");
}

/* With the space before a text, or without. Some tokenizers put none before a text that begins with one,
 * which no table can say: it is the least of evils. */
static pph_status try_scored(pph_tokenizer_export *e, pph_error *err)
{
    bool alike = false;
    for (int way = 0; !alike && way < 4; way++) {
        e->tables.adds_prefix = way % 2 == 0;
        PPH_TRY(try_tables(e, way >= 2, &alike, err));
    }
    return alike ? PPH_OK
                 : PPH_FAIL(err, PPH_UNSUPPORTED,
                            "the tokenizer does not cut texts as SentencePiece's do, and GGUF has "
                            "no other form for it");
}

static pph_status export_scored(pph_tokenizer_export *e, size_t count, pph_error *err)
{
    pph_str unknown = pph_json_string(pph_json_get(pph_json_get(e->root, "model"), "unk_token"));
    e->tables.model = PPH_TABLES_SCORE_BPE;
    PPH_TRY(take_tokens(e, count, err));
    mark_added(e);
    e->tables.unknown =
        unknown.size ? within(e, pph_tokenizer_find(e->own, unknown)) : within(e, 0);
    if (e->tables.unknown >= 0)
        e->kinds[e->tables.unknown] = PPH_TOKEN_UNKNOWN;
    take_frame(e);
    PPH_TRY(score_by_merges(e, err));
    return try_scored(e, err);
}

static pph_status export_json(pph_tokenizer_export *e, const char *path, size_t count,
                              pph_error *err)
{
    PPH_TRY(pph_json_load(&e->root, path, FILE_LIMIT, err));
    if (e->own->model.kind != PPH_SUBWORD_BPE)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "the tokenizer is no BPE; others are not written");
    return pph_pretokenizer_byte_level(e->own->pretokenizer) ? export_bpe(e, count, err)
                                                             : export_scored(e, count, err);
}

/* tokenizer.model, whose tables are those that are wanted. */
static pph_status export_pieces(pph_tokenizer_export *e, const char *path, size_t count,
                                pph_error *err)
{
    const pph_sentencepiece_frame frame = {0};
    e->file.limit = FILE_LIMIT;
    PPH_TRY(pph_file_read(path, &e->file, err));
    PPH_TRY(pph_sentencepiece_read(&e->pieces, e->file.data, e->file.size, err));
    e->tables = pph_sentencepiece_tables(&e->pieces, &frame);
    if (e->tables.model != PPH_TABLES_SCORE_BPE)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "the tokenizer is no BPE; others are not written");
    PPH_TRY(take_tokens(e, count, err));
    e->scores = pph_alloc_array(count, sizeof *e->scores);
    if (!e->scores)
        return PPH_FAIL_MEMORY(err, count * sizeof *e->scores);
    for (size_t i = 0; i < PPH_MIN(count, e->pieces.count); i++) {
        e->scores[i] = e->pieces.scores[i];
        if (e->tokens[i].size && e->kinds[i] != PPH_TOKEN_UNUSED)
            e->kinds[i] = e->pieces.kinds[i];
    }
    e->tables.scores = e->scores;
    e->tables.unknown = within(e, e->tables.unknown);
    take_frame(e);
    return try_scored(e, err);
}

pph_status pph_tokenizer_export_open(pph_tokenizer_export **out, const char *folder, size_t count,
                                     pph_error *err)
{
    PPH_AUTO(pph_tokenizer_export_close) pph_tokenizer_export *e = pph_alloc(sizeof *e);
    PPH_AUTO(pph_free_at) char *json = pph_path_join(folder, "tokenizer.json");
    PPH_AUTO(pph_free_at) char *pieces = pph_path_join(folder, "tokenizer.model");
    if (!e || !json || !pieces)
        return PPH_FAIL_MEMORY(err, sizeof *e);
    PPH_TRY(pph_tokenizer_open(&e->own, folder, err));
    e->tables = (pph_tokenizer_tables){.unknown = -1, .separator = -1};
    pph_status status;
    if (pph_file_look(json) != PPH_FILE_MISSING)
        status = export_json(e, json, count, err);
    else if (pph_file_look(pieces) != PPH_FILE_MISSING)
        status = export_pieces(e, pieces, count, err);
    else
        status =
            PPH_FAIL(err, PPH_UNSUPPORTED, "its tokenizer stands in files that have no tables");
    if (status != PPH_OK)
        return pph_error_prefix(err, status, folder);
    *out = PPH_TAKE(e);
    return PPH_OK;
}
