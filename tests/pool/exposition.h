/* A strict reader of Prometheus text, version 0.0.4, which shares nothing with the writer.
 *
 * It takes only what the format's page allows, and what its readers want on top: each family has HELP
 * and TYPE once, before its samples, and its samples in one run; no series twice; every line ended
 * by \n, also the last; UTF-8; of a histogram bounds that ascend, counts that do not fall, +Inf equal
 * to _count, and a _sum. */
#ifndef TESTS_POOL_EXPOSITION_H
#define TESTS_POOL_EXPOSITION_H

#include "base/str.h"

enum { EXPOSITION_LABELS = 4 };

typedef struct exposition_label {
    char *name, *value; /* the value with its escapes undone */
} exposition_label;

typedef struct exposition_sample {
    char *name;
    exposition_label labels[EXPOSITION_LABELS];
    size_t label_count;
    double value;
} exposition_sample;

typedef struct exposition_family {
    char *name, *help, *type;
    size_t first, count; /* its samples */
} exposition_family;

typedef struct exposition {
    exposition_family *families;
    exposition_sample *samples;
    size_t family_count, sample_count;
} exposition;

/* NULL, or a sentence with the number of the line: what is wrong. Free *out in both cases. */
char *exposition_read(exposition *out, pph_str text);
void exposition_free(exposition *read);

/* The value of a series with exactly these labels (NULL-terminated names and values); fails the test
 * where it is not. */
double exposition_value(const exposition *read, const char *name, const char *const *labels);

#endif
