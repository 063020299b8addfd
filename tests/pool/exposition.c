/* The reader of exposition.h. Reads one byte after the other; one thread. */
#include "exposition.h"

#include "../base/check.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

typedef struct cursor {
    const char *at, *end;
    size_t line;
} cursor;

static bool take(cursor *c, char wanted)
{
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, word, size) != 0)
        return false;
    c->at += size;
    return true;
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*; without the colon for a label. NULL when there is none. */
static char *take_name(cursor *c, bool metric)
{
    const char *begin = c->at;
    while (c->at < c->end) {
        unsigned char byte = (unsigned char)*c->at;
        bool letter = (byte < 128 && isalpha(byte)) || byte == '_' || (metric && byte == ':');
        if (!letter && !(c->at > begin && byte >= '0' && byte <= '9'))
            break;
        c->at++;
    }
    return c->at > begin ? pph_str_copy((pph_str){begin, (size_t)(c->at - begin)}) : NULL;
}

/* Up to the end of the line, with \\ and \n undone; NULL for another escape. */
static char *take_help(cursor *c)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    for (; c->at < c->end && *c->at != '\n'; c->at++) {
        char byte = *c->at;
        if (byte == '\\') {
            c->at++;
            if (c->at >= c->end || (*c->at != '\\' && *c->at != 'n'))
                return NULL;
            byte = *c->at == 'n' ? '\n' : '\\';
        }
        assert_int_equal(pph_buffer_append(&text, &byte, 1, NULL), PPH_OK);
    }
    pph_buffer_text(&text);
    return (char *)pph_buffer_take(&text, NULL);
}

/* "value": every byte but \n, \ and " for itself; \\, \" and \n. NULL for anything else. */
static char *take_quoted(cursor *c)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    if (!take(c, '"'))
        return NULL;
    while (c->at < c->end && *c->at != '"' && *c->at != '\n') {
        char byte = *c->at++;
        if (byte == '\\') {
            if (c->at >= c->end || !strchr("\\\"n", *c->at) || !*c->at)
                return NULL;
            byte = *c->at == 'n' ? '\n' : *c->at;
            c->at++;
        }
        assert_int_equal(pph_buffer_append(&text, &byte, 1, NULL), PPH_OK);
    }
    if (!take(c, '"'))
        return NULL;
    pph_buffer_text(&text);
    return (char *)pph_buffer_take(&text, NULL);
}

/* A decimal number, +Inf, -Inf or NaN. No comma, no hexadecimal. */
static bool take_number(cursor *c, double *out)
{
    const char *begin = c->at;
    if (take_word(c, "+Inf") || take_word(c, "-Inf") || take_word(c, "NaN")) {
        *out = *begin == '+' ? HUGE_VAL : *begin == '-' ? -HUGE_VAL : NAN;
        return true;
    }
    char digits[64];
    size_t size = 0, numerals = 0;
    while (c->at < c->end && strchr("0123456789.+-eE", *c->at) && size < sizeof digits - 1) {
        numerals += *c->at >= '0' && *c->at <= '9';
        digits[size++] = *c->at++;
    }
    digits[size] = 0;
    char *end;
    *out = strtod(digits, &end);
    return numerals && !*end;
}

static char *wrong(size_t line, const char *what)
{
    return pph_str_format("line %zu: %s", line, what);
}

static exposition_family *family_named(const exposition *read, const char *name)
{
    for (size_t i = 0; i < read->family_count; i++)
        if (strcmp(read->families[i].name, name) == 0)
            return &read->families[i];
    return NULL;
}

