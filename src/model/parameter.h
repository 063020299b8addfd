/* From tensors of a weights file to what a model computes with. */
#ifndef PPH_MODEL_PARAMETER_H
#define PPH_MODEL_PARAMETER_H

#include "model/shared_linear.h"
#include "weights/weights.h"

/* Room for a tensor's full name. */
enum { PPH_PARAMETER_NAME = 160 };

/* A copy of a tensor's numbers, widened to f32; the tensor's pages are given back.
 * prefix, name  together the tensor's name
 * out           as many floats as `shape` says; free with pph_free
 * Errors        those of pph_weights_get; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_parameter_floats(float **out, const pph_weights *weights,
                                            const char *prefix, const char *name, int rank,
                                            const int64_t *shape, pph_error *err);

/* A norm's weight and bias, f32 [width] each; older files call them gamma and beta.
 * prefix, name  together its name, less ".weight" and ".bias"
 * Errors        those of pph_parameter_floats; what was read before one is the caller's to free */
PPH_CHECKED pph_status pph_parameter_norm(float **weight, float **bias, const pph_weights *weights,
                                          const char *prefix, const char *name, size_t width,
                                          pph_error *err);

/* A dense layer whose rows stand in one to three tensors, one behind the other.
 * prefix       of the names
 * parts        names without ".weight" and ".bias"; NULL after the last
 * rank, shape  of each weight: outputs of the part first, the product of the rest is the inputs
 * bias         the parts have biases too
 * sharer       NULL: it is not shared; free it with pph_shared_linear_free */
typedef struct pph_parameter_dense {
    const char *prefix;
    const char *parts[3];
    int rank;
    int64_t shape[4];
    bool bias;
    pph_activation activation;
    pph_precision precision;
    pph_sharer *sharer;
} pph_parameter_dense;

/* Read, join and pack it; its pages are given back.
 * Errors  those of pph_weights_get and of pph_shared_linear_new */
PPH_CHECKED pph_status pph_parameter_linear(pph_linear **out, const pph_weights *weights,
                                            const pph_parameter_dense *dense, pph_team *team,
                                            pph_error *err);

#endif
