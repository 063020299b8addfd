/* Cuts text into pieces, stage after stage, each stage looking at every piece of the one before as
 * at a text of its own. Refuses kinds that it does not know, and stages behind ByteLevel. */
#include "text/pretokenizer.h"

#include "base/mem.h"
#include "text/pattern.h"

#define STAGE_LIMIT 16

/* GPT-2's own pattern, which ByteLevel brings along. */
#define GPT2_PATTERN \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* A cut by a pattern: what matches is a piece; what lies between is one too, or dropped. */
typedef struct stage {
    pph_pattern pattern;
    bool keep_matches, keep_rest;
    bool add_space; /* before the cut, a piece that does not begin with a space gets one */
    bool no_cut;
} stage;

struct pph_pretokenizer {
    stage stages[STAGE_LIMIT];
    size_t count;
    bool byte_level;
};

/* ---- making ---- */

static pph_status add_split(stage *to, const pph_json *json, pph_error *err)
{
    bool invert = false;
    pph_str behaviour = pph_json_string(pph_json_get(json, "behavior"));
    PPH_TRY(pph_json_get_bool(json, "invert", false, &invert, err));
    if (pph_str_equal(behaviour, PPH_STR("Isolated"))) {
        to->keep_matches = to->keep_rest = true;
    } else if (pph_str_equal(behaviour, PPH_STR("Removed"))) {
        to->keep_matches = invert;
        to->keep_rest = !invert;
    } else {
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the pre-tokenizer 'Split' with behavior '%.*s' is not supported; Removed "
                        "and Isolated are",
                        (int)PPH_MIN(behaviour.size, (size_t)40),
                        behaviour.size ? behaviour.data : "");
    }
    return pph_pattern_init(&to->pattern, pph_json_get(json, "pattern"), err);
}

static pph_status add_byte_level(stage *to, const pph_json *json, pph_error *err)
{
    bool use_regex = true;
    PPH_TRY(pph_json_get_bool(json, "add_prefix_space", true, &to->add_space, err));
    PPH_TRY(pph_json_get_bool(json, "use_regex", true, &use_regex, err));
    to->keep_matches = to->keep_rest = true;
    to->no_cut = !use_regex;
    return use_regex ? pph_regex_new(&to->pattern.regex, PPH_STR(GPT2_PATTERN), err) : PPH_OK;
}

static pph_status add_stages(pph_pretokenizer *p, const pph_json *json, int depth, pph_error *err)
{
    if (pph_json_is_null(json))
        return PPH_OK;
    pph_str type = pph_json_string(pph_json_get(json, "type"));
    if (pph_str_equal(type, PPH_STR("Sequence"))) {
        const pph_json *list = pph_json_get(json, "pretokenizers");
        if (!pph_json_is_array(list) || depth > 4)
            return PPH_FAIL(err, PPH_CORRUPT, "the pre-tokenizer 'Sequence' is not a list");
        for (size_t i = 0; i < pph_json_size(list); i++)
            PPH_TRY(add_stages(p, pph_json_at(list, i), depth + 1, err));
        return PPH_OK;
    }
    if (p->count == STAGE_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a pre-tokenizer of more than %d stages", STAGE_LIMIT);
    if (p->byte_level)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "a pre-tokenizer stage behind 'ByteLevel' is not supported");
    stage *to = &p->stages[p->count++];
    if (pph_str_equal(type, PPH_STR("Split")))
        return add_split(to, json, err);
    if (pph_str_equal(type, PPH_STR("ByteLevel"))) {
        p->byte_level = true;
        return add_byte_level(to, json, err);
    }
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "the pre-tokenizer '%.*s' is not supported; Split and ByteLevel are",
                    (int)PPH_MIN(type.size, (size_t)40), type.size ? type.data : "");
}

pph_status pph_pretokenizer_new(pph_pretokenizer **out, const pph_json *json, pph_error *err)
{
    PPH_AUTO(pph_pretokenizer_free) pph_pretokenizer *p = pph_alloc(sizeof *p);
    if (!p)
        return PPH_FAIL_MEMORY(err, sizeof *p);
    PPH_TRY(add_stages(p, json, 0, err));
    *out = PPH_TAKE(p);
    return PPH_OK;
}