/* "# HELP name text" and "# TYPE name type", which must follow it. */
static char *read_head(exposition *out, cursor *c)
{
    out->families = pph_resize(out->families, out->family_count + 1, sizeof *out->families);
    assert_non_null(out->families);
    exposition_family family = {.first = out->sample_count};
    if (!take_word(c, "# HELP ") || !(family.name = take_name(c, true)))
        return wrong(c->line, "a comment that is no HELP with a name");
    exposition_family *known = family_named(out, family.name);
    out->families[out->family_count++] = family;
    exposition_family *own = &out->families[out->family_count - 1];
    if (known)
        return wrong(c->line, "a family for the second time");
    if (!take(c, ' ') || !(own->help = take_help(c)) || !own->help[0])
        return wrong(c->line, "no help, or a wrong escape in it");
    if (!take(c, '\n'))
        return wrong(c->line, "the line does not end");
    c->line++;
    char *name = NULL;
    bool same = take_word(c, "# TYPE ") && (name = take_name(c, true)) &&
                strcmp(name, own->name) == 0 && take(c, ' ');
    pph_free(name);
    if (!same || !(own->type = take_name(c, false)))
        return wrong(c->line, "HELP is not followed by TYPE of the same name");
    if (strcmp(own->type, "counter") != 0 && strcmp(own->type, "gauge") != 0 &&
        strcmp(own->type, "histogram") != 0)
        return wrong(c->line, "a type that is none");
    return NULL;
}

static char *read_labels(exposition_sample *sample, cursor *c)
{
    while (!take(c, '}')) {
        if (sample->label_count == EXPOSITION_LABELS)
            return wrong(c->line, "more labels than this reader expects");
        exposition_label *label = &sample->labels[sample->label_count];
        if (sample->label_count && !take(c, ','))
            return wrong(c->line, "no comma between labels");
        if (!(label->name = take_name(c, false)))
            return wrong(c->line, "no label name");
        sample->label_count++;
        for (size_t i = 0; i + 1 < sample->label_count; i++)
            if (strcmp(sample->labels[i].name, label->name) == 0)
                return wrong(c->line, "a label twice");
        if (!take(c, '=') || !(label->value = take_quoted(c)))
            return wrong(c->line, "no quoted label value, or a wrong escape in it");
    }
    return NULL;
}

static bool is_part(const exposition_family *family, const char *name)
{
    size_t size = strlen(family->name);
    if (strncmp(name, family->name, size) != 0)
        return false;
    if (strcmp(family->type, "histogram") != 0)
        return !name[size];
    return !strcmp(name + size, "_bucket") || !strcmp(name + size, "_sum") ||
           !strcmp(name + size, "_count");
}

static bool same_series(const exposition_sample *a, const exposition_sample *b)
{
    if (strcmp(a->name, b->name) != 0 || a->label_count != b->label_count)
        return false;
    for (size_t i = 0; i < a->label_count; i++) {
        size_t j = 0;
        while (j < b->label_count && (strcmp(a->labels[i].name, b->labels[j].name) != 0 ||
                                      strcmp(a->labels[i].value, b->labels[j].value) != 0))
            j++;
        if (j == b->label_count)
            return false;
    }
    return true;
}

static char *read_sample(exposition *out, cursor *c)
{
    out->samples = pph_resize(out->samples, out->sample_count + 1, sizeof *out->samples);
    assert_non_null(out->samples);
    exposition_sample *sample = &out->samples[out->sample_count++];
    *sample = (exposition_sample){.name = take_name(c, true)};
    if (!sample->name)
        return wrong(c->line, "no metric name");
    exposition_family *family = out->family_count ? &out->families[out->family_count - 1] : NULL;
    if (!family || !is_part(family, sample->name))
        return wrong(c->line, "a sample outside its family");
    family->count++;
    char *bad = take(c, '{') ? read_labels(sample, c) : NULL;
    if (bad)
        return bad;
    if (!take(c, ' ') || !take_number(c, &sample->value))
        return wrong(c->line, "no number");
    if (strcmp(family->type, "gauge") != 0 && !(sample->value >= 0 && isfinite(sample->value)))
        return wrong(c->line, "a counter or histogram below zero or not finite");
    for (size_t i = family->first; i + 1 < out->sample_count; i++)
        if (same_series(&out->samples[i], sample))
            return wrong(c->line, "a series for the second time");
    return NULL;
}

