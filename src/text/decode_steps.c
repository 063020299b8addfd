/* The steps as stages of a stream. Most look at a token once its end is there; those behind a step
 * that joins all tokens to one must go on part by part, and do.
 *
 * Differs from the batch decoder of the tokenizers library in one thing: of a run of byte tokens that
 * is not UTF-8 as a whole, what is good is still given, since it may have been streamed already. */
#include "text/decode_steps.h"

#include "base/mem.h"
#include "text/byte_level.h"
#include "text/lossy.h"
#include "text/metaspace.h"
#include "text/pattern.h"
#include <string.h>

#define STEP_LIMIT 16

typedef enum step_kind {
    JOIN,          /* tokens become one, with spaces between */
    FUSE,          /* tokens become one */
    BYTE_LEVEL,    /* characters of byte_level.h become bytes; tokens become one */
    TRIM,          /* no spaces at the ends */
    STRIP,         /* no more than so many of a character at a token's ends */
    BYTE_FALLBACK, /* "<0x0A>" becomes a byte; a run of such becomes one token */
    REPLACE,
    METASPACE, /* marks become spaces, but in the first token */
    WORDPIECE, /* a space before tokens that begin a word; then English punctuation closes up */
    WORD_ENDS, /* the end of a word becomes a space, but at the end */
} step_kind;

typedef struct step {
    step_kind kind;
    pph_pattern pattern; /* REPLACE, WORD_ENDS: what, and by what */
    char *text;          /* REPLACE: the content; WORDPIECE: the prefix; BYTE_LEVEL: the suffix */
    size_t size;         /* of it */
    size_t left, right;  /* STRIP */
    char mark[4];        /* STRIP: the character */
    size_t mark_size;
    bool cleans; /* WORDPIECE */
    pph_metaspace metaspace;
} step;

struct pph_decode_steps {
    step steps[STEP_LIMIT];
    size_t count;
};

/* ---- making ---- */

static pph_status set_text(step *to, pph_str text, pph_error *err)
{
    to->text = pph_str_copy(text);
    to->size = text.size;
    return to->text ? PPH_OK : PPH_FAIL_MEMORY(err, text.size + 1);
}

static pph_status add_replace(step *to, const pph_json *json, pph_error *err)
{
    to->kind = REPLACE;
    PPH_TRY(pph_pattern_init(&to->pattern, pph_json_get(json, "pattern"), err));
    return set_text(to, pph_json_string(pph_json_get(json, "content")), err);
}

static pph_status add_strip(step *to, const pph_json *json, pph_error *err)
{
    pph_str mark = pph_json_string(pph_json_get(json, "content"));
    size_t length = 0;
    int64_t left = 0, right = 0;
    to->kind = STRIP;
    if (mark.size)
        pph_utf8_decode(mark, 0, &length);
    if (!mark.size || mark.size != length)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the 'content' of the decoder 'Strip' is not one character");
    memcpy(to->mark, mark.data, mark.size);
    to->mark_size = mark.size;
    PPH_TRY(pph_json_get_integer(json, "start", 0, 1 << 20, 0, &left, err));
    PPH_TRY(pph_json_get_integer(json, "stop", 0, 1 << 20, 0, &right, err));
    to->left = (size_t)left;
    to->right = (size_t)right;
    return PPH_OK;
}

static pph_status add_metaspace(step *to, const pph_json *json, pph_error *err)
{
    to->kind = METASPACE;
    return pph_metaspace_read(&to->metaspace, json, err);
}

static pph_status add_wordpiece(step *to, const pph_json *json, pph_error *err)
{
    const pph_json *prefix = pph_json_get(json, "prefix");
    to->kind = WORDPIECE;
    PPH_TRY(pph_json_get_bool(json, "cleanup", true, &to->cleans, err));
    return set_text(to, prefix ? pph_json_string(prefix) : PPH_STR("##"), err);
}

static pph_status add_word_ends(step *to, const pph_json *json, pph_error *err)
{
    const pph_json *suffix = pph_json_get(json, "suffix");
    pph_str text = suffix ? pph_json_string(suffix) : PPH_STR("</w>");
    to->kind = WORD_ENDS;
    if (!text.size)
        return PPH_FAIL(err, PPH_CORRUPT, "the 'suffix' of the decoder 'BPEDecoder' is empty");
    to->pattern.literal = pph_str_copy(text);
    to->pattern.literal_size = text.size;
    return to->pattern.literal ? PPH_OK : PPH_FAIL_MEMORY(err, text.size + 1);
}

