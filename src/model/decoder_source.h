/* Where a decoder's tensors come from: a folder's safetensors, under any of the names that writers
 * give them, or GGUF. The shapes are checked here; what a model is made of asks by part and layer. */
#ifndef PPH_MODEL_DECODER_SOURCE_H
#define PPH_MODEL_DECODER_SOURCE_H

#include "weights/decoder_config.h"
#include "weights/weights.h"

/* Parts of a model; those from ATTENTION_NORM on are a layer's. */
typedef enum pph_decoder_part {
    PPH_DECODER_TOKENS, /* [V,D] */
    PPH_DECODER_FINAL_NORM,
    PPH_DECODER_OUTPUT, /* [V,D] */
    PPH_DECODER_ATTENTION_NORM,
    PPH_DECODER_QUERY,
    PPH_DECODER_KEY,
    PPH_DECODER_VALUE,
    PPH_DECODER_QUERY_NORM,
    PPH_DECODER_KEY_NORM,
    PPH_DECODER_OUT,
    PPH_DECODER_MLP_NORM,
    PPH_DECODER_GATE,
    PPH_DECODER_UP,
    PPH_DECODER_DOWN,
    PPH_DECODER_PART_COUNT
} pph_decoder_part;

/* An open model's description and files. Immutable once open.
 * folder    that the files stand in, on the heap
 * weights   of a folder; NULL: gguf counts
 * body, head  what tensors' names begin with there: "model." and "" */
typedef struct pph_decoder_source {
    pph_decoder_config config;
    char *folder;
    pph_weights *weights;
    pph_gguf_files gguf;
    const char *body, *head;
} pph_decoder_source;

/* path    as pph_decoder_open has it
 * out     the caller's storage; pph_decoder_source_close it also after an error
 * Errors  those of the configuration's readers and of the files' */
PPH_CHECKED pph_status pph_decoder_source_open(pph_decoder_source *out, const char *path,
                                               pph_error *err);
void pph_decoder_source_close(pph_decoder_source *source);

/* A matrix [rows, columns] of a type that is computed with.
 * data    in the mapped file, or `owned`
 * tensor  that it stands in, or is rows of */
typedef struct pph_decoder_matrix {
    const pph_tensor *tensor;
    pph_dtype dtype;
    size_t rows, columns;
    const void *data;
    void *owned; /* free with pph_free */
} pph_decoder_matrix;

/* Whether the files have it, whatever its shape; layer counts for parts of a layer alone. */
bool pph_decoder_source_has(const pph_decoder_source *source, pph_decoder_part part, size_t layer);

/* Errors  PPH_NOT_FOUND, PPH_CORRUPT (shape), PPH_UNSUPPORTED (type): the sentence names file and
 *         tensor; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_decoder_source_matrix(const pph_decoder_source *source,
                                                 pph_decoder_part part, size_t layer,
                                                 pph_decoder_matrix *out, pph_error *err);

/* A norm's weight, f32; free with pph_free. Errors: the same. */
PPH_CHECKED pph_status pph_decoder_source_norm(const pph_decoder_source *source,
                                               pph_decoder_part part, size_t layer, float **out,
                                               pph_error *err);

/* A matrix' bias, f32 [rows]; NULL where the model has none. free with pph_free. Errors: the same. */
PPH_CHECKED pph_status pph_decoder_source_bias(const pph_decoder_source *source,
                                               pph_decoder_part part, size_t layer, float **out,
                                               pph_error *err);

/* A tensor of a folder, for a GGUF file to hold.
 * tensor         NULL: the model has no such part, or another has it in its fused matrix
 * name           in GGUF
 * rows, columns  of a matrix; a vector is one row, and rank 1
 * paired         its rows, or a vector's numbers, go in the order for turning neighbours */
typedef struct pph_decoder_tensor {
    const pph_tensor *tensor;
    char name[64];
    size_t rows, columns;
    bool paired;
} pph_decoder_tensor;

/* Fused matrices come whole, with query and with up.
 * source  of a folder
 * bias    the part's bias instead of its weight
 * Errors  those of pph_decoder_source_matrix */
PPH_CHECKED pph_status pph_decoder_source_tensor(const pph_decoder_source *source,
                                                 pph_decoder_part part, size_t layer, bool bias,
                                                 pph_decoder_tensor *out, pph_error *err);

/* Where row `row` of a part that is paired stands in the folder's order. */
size_t pph_decoder_source_unpaired(const pph_decoder_config *config, size_t row);

/* The matrix will not be read again soon: its pages leave resident memory, and `owned` is freed. A
 * matrix that shares its tensor with others forgets all of it. */
void pph_decoder_source_forget(const pph_decoder_source *source, pph_decoder_matrix *matrix);

#endif