/* One histogram in the order of the buckets: ascending, not falling, +Inf, _sum, _count. */
static char *check_histogram(const exposition *read, const exposition_family *family)
{
    double bound = -HUGE_VAL, below = 0;
    bool infinite = false, summed = false;
    for (size_t i = family->first; i < family->first + family->count; i++) {
        const exposition_sample *sample = &read->samples[i];
        const char *part = sample->name + strlen(family->name);
        if (strcmp(part, "_bucket") == 0) {
            const exposition_label *last = &sample->labels[sample->label_count - 1];
            if (!sample->label_count || strcmp(last->name, "le") != 0 || summed || infinite)
                return wrong(i, "a bucket without le, or after +Inf (number of the sample)");
            cursor c = {last->value, last->value + strlen(last->value), i};
            double le;
            if (!take_number(&c, &le) || c.at != c.end || !(le > bound) || sample->value < below)
                return wrong(i, "bounds or counts do not ascend (number of the sample)");
            bound = le;
            below = sample->value;
            infinite = le == HUGE_VAL;
        } else if (strcmp(part, "_sum") == 0) {
            if (!infinite || summed)
                return wrong(i, "a sum without +Inf before it (number of the sample)");
            summed = true;
        } else {
            if (!summed || sample->value != below)
                return wrong(i, "a count that is not +Inf's (number of the sample)");
            infinite = summed = false;
            bound = -HUGE_VAL;
            below = 0;
        }
    }
    return infinite || bound != -HUGE_VAL ? wrong(family->first, "a histogram without end") : NULL;
}

char *exposition_read(exposition *out, pph_str text)
{
    *out = (exposition){0};
    if (pph_utf8_check(text) != SIZE_MAX || (text.size && memchr(text.data, 0, text.size)))
        return wrong(0, "not UTF-8, or with a zero byte");
    cursor c = {text.data, text.data + text.size, 1};
    while (c.at < c.end) {
        char *bad = *c.at == '#' ? read_head(out, &c) : read_sample(out, &c);
        if (bad)
            return bad;
        if (!take(&c, '\n'))
            return wrong(c.line, "the line does not end after its value");
        c.line++;
    }
    for (size_t i = 0; i < out->family_count; i++) {
        char *bad = strcmp(out->families[i].type, "histogram") == 0
                        ? check_histogram(out, &out->families[i])
                        : NULL;
        if (bad)
            return bad;
    }
    return NULL;
}

void exposition_free(exposition *read)
{
    for (size_t i = 0; i < read->family_count; i++) {
        pph_free(read->families[i].name);
        pph_free(read->families[i].help);
        pph_free(read->families[i].type);
    }
    for (size_t i = 0; i < read->sample_count; i++) {
        pph_free(read->samples[i].name);
        for (size_t j = 0; j < read->samples[i].label_count; j++) {
            pph_free(read->samples[i].labels[j].name);
            pph_free(read->samples[i].labels[j].value);
        }
    }
    pph_free(read->families);
    pph_free(read->samples);
    *read = (exposition){0};
}

double exposition_value(const exposition *read, const char *name, const char *const *labels)
{
    exposition_sample wanted = {.name = (char *)(uintptr_t)name};
    for (; labels && labels[0]; labels += 2)
        wanted.labels[wanted.label_count++] =
            (exposition_label){(char *)(uintptr_t)labels[0], (char *)(uintptr_t)labels[1]};
    for (size_t i = 0; i < read->sample_count; i++)
        if (same_series(&read->samples[i], &wanted))
            return read->samples[i].value;
    fail_msg("there is no series %s%s%s", name, wanted.label_count ? " of " : "",
             wanted.label_count ? wanted.labels[0].value : "");
    return 0;
}