void pph_pretokenizer_free(pph_pretokenizer **pretokenizer)
{
    pph_pretokenizer *p = *pretokenizer;
    *pretokenizer = NULL;
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        pph_pattern_deinit(&p->stages[i].pattern);
    pph_free(p);
}

bool pph_pretokenizer_byte_level(const pph_pretokenizer *pretokenizer)
{
    return pretokenizer->byte_level;
}

/* ---- cutting ---- */

void pph_pieces_deinit(pph_pieces *pieces)
{
    pph_buffer_deinit(&pieces->text);
    pph_buffer_deinit(&pieces->other_text);
    pph_free(pieces->pieces);
    pph_free(pieces->others);
    *pieces = (pph_pieces){0};
}

/* Append to `others`, of which *count are in use. */
static pph_status add_piece(pph_pieces *p, size_t *count, size_t begin, size_t end, pph_error *err)
{
    if (begin == end)
        return PPH_OK;
    if (*count == p->others_room) {
        size_t room = PPH_MAX((size_t)64, 2 * p->others_room);
        pph_regex_match *others = pph_resize(p->others, room, sizeof *others);
        if (!others)
            return PPH_FAIL_MEMORY(err, room * sizeof *others);
        p->others = others;
        p->others_room = room;
    }
    p->others[(*count)++] = (pph_regex_match){begin, end};
    return PPH_OK;
}

/* What was written to `others` are the pieces now. */
static void swap_pieces(pph_pieces *p, size_t count)
{
    pph_regex_match *pieces = p->pieces;
    size_t room = p->room;
    p->pieces = p->others;
    p->room = p->others_room;
    p->others = pieces;
    p->others_room = room;
    p->count = count;
}

static pph_status add_spaces(pph_pieces *p, pph_error *err)
{
    size_t count = 0;
    p->other_text.size = 0;
    for (size_t i = 0; i < p->count; i++) {
        size_t size = p->pieces[i].end - p->pieces[i].begin, begin = p->other_text.size;
        const uint8_t *bytes = p->text.data + p->pieces[i].begin;
        if (bytes[0] != ' ')
            PPH_TRY(pph_buffer_append(&p->other_text, " ", 1, err));
        PPH_TRY(pph_buffer_append(&p->other_text, bytes, size, err));
        PPH_TRY(add_piece(p, &count, begin, p->other_text.size, err));
    }
    pph_buffer text = p->text;
    p->text = p->other_text;
    p->other_text = text;
    swap_pieces(p, count);
    return PPH_OK;
}

static pph_status cut_piece(const stage *s, pph_regex_scratch *scratch, pph_pieces *p,
                            pph_regex_match piece, size_t *count, pph_error *err)
{
    pph_str text = {(const char *)p->text.data + piece.begin, piece.end - piece.begin};
    pph_pattern_walk walk = {0};
    for (;;) {
        pph_regex_match match;
        bool found;
        size_t before = walk.done;
        PPH_TRY(pph_pattern_next(&s->pattern, scratch, text, &walk, &match, &found, err));
        size_t rest_end = found ? match.begin : text.size;
        if (s->keep_rest)
            PPH_TRY(add_piece(p, count, piece.begin + before, piece.begin + rest_end, err));
        if (!found)
            return PPH_OK;
        if (s->keep_matches)
            PPH_TRY(add_piece(p, count, piece.begin + match.begin, piece.begin + match.end, err));
    }
}

pph_status pph_pretokenizer_run(const pph_pretokenizer *pretokenizer, pph_regex_scratch *scratch,
                                pph_str text, pph_pieces *out, pph_error *err)
{
    size_t count = 0;
    out->text.size = 0;
    PPH_TRY(pph_buffer_append(&out->text, text.data, text.size, err));
    PPH_TRY(add_piece(out, &count, 0, text.size, err));
    swap_pieces(out, count);
    for (size_t i = 0; i < pretokenizer->count; i++) {
        const stage *s = &pretokenizer->stages[i];
        if (s->add_space)
            PPH_TRY(add_spaces(out, err));
        if (s->no_cut)
            continue;
        count = 0;
        for (size_t j = 0; j < out->count; j++)
            PPH_TRY(cut_piece(s, scratch, out, out->pieces[j], &count, err));
        swap_pieces(out, count);
    }
    return PPH_OK;
}
