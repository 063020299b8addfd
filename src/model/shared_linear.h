/* Packed layers that models in memory have in common, held once.
 *
 * A layer is known by its content: the numbers of its weights and biases as f32, its shape and activation, and
 * the precision that it is packed for. So files that store the same numbers in different types meet. What is
 * shared are single layers and not towers: of one tower, a LLaVA has fewer layers than a CLIP, and files
 * differ in how exactly they keep its norms and positions, which are small and everybody's own.
 *
 * Whoever needs a layer that another is packing waits for it; when that fails, the next one packs it. What
 * lies on a disk is read before, while it is hashed, so nobody waits for another's files. The last to let go
 * frees it. */
#ifndef PPH_MODEL_SHARED_LINEAR_H
#define PPH_MODEL_SHARED_LINEAR_H

#include "compute/linear.h"

/* The layers in memory of those who share. Any thread. */
typedef struct pph_shared_linears pph_shared_linears;

/* seed    of the hashes: who does not know it cannot make a file whose layers pass for another's
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_shared_linears_new(pph_shared_linears **out, uint64_t seed,
                                              pph_error *err);
/* Accepts NULL. Nobody may hold a layer of it any more. */
void pph_shared_linears_free(pph_shared_linears **linears);

/* A model that shares, and by whom it is told what it holds of the layers.
 * linears  must outlive the sharer, and that the model
 * hold     the model holds a layer of `bytes`, perhaps not for the first time. part  what was made of the
 *          layer when it was held first, by whichever model; NULL then
 *          Errors: PPH_OUT_OF_MEMORY
 * drop     it holds it once less. After the last of all, *part is freed; the layer's memory is then free
 * Neither may call back; never both at once for one layer. */
typedef struct pph_sharer pph_sharer;
struct pph_sharer {
    pph_shared_linears *linears;
    pph_status (*hold)(pph_sharer *sharer, void **part, size_t bytes, pph_error *err);
    void (*drop)(pph_sharer *sharer, void **part);
};

/* As pph_linear_new, but a layer of the same content that is in memory is not packed again.
 * sharer  NULL: nothing is shared
 * Errors  those of pph_linear_new; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_shared_linear_new(pph_linear **out, pph_sharer *sharer,
                                             const pph_linear_options *options, pph_team *team,
                                             pph_error *err);
/* The same sharer lets go of it. */
void pph_shared_linear_free(pph_linear **linear, pph_sharer *sharer);

/* Heap of a layer that its model has to count itself: 0 where a sharer was told. */
size_t pph_shared_linear_bytes(const pph_linear *linear, const pph_sharer *sharer);

#endif
