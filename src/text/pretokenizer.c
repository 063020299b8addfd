/* Cuts text into pieces, stage after stage, each stage looking at every piece of the one before as
 * at a text of its own. A stage may also rewrite the pieces. Refuses kinds that it does not know. */
#include "text/pretokenizer.h"

#include "base/mem.h"
#include "text/metaspace.h"
#include "text/normalizer_steps.h"
#include "text/pattern.h"
#include "text/properties.h"
#include <string.h>

#define STAGE_LIMIT 16
/* Marks and bytes spelled out make a text longer, stage after stage. */
#define PIECES_LIMIT ((size_t)1 << 28)

/* GPT-2's own pattern, which ByteLevel brings along. */
#define GPT2_PATTERN \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* What a stage does, in this order; each part may be missing.
 * metaspace   spaces become marks, and one may be put in front
 * add_space   a piece that does not begin with a space gets one
 * pattern, matches, delimiter  what the cut is made at: a pattern, a property of characters, or one
 *             character; `invert` what lies between such
 * words       the cut is into words and runs of what is neither word nor white space
 * spell       bytes become their characters of byte_level.h */
typedef struct stage {
    bool add_space, has_metaspace, spell, invert, words;
    pph_metaspace metaspace;
    pph_pattern pattern;
    bool (*matches)(uint32_t point);
    uint32_t delimiter; /* 0: none */
    pph_behaviour behaviour;
} stage;

struct pph_pretokenizer {
    stage stages[STAGE_LIMIT];
    size_t count;
    bool byte_level;
};

/* ---- making ---- */

static pph_status add_split(stage *to, const pph_json *json, pph_error *err)
{
    if (pph_json_is_null(pph_json_get(json, "behavior")))
        return PPH_FAIL(err, PPH_CORRUPT, "the pre-tokenizer 'Split' has no 'behavior'");
    PPH_TRY(pph_behaviour_of(&to->behaviour, json, PPH_ISOLATED, err));
    PPH_TRY(pph_json_get_bool(json, "invert", false, &to->invert, err));
    return pph_pattern_init(&to->pattern, pph_json_get(json, "pattern"), err);
}

static pph_status add_byte_level(stage *to, const pph_json *json, pph_error *err)
{
    bool use_regex = true;
    PPH_TRY(pph_json_get_bool(json, "add_prefix_space", true, &to->add_space, err));
    PPH_TRY(pph_json_get_bool(json, "use_regex", true, &use_regex, err));
    to->behaviour = PPH_ISOLATED;
    to->spell = true;
    return use_regex ? pph_regex_new(&to->pattern.regex, PPH_STR(GPT2_PATTERN), err) : PPH_OK;
}

static pph_status add_metaspace(stage *to, const pph_json *json, pph_error *err)
{
    PPH_TRY(pph_metaspace_read(&to->metaspace, json, err));
    to->has_metaspace = true;
    to->behaviour = PPH_MERGED_WITH_NEXT;
    size_t length;
    if (to->metaspace.split)
        to->delimiter =
            pph_utf8_decode((pph_str){to->metaspace.mark, to->metaspace.size}, 0, &length);
    return PPH_OK;
}

static pph_status add_spaces(stage *to, const pph_json *json, pph_error *err)
{
    (void)json;
    (void)err;
    to->matches = pph_unicode_space;
    to->behaviour = PPH_REMOVED;
    return PPH_OK;
}

static pph_status add_punctuation(stage *to, const pph_json *json, pph_error *err)
{
    to->matches = pph_text_punctuation;
    return pph_behaviour_of(&to->behaviour, json, PPH_ISOLATED, err);
}

static pph_status add_digits(stage *to, const pph_json *json, pph_error *err)
{
    bool each = false;
    PPH_TRY(pph_json_get_bool(json, "individual_digits", false, &each, err));
    to->matches = pph_unicode_number;
    to->behaviour = each ? PPH_ISOLATED : PPH_CONTIGUOUS;
    return PPH_OK;
}

/* Words and runs of other characters, without the white space between. */
static pph_status add_words(stage *to, const pph_json *json, pph_error *err)
{
    (void)json;
    (void)err;
    to->words = true;
    return PPH_OK;
}

static pph_status add_delimiter(stage *to, const pph_json *json, pph_error *err)
{
    pph_str text = pph_json_string(pph_json_get(json, "delimiter"));
    size_t length = 0;
    if (text.size)
        to->delimiter = pph_utf8_decode(text, 0, &length);
    if (!to->delimiter || length != text.size)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the 'delimiter' of 'CharDelimiterSplit' is not one character");
    to->behaviour = PPH_REMOVED;
    return PPH_OK;
}

static const struct {
    const char *name;
    pph_status (*add)(stage *to, const pph_json *json, pph_error *err);
} kinds[] = {
    {"Split", add_split},
    {"ByteLevel", add_byte_level},
    {"Metaspace", add_metaspace},
    {"WhitespaceSplit", add_spaces},
    {"BertPreTokenizer", add_spaces}, /* and then punctuation */
    {"Whitespace", add_words},
    {"Punctuation", add_punctuation},
    {"Digits", add_digits},
    {"CharDelimiterSplit", add_delimiter},
};

