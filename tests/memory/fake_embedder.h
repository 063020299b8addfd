/* Embedders of the test's own: a text's vector is the sum of a drawn direction for each of its words, so
 * that texts which share words lie near each other. Pictures are looked at as if they were texts. */
#ifndef PPH_TESTS_FAKE_EMBEDDER_H
#define PPH_TESTS_FAKE_EMBEDDER_H

#include "base/mem.h"
#include "place.h"
#include "runtime/promise.h"
#include <ctype.h>
#include <paraphym/memory.h>
#include <stdatomic.h>

enum { FAKE_D = 48 };

/* fail     every call fails with this, unless PPH_OK
 * refuse   inputs that hold this text fail alone
 * asked    inputs so far */
typedef struct fake_embedder {
    pph_status fail;
    const char *refuse;
    atomic_size_t asked;
} fake_embedder;

typedef struct fake_value {
    pph_embeddings public;
    pph_error *errors;
    float *vectors;
} fake_value;

static inline void fake_release(void *value)
{
    pph_free(((fake_value *)value)->errors);
    pph_free(((fake_value *)value)->vectors);
    pph_free(value);
}

static inline void fake_vector(const char *text, size_t size, float *out)
{
    uint64_t word = 0, saved = place_seed;
    memset(out, 0, FAKE_D * sizeof *out);
    for (size_t i = 0; i <= size; i++) {
        if (i < size && isalnum((unsigned char)text[i])) {
            word = word * 31 + (uint64_t)tolower((unsigned char)text[i]);
            continue;
        }
        if (!word)
            continue;
        float direction[FAKE_D];
        place_seed = word * 0x9E3779B97F4A7C15u | 1;
        for (int k = 0; k < 8; k++)
            (void)place_draw();
        place_unit(direction, FAKE_D);
        for (int k = 0; k < FAKE_D; k++)
            out[k] += direction[k];
        word = 0;
    }
    place_seed = saved;
}

static inline bool fake_holds(const char *text, size_t size, const char *part)
{
    return part && memmem(text, size, part, strlen(part));
}

static inline pph_future *fake_embed(void *context, const pph_input *inputs, size_t count)
{
    fake_embedder *self = context;
    atomic_fetch_add(&self->asked, count);
    pph_error error = {0};
    if (self->fail != PPH_OK) {
        (void)PPH_FAIL(&error, self->fail, "this embedder fails");
        return pph_future_failed(&error);
    }
    fake_value *value = pph_alloc(sizeof *value);
    if (value) {
        value->vectors = pph_alloc_array(count, FAKE_D * sizeof(float));
        value->errors = pph_alloc_array(count, sizeof *value->errors);
    }
    if (!value || !value->vectors || !value->errors) {
        if (value)
            fake_release(value);
        (void)PPH_FAIL_MEMORY(&error, count);
        return pph_future_failed(&error);
    }
    for (size_t i = 0; i < count; i++) {
        fake_vector(inputs[i].data, inputs[i].size, value->vectors + i * FAKE_D);
        if (fake_holds(inputs[i].data, inputs[i].size, self->refuse))
            (void)PPH_FAIL(&value->errors[i], PPH_TOO_LARGE, "refused");
    }
    value->public = (pph_embeddings){count, FAKE_D, value->vectors, value->errors};
    return pph_future_ready(value, fake_release);
}

#endif
