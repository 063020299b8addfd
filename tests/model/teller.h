/* A sharer that counts, for tests of models that have layers in common. */
#ifndef PPH_TESTS_TELLER_H
#define PPH_TESTS_TELLER_H

#include "base/mem.h"
#include "model/shared_linear.h"
#include <stdatomic.h>

/* What all tellers of a registry count together: bytes of layers in memory, and how many were new. */
typedef struct told {
    atomic_size_t bytes, packed;
} told;

/* A model.
 * held    times that it holds any layer
 * refuse  so many holds fail */
typedef struct teller {
    pph_sharer sharer;
    atomic_int held, refuse;
    told *told;
} teller;

/* What is made of a layer that is held. */
typedef struct told_part {
    size_t bytes, holders;
} told_part;

static inline pph_status teller_hold(pph_sharer *sharer, void **at, size_t bytes, pph_error *err)
{
    teller *t = (teller *)sharer;
    if (atomic_load(&t->refuse) > 0) {
        atomic_fetch_sub(&t->refuse, 1);
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "refused");
    }
    told_part *its = *at;
    if (!its) {
        if (!(its = pph_alloc(sizeof *its)))
            return PPH_FAIL_MEMORY(err, sizeof *its);
        its->bytes = bytes;
        atomic_fetch_add(&t->told->bytes, bytes);
        atomic_fetch_add(&t->told->packed, 1);
    }
    if (its->bytes != bytes)
        return PPH_FAIL(err, PPH_INTERNAL, "another layer's part");
    its->holders++;
    atomic_fetch_add(&t->held, 1);
    *at = its;
    return PPH_OK;
}

static inline void teller_drop(pph_sharer *sharer, void **at)
{
    teller *t = (teller *)sharer;
    told_part *its = *at;
    atomic_fetch_sub(&t->held, 1);
    if (--its->holders)
        return;
    atomic_fetch_sub(&t->told->bytes, its->bytes);
    pph_free(its);
    *at = NULL;
}

static inline void tell(teller *t, pph_shared_linears *linears, told *counts)
{
    *t = (teller){.sharer = {.linears = linears, .hold = teller_hold, .drop = teller_drop},
                  .told = counts};
}

#endif