static pph_status add_byte_level(step *to, const pph_json *json, pph_error *err)
{
    (void)json;
    (void)err;
    to->kind = BYTE_LEVEL;
    return PPH_OK;
}

static pph_status add_byte_fallback(step *to, const pph_json *json, pph_error *err)
{
    (void)json;
    (void)err;
    to->kind = BYTE_FALLBACK;
    return PPH_OK;
}

static pph_status add_fuse(step *to, const pph_json *json, pph_error *err)
{
    (void)json;
    (void)err;
    to->kind = FUSE;
    return PPH_OK;
}

static const struct {
    const char *name;
    pph_status (*add)(step *to, const pph_json *json, pph_error *err);
} kinds[] = {
    {"ByteLevel", add_byte_level},
    {"ByteFallback", add_byte_fallback},
    {"Fuse", add_fuse},
    {"Replace", add_replace},
    {"Strip", add_strip},
    {"Metaspace", add_metaspace},
    {"WordPiece", add_wordpiece},
    {"BPEDecoder", add_word_ends},
};

static pph_status next_step(pph_decode_steps *s, step **out, pph_error *err)
{
    if (s->count == STEP_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a decoder of more than %d steps", STEP_LIMIT);
    *out = &s->steps[s->count++];
    return PPH_OK;
}

static pph_status add_steps(pph_decode_steps *s, const pph_json *json, int depth, pph_error *err)
{
    pph_str type = pph_json_string(pph_json_get(json, "type"));
    if (pph_str_equal(type, PPH_STR("Sequence")) && depth < 4) {
        const pph_json *list = pph_json_get(json, "decoders");
        for (size_t i = 0; i < pph_json_size(list); i++)
            PPH_TRY(add_steps(s, pph_json_at(list, i), depth + 1, err));
        return PPH_OK;
    }
    for (size_t i = 0; i < PPH_COUNT(kinds); i++)
        if (pph_str_equal(type, pph_str_view(kinds[i].name))) {
            step *to;
            PPH_TRY(next_step(s, &to, err));
            return kinds[i].add(to, json, err);
        }
    return PPH_FAIL(err, PPH_UNSUPPORTED, "the decoder '%.*s' is not supported",
                    (int)PPH_MIN(type.size, (size_t)40), type.size ? type.data : "");
}

pph_status pph_decode_steps_new(pph_decode_steps **out, const pph_json *json, pph_str suffix,
                                pph_error *err)
{
    PPH_AUTO(pph_decode_steps_free) pph_decode_steps *s = pph_alloc(sizeof *s);
    if (!s)
        return PPH_FAIL_MEMORY(err, sizeof *s);
    step *to;
    if (!pph_json_is_null(json)) {
        PPH_TRY(add_steps(s, json, 0, err));
    } else {
        PPH_TRY(next_step(s, &to, err));
        to->kind = JOIN;
    }
    if (s->count == 1 && s->steps[0].kind == BYTE_LEVEL && suffix.size) {
        PPH_TRY(set_text(&s->steps[0], suffix, err));
        PPH_TRY(next_step(s, &to, err));
        to->kind = TRIM;
    }
    *out = PPH_TAKE(s);
    return PPH_OK;
}

void pph_decode_steps_free(pph_decode_steps **steps)
{
    pph_decode_steps *s = *steps;
    *steps = NULL;
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        pph_pattern_deinit(&s->steps[i].pattern);
        pph_free(s->steps[i].text);
    }
    pph_free(s);
}

/* ---- the stream ---- */

/* held    the token so far; TRIM, STRIP: how many of the character wait is in `waiting`
 * ready   what a step makes
 * index   how many tokens ended
 * open    a token has begun that was not ended towards the next step
 * begun   TRIM, STRIP: something else than the character has come */
typedef struct state {
    pph_buffer held, ready;
    pph_lossy lossy;
    size_t index, waiting, cut;
    bool open, begun;
} state;

struct pph_decode_flow {
    const pph_decode_steps *steps;
    state states[STEP_LIMIT];
    pph_regex_scratch *scratch;
    pph_buffer *out; /* for the length of a call */
};