static pph_status next_stage(pph_pretokenizer *p, stage **out, pph_error *err)
{
    if (p->count == STAGE_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a pre-tokenizer of more than %d stages", STAGE_LIMIT);
    *out = &p->stages[p->count++];
    return PPH_OK;
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
    for (size_t i = 0; i < PPH_COUNT(kinds); i++) {
        if (!pph_str_equal(type, pph_str_view(kinds[i].name)))
            continue;
        stage *to;
        PPH_TRY(next_stage(p, &to, err));
        PPH_TRY(kinds[i].add(to, json, err));
        if (!pph_str_equal(type, PPH_STR("BertPreTokenizer")))
            return PPH_OK;
        PPH_TRY(next_stage(p, &to, err));
        return add_punctuation(to, NULL, err);
    }
    return PPH_FAIL(err, PPH_UNSUPPORTED, "the pre-tokenizer '%.*s' is not supported",
                    (int)PPH_MIN(type.size, (size_t)40), type.size ? type.data : "");
}

pph_status pph_pretokenizer_new(pph_pretokenizer **out, const pph_json *json, bool plain,
                                pph_error *err)
{
    PPH_AUTO(pph_pretokenizer_free) pph_pretokenizer *p = pph_alloc(sizeof *p);
    if (!p)
        return PPH_FAIL_MEMORY(err, sizeof *p);
    PPH_TRY(add_stages(p, json, 0, err));
    if (plain && p->count && p->stages[p->count - 1].spell) {
        p->byte_level = true;
        p->stages[p->count - 1].spell = false;
        /* Bytes that are spelled already would be spelled twice. */
        for (size_t i = 0; i + 1 < p->count; i++)
            if (p->stages[i].spell)
                return PPH_FAIL(err, PPH_UNSUPPORTED,
                                "a pre-tokenizer with 'ByteLevel' twice is not supported");
    }
    *out = PPH_TAKE(p);
    return PPH_OK;
}

pph_status pph_pretokenizer_of_patterns(pph_pretokenizer **out, const char *const *patterns,
                                        size_t limit, pph_error *err)
{
    PPH_AUTO(pph_pretokenizer_free) pph_pretokenizer *p = pph_alloc(sizeof *p);
    if (!p)
        return PPH_FAIL_MEMORY(err, sizeof *p);
    p->byte_level = true;
    for (size_t i = 0; i < limit && patterns[i]; i++) {
        stage *to;
        PPH_TRY(next_stage(p, &to, err));
        to->behaviour = PPH_ISOLATED;
        PPH_TRY(pph_regex_new(&to->pattern.regex, pph_str_view(patterns[i]), err));
    }
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

/* ---- rewriting ---- */

void pph_pieces_deinit(pph_pieces *pieces)
{
    pph_buffer_deinit(&pieces->text);
    pph_buffer_deinit(&pieces->other_text);
    pph_cuts_deinit(&pieces->cuts);
    pph_cuts_deinit(&pieces->others);
    *pieces = (pph_pieces){0};
}

static pph_str piece_text(const pph_pieces *p, pph_regex_match range)
{
    return (pph_str){(const char *)p->text.data + range.begin, range.end - range.begin};
}

static pph_status put_space(const stage *s, bool first, pph_str piece, pph_buffer *out,
                            pph_error *err)
{
    (void)first;
    (void)s;
    if (piece.data[0] != ' ')
        PPH_TRY(pph_buffer_append(out, " ", 1, err));
    return pph_buffer_append(out, piece.data, piece.size, err);
}

static pph_status put_marks(const stage *s, bool first, pph_str piece, pph_buffer *out,
                            pph_error *err)
{
    const pph_metaspace *m = &s->metaspace;
    bool marked = piece.data[0] == ' ' ||
                  (piece.size >= m->size && memcmp(piece.data, m->mark, m->size) == 0);
    if (!marked && (m->prepend == PPH_PREPEND_ALWAYS || (m->prepend == PPH_PREPEND_FIRST && first)))
        PPH_TRY(pph_buffer_append(out, m->mark, m->size, err));
    for (;;) {
        const char *space = piece.size ? memchr(piece.data, ' ', piece.size) : NULL;
        size_t run = space ? (size_t)(space - piece.data) : piece.size;
        PPH_TRY(pph_buffer_append(out, piece.data, run, err));
        if (!space)
            return PPH_OK;
        PPH_TRY(pph_buffer_append(out, m->mark, m->size, err));
        piece = (pph_str){space + 1, piece.size - run - 1};
    }
}

static pph_status spell_bytes(const stage *s, bool first, pph_str piece, pph_buffer *out,
                              pph_error *err)
{
    (void)first;
    (void)s;
    return pph_normal_byte_level(piece, out, err);
}

typedef pph_status rewriter(const stage *s, bool first, pph_str piece, pph_buffer *out,
                            pph_error *err);

/* Write every piece anew. */
static pph_status rewrite(const stage *s, rewriter *write, pph_pieces *p, pph_error *err)
{
    p->other_text.size = 0;
    p->other_text.limit = PIECES_LIMIT;
    for (size_t i = 0; i < p->cuts.count; i++) {
        size_t begin = p->other_text.size;
        PPH_TRY(
            write(s, i == 0 && p->leads, piece_text(p, p->cuts.ranges[i]), &p->other_text, err));
        p->cuts.ranges[i] = (pph_regex_match){begin, p->other_text.size};
    }
    pph_buffer text = p->text;
    p->text = p->other_text;
    p->other_text = text;
    return PPH_OK;
}

/* ---- cutting ---- */

static pph_status cut_at_pattern(const stage *s, pph_regex_scratch *scratch, pph_str text,
                                 pph_cutter *cutter, pph_error *err)
{
    pph_pattern_walk walk = {0};
    for (;;) {
        pph_regex_match match;
        bool found;
        size_t before = walk.done;
        PPH_TRY(pph_pattern_next(&s->pattern, scratch, text, &walk, &match, &found, err));
        size_t rest_end = found ? match.begin : text.size;
        if (rest_end > before)
            PPH_TRY(pph_cutter_take(cutter, before, rest_end, s->invert, err));
        if (!found)
            return PPH_OK;
        PPH_TRY(pph_cutter_take(cutter, match.begin, match.end, !s->invert, err));
    }
}

static pph_status cut_at_characters(const stage *s, pph_str text, pph_cutter *cutter,
                                    pph_error *err)
{
    size_t from = 0;
    for (size_t at = 0, length; at < text.size; at += length) {
        uint32_t point = pph_utf8_decode(text, at, &length);
        if (s->delimiter ? point != s->delimiter : !s->matches(point))
            continue;
        if (at > from)
            PPH_TRY(pph_cutter_take(cutter, from, at, false, err));
        PPH_TRY(pph_cutter_take(cutter, at, at + length, true, err));
        from = at + length;
    }
    return text.size > from ? pph_cutter_take(cutter, from, text.size, false, err) : PPH_OK;
}

typedef enum class { SPACE, WORD, OTHER } class;

static class class_of(uint32_t point)
{
    return pph_unicode_word(point) ? WORD : pph_unicode_space(point) ? SPACE : OTHER;
}

static pph_status cut_words(pph_str text, pph_cutter *cutter, pph_error *err)
{
    size_t from = 0;
    class last = SPACE;
    for (size_t at = 0, length; at < text.size; at += length) {
        class now = class_of(pph_utf8_decode(text, at, &length));
        if (now == last)
            continue;
        PPH_TRY(pph_cutter_take(cutter, from, at, last == SPACE, err));
        from = at;
        last = now;
    }
    return pph_cutter_take(cutter, from, text.size, last == SPACE, err);
}

static pph_status cut(const stage *s, pph_regex_scratch *scratch, pph_pieces *p, pph_error *err)
{
    bool by_pattern = s->pattern.regex || s->pattern.literal;
    if (!by_pattern && !s->matches && !s->delimiter && !s->words)
        return PPH_OK;
    p->others.count = 0;
    for (size_t i = 0; i < p->cuts.count; i++) {
        pph_regex_match piece = p->cuts.ranges[i];
        pph_cutter cutter = {.to = &p->others, .offset = piece.begin, .behaviour = s->behaviour};
        pph_str text = piece_text(p, piece);
        PPH_TRY(by_pattern ? cut_at_pattern(s, scratch, text, &cutter, err)
                : s->words ? cut_words(text, &cutter, err)
                           : cut_at_characters(s, text, &cutter, err));
        PPH_TRY(pph_cutter_finish(&cutter, err));
    }
    p->leads = p->leads && p->others.count && p->cuts.ranges[0].begin == p->others.ranges[0].begin;
    pph_cuts cuts = p->cuts;
    p->cuts = p->others;
    p->others = cuts;
    return PPH_OK;
}

pph_status pph_pretokenizer_run(const pph_pretokenizer *pretokenizer, pph_regex_scratch *scratch,
                                pph_str text, bool leads, pph_pieces *out, pph_error *err)
{
    out->text.size = 0;
    out->cuts.count = 0;
    out->leads = leads;
    PPH_TRY(pph_buffer_append(&out->text, text.data, text.size, err));
    PPH_TRY(pph_cuts_add(&out->cuts, 0, text.size, err));
    for (size_t i = 0; i < pretokenizer->count; i++) {
        const stage *s = &pretokenizer->stages[i];
        if (s->add_space)
            PPH_TRY(rewrite(s, put_space, out, err));
        if (s->has_metaspace)
            PPH_TRY(rewrite(s, put_marks, out, err));
        PPH_TRY(cut(s, scratch, out, err));
        if (s->spell)
            PPH_TRY(rewrite(s, spell_bytes, out, err));
    }
    return PPH_OK;
}
