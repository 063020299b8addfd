/* One packed weight matrix and the products with it, through oneDNN: this room's door to it.
 * linear.h stands above and is what models use. */
#ifndef PPH_COMPUTE_MATMUL_H
#define PPH_COMPUTE_MATMUL_H

#include "compute/kernels_tensor.h"
#include "compute/scratch.h"

typedef struct pph_matmul pph_matmul;

/* type    of the weights and of x: F32, BF16 or I8; with I8 x is unsigned: 0 .. 255
 * bias    f32 [outputs] or NULL; copied. Not with I8, whose y is I32.
 * rows    usual number of rows, for the choice of the packed form; 0 if unknown */
typedef struct pph_matmul_options {
    pph_dtype type;
    size_t inputs, outputs;
    const float *bias;
    pph_activation activation;
    size_t rows;
} pph_matmul_options;

/* Errors  PPH_UNSUPPORTED (this processor cannot), PPH_OUT_OF_MEMORY, PPH_INVALID_ARGUMENT */
PPH_CHECKED pph_status pph_matmul_new(pph_matmul **out, const pph_matmul_options *options,
                                      pph_error *err);
void pph_matmul_free(pph_matmul **matmul);
size_t pph_matmul_bytes(const pph_matmul *matmul);

/* Let go of the compiled shapes that oneDNN keeps for whoever asks for them next; matrices that live keep
 * those of their own. For when a model has gone: they take some 15 MB. Any thread. */
void pph_matmul_trim(void);

/* Weights may be packed, and multiplied with, in pieces of this many outputs (the last may be
 * shorter), by several threads at once. It is all of them where the packed form does not allow
 * pieces. */
size_t pph_matmul_grain(const pph_matmul *matmul);
/* Pack outputs [first, first + count), first a multiple of the grain, count one too unless it
 * reaches the end. weights: [count, inputs] of the matmul's type. */
PPH_CHECKED pph_status pph_matmul_pack(pph_matmul *matmul, size_t first, size_t count,
                                       const void *weights, pph_error *err);

/* One product: x [rows, inputs] with x_stride; y [rows, outputs] with y_stride, of dtype F32 or BF16
 * (I32 for I8). accumulate adds to what stands in y. Rows without gaps are the fast form.
 * first, last  only these outputs, the first of which goes to y itself: multiples of the grain, last
 *              unless it is the end. 0, 0: all
 * Thread  any, also several at once; computed on the calling thread alone */
typedef struct pph_matmul_run_options {
    size_t rows;
    const void *x;
    size_t x_stride;
    void *y;
    size_t y_stride;
    pph_dtype y_type;
    bool accumulate;
    size_t first, last;
} pph_matmul_run_options;
PPH_CHECKED pph_status pph_matmul_run(const pph_matmul *matmul, const pph_matmul_run_options *run,
                                      pph_scratch *scratch, pph_error *err);

#endif