pph_status pph_decode_flow_new(pph_decode_flow **out, const pph_decode_steps *steps, pph_error *err)
{
    PPH_AUTO(pph_decode_flow_free) pph_decode_flow *flow = pph_alloc(sizeof *flow);
    if (!flow)
        return PPH_FAIL_MEMORY(err, sizeof *flow);
    flow->steps = steps;
    PPH_TRY(pph_regex_scratch_new(&flow->scratch, err));
    *out = PPH_TAKE(flow);
    return PPH_OK;
}

void pph_decode_flow_free(pph_decode_flow **flow)
{
    pph_decode_flow *f = *flow;
    *flow = NULL;
    if (!f)
        return;
    for (size_t i = 0; i < STEP_LIMIT; i++) {
        pph_buffer_deinit(&f->states[i].held);
        pph_buffer_deinit(&f->states[i].ready);
    }
    pph_regex_scratch_free(&f->scratch);
    pph_free(f);
}

static pph_str view(const pph_buffer *buffer)
{
    return (pph_str){buffer->size ? (const char *)buffer->data : "", buffer->size};
}

/* Steps call each other in turn, no deeper than there are steps. */
static pph_status push(pph_decode_flow *f, size_t at, pph_str part, pph_error *err);
static pph_status end(pph_decode_flow *f, size_t at, pph_error *err);

/* Hand on what was made ready. */
static pph_status hand_on(pph_decode_flow *f, size_t at, pph_error *err)
{
    pph_buffer *ready = &f->states[at].ready;
    PPH_TRY(push(f, at + 1, view(ready), err));
    ready->size = 0;
    return PPH_OK;
}

/* Give away `count` characters that waited. */
static pph_status let_go(pph_decode_flow *f, size_t at, const char *mark, size_t size,
                         pph_error *err)
{
    state *t = &f->states[at];
    for (; t->waiting; t->waiting--)
        PPH_TRY(push(f, at + 1, (pph_str){mark, size}, err));
    return PPH_OK;
}

/* Up to `left` of the character at the beginning go, and up to `right` at the end, which wait until
 * it is known whether they are at the end. */
static pph_status strip(pph_decode_flow *f, size_t at, const char *mark, size_t size, size_t left,
                        size_t right, pph_str part, pph_error *err)
{
    state *t = &f->states[at];
    for (size_t i = 0; i < part.size;) {
        bool is = part.size - i >= size && memcmp(part.data + i, mark, size) == 0;
        size_t length = size;
        if (is && !t->begun && t->cut < left) {
            t->cut++;
        } else if (is && right) {
            if (t->waiting == right)
                PPH_TRY(push(f, at + 1, (pph_str){mark, size}, err));
            else
                t->waiting++;
            t->begun = true;
        } else {
            PPH_TRY(let_go(f, at, mark, size, err));
            t->begun = true;
            const char *next =
                right ? memmem(part.data + i + 1, part.size - i - 1, mark, size) : NULL;
            length = next ? (size_t)(next - part.data) - i : part.size - i;
            PPH_TRY(push(f, at + 1, (pph_str){part.data + i, length}, err));
        }
        i += length;
    }
    return PPH_OK;
}

static pph_status push(pph_decode_flow *f, size_t at, pph_str part, pph_error *err)
{
    if (at == f->steps->count)
        return pph_buffer_append(f->out, part.data, part.size, err);
    const step *s = &f->steps->steps[at];
    state *t = &f->states[at];
    switch (s->kind) {
    case FUSE:
        return push(f, at + 1, part, err);
    case TRIM:
        return strip(f, at, " ", 1, SIZE_MAX, SIZE_MAX, part, err);
    case STRIP:
        return strip(f, at, s->mark, s->mark_size, s->left, s->right, part, err);
    default:
        return pph_buffer_append(&t->held, part.data, part.size, err);
    }
}

/* ---- what steps make of a token ---- */

static pph_status end_byte_level(pph_decode_flow *f, size_t at, pph_error *err)
{
    const step *s = &f->steps->steps[at];
    state *t = &f->states[at];
    pph_str token = view(&t->held);
    bool ends_word = s->size && pph_str_ends(token, s->text), spelled = true;
    token.size -= ends_word ? s->size : 0;
    for (size_t i = 0, length; i < token.size && spelled; i += length)
        spelled = pph_byte_level_byte(pph_utf8_decode(token, i, &length)) >= 0;
    if (!spelled) /* a text outside the alphabet stands for itself */
        PPH_TRY(pph_lossy_push(&t->lossy, token.data, token.size, &t->ready, err));
    for (size_t i = 0, length; i < token.size && spelled; i += length) {
        uint8_t byte = (uint8_t)pph_byte_level_byte(pph_utf8_decode(token, i, &length));
        PPH_TRY(pph_lossy_push(&t->lossy, &byte, 1, &t->ready, err));
    }
    if (ends_word)
        PPH_TRY(pph_lossy_push(&t->lossy, " ", 1, &t->ready, err));
    return hand_on(f, at, err);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte that "<0x0A>" is, or -1. */
static int byte_of(pph_str token)
{
    if (token.size != 6 || !pph_str_starts(token, "<0x") || token.data[5] != '>')
        return -1;
    int high = hex_digit(token.data[3]), low = hex_digit(token.data[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* The run of bytes is over. */
static pph_status end_run(pph_decode_flow *f, size_t at, pph_error *err)
{
    state *t = &f->states[at];
    if (!t->open)
        return PPH_OK;
    t->open = false;
    PPH_TRY(pph_lossy_finish(&t->lossy, &t->ready, err));
    PPH_TRY(hand_on(f, at, err));
    return end(f, at + 1, err);
}

static pph_status end_byte_fallback(pph_decode_flow *f, size_t at, pph_error *err)
{
    state *t = &f->states[at];
    pph_str token = view(&t->held);
    int byte = byte_of(token);
    if (byte >= 0) {
        uint8_t value = (uint8_t)byte;
        t->open = true;
        t->lossy.each = true;
        PPH_TRY(pph_lossy_push(&t->lossy, &value, 1, &t->ready, err));
        return hand_on(f, at, err);
    }
    PPH_TRY(end_run(f, at, err));
    PPH_TRY(push(f, at + 1, token, err));
    return end(f, at + 1, err);
}

static pph_status replace_all(pph_decode_flow *f, const step *s, pph_str text, pph_str by,
                              pph_buffer *out, pph_error *err)
{
    pph_pattern_walk walk = {0};
    for (;;) {
        pph_regex_match match;
        bool found;
        size_t before = walk.done;
        PPH_TRY(pph_pattern_next(&s->pattern, f->scratch, text, &walk, &match, &found, err));
        size_t rest = found ? match.begin : text.size;
        PPH_TRY(pph_buffer_append(out, text.data + before, rest - before, err));
        if (!found)
            return PPH_OK;
        PPH_TRY(pph_buffer_append(out, by.data, by.size, err));
    }
}

static pph_status make_metaspace(const step *s, state *t, pph_error *err)
{
    const pph_metaspace *m = &s->metaspace;
    pph_str text = view(&t->held);
    bool drop = t->index == 0 && m->prepend != PPH_PREPEND_NEVER;
    for (size_t i = 0, length; i < text.size; i += length) {
        pph_utf8_decode(text, i, &length);
        if (length != m->size || memcmp(text.data + i, m->mark, length) != 0)
            PPH_TRY(pph_buffer_append(&t->ready, text.data + i, length, err));
        else if (!drop)
            PPH_TRY(pph_buffer_append(&t->ready, " ", 1, err));
    }
    return PPH_OK;
}

/* English punctuation and contractions close up, by these replacements in this order. */
static pph_status clean_up(state *t, pph_error *err)
{
    static const char *const pairs[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    PPH_AUTO(pph_buffer_deinit) pph_buffer other = {0};
    for (size_t i = 0; i < PPH_COUNT(pairs); i++) {
        size_t size = strlen(pairs[i][0]);
        pph_str text = view(&t->ready);
        const char *at = text.size ? memmem(text.data, text.size, pairs[i][0], size) : NULL;
        if (!at)
            continue;
        other.size = 0;
        while (at) {
            PPH_TRY(pph_buffer_append(&other, text.data, (size_t)(at - text.data), err));
            PPH_TRY(pph_buffer_append(&other, pairs[i][1], strlen(pairs[i][1]), err));
            text.size -= (size_t)(at - text.data) + size;
            text.data = at + size;
            at = text.size ? memmem(text.data, text.size, pairs[i][0], size) : NULL;
        }
        PPH_TRY(pph_buffer_append(&other, text.data, text.size, err));
        t->ready.size = 0;
        PPH_TRY(pph_buffer_append(&t->ready, other.data, other.size, err));
    }
    return PPH_OK;
}

static pph_status make_wordpiece(const step *s, state *t, pph_error *err)
{
    pph_str text = view(&t->held);
    if (t->index && s->size && pph_str_starts(text, s->text))
        text = (pph_str){text.data + s->size, text.size - s->size};
    else if (t->index)
        PPH_TRY(pph_buffer_append(&t->ready, " ", 1, err));
    PPH_TRY(pph_buffer_append(&t->ready, text.data, text.size, err));
    return s->cleans ? clean_up(t, err) : PPH_OK;
}

/* The token before this one was not the last; this one may be, and waits. */
static pph_status end_word_ends(pph_decode_flow *f, size_t at, bool last, pph_error *err)
{
    const step *s = &f->steps->steps[at];
    state *t = &f->states[at];
    if (t->open) {
        pph_buffer waiting = t->ready;
        t->ready = (pph_buffer){0};
        pph_status status =
            replace_all(f, s, view(&waiting), last ? PPH_STR("") : PPH_STR(" "), &t->ready, err);
        pph_buffer_deinit(&waiting);
        PPH_TRY(status);
        PPH_TRY(hand_on(f, at, err));
        PPH_TRY(end(f, at + 1, err));
    }
    t->open = !last;
    return last ? PPH_OK : pph_buffer_append(&t->ready, t->held.data, t->held.size, err);
}

/* A token has ended. */
static pph_status end(pph_decode_flow *f, size_t at, pph_error *err)
{
    if (at == f->steps->count)
        return PPH_OK;
    const step *s = &f->steps->steps[at];
    state *t = &f->states[at];
    switch (s->kind) {
    case FUSE:
    case TRIM:
        return PPH_OK;
    case STRIP:
        t->waiting = t->cut = 0;
        t->begun = false;
        return end(f, at + 1, err);
    case JOIN:
        if (t->index)
            PPH_TRY(push(f, at + 1, PPH_STR(" "), err));
        PPH_TRY(push(f, at + 1, view(&t->held), err));
        break;
    case BYTE_LEVEL:
        PPH_TRY(end_byte_level(f, at, err));
        break;
    case BYTE_FALLBACK:
        PPH_TRY(end_byte_fallback(f, at, err));
        break;
    case WORD_ENDS:
        PPH_TRY(end_word_ends(f, at, false, err));
        break;
    case REPLACE:
        PPH_TRY(replace_all(f, s, view(&t->held), (pph_str){s->text, s->size}, &t->ready, err));
        PPH_TRY(hand_on(f, at, err));
        PPH_TRY(end(f, at + 1, err));
        break;
    case METASPACE:
        PPH_TRY(make_metaspace(s, t, err));
        PPH_TRY(hand_on(f, at, err));
        PPH_TRY(end(f, at + 1, err));
        break;
    case WORDPIECE:
        PPH_TRY(make_wordpiece(s, t, err));
        PPH_TRY(hand_on(f, at, err));
        PPH_TRY(end(f, at + 1, err));
        break;
    }
    t->held.size = 0;
    t->index++;
    return PPH_OK;
}

/* No more tokens come to this step: what waits goes on, and a joined token ends. */
static pph_status finish(pph_decode_flow *f, size_t at, pph_error *err)
{
    state *t = &f->states[at];
    switch (f->steps->steps[at].kind) {
    case BYTE_LEVEL:
        PPH_TRY(pph_lossy_finish(&t->lossy, &t->ready, err));
        PPH_TRY(hand_on(f, at, err));
        return end(f, at + 1, err);
    case FUSE:
    case JOIN:
        return end(f, at + 1, err);
    case BYTE_FALLBACK:
        return end_run(f, at, err);
    case WORD_ENDS:
        return end_word_ends(f, at, true, err);
    default:
        return PPH_OK;
    }
}

pph_status pph_decode_flow_push(pph_decode_flow *flow, pph_str token, pph_buffer *out,
                                pph_error *err)
{
    flow->out = out;
    PPH_TRY(push(flow, 0, token, err));
    return end(flow, 0, err);
}

pph_status pph_decode_flow_finish(pph_decode_flow *flow, pph_buffer *out, pph_error *err)
{
    flow->out = out;
    for (size_t i = 0; i < flow->steps->count; i++) {
        PPH_TRY(finish(flow, i, err));
        state *t = &flow->states[i];
        pph_buffer held = t->held, ready = t->ready;
        held.size = ready.size = 0;
        *t = (state){.held = held, .ready = ready};
    }
    return PPH_OK;
}
