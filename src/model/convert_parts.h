/* The inside of a conversion, for the files that make it up: convert.c, convert_keys.c,
 * convert_picture.c. */
#ifndef PPH_MODEL_CONVERT_PARTS_H
#define PPH_MODEL_CONVERT_PARTS_H

#include "image/recipe.h"
#include "model/convert.h"
#include "model/decoder_source.h"
#include "weights/config_llava.h"
#include "weights/gguf_write.h"

/* A tensor of a new file.
 * from    in the old one; NULL: `values` are its F32 numbers
 * rows, columns, paired  as pph_decoder_tensor has them; a paired vector is rows of one number
 * to      its type in the new file */
typedef struct pph_convert_item {
    const pph_tensor *from;
    const float *values;
    size_t rows, columns;
    bool paired;
    pph_dtype to;
} pph_convert_item;

/* A file to be written: its keys and tensors' places are in the writer, its items in the same order. Starts
 * as {0}. */
typedef struct pph_convert_file {
    pph_gguf_writer *writer;
    pph_convert_item *items;
    size_t count, room;
} pph_convert_file;

/* rank, shape  of the tensor in the new file. Errors: those of pph_gguf_write_tensor */
PPH_CHECKED pph_status pph_convert_add(pph_convert_file *file, const char *name,
                                       pph_convert_item made, int rank, const int64_t *shape,
                                       pph_error *err);

/* ggml's number of what most of a file is. */
uint32_t pph_convert_file_type(pph_dtype type);

/* How a folder sees, for its picture part.
 * zeros  f32, as many as the language model is wide: the biases of a projector that has none */
typedef struct pph_convert_sight {
    pph_llava_config config;
    pph_recipe recipe;
    float *zeros;
} pph_convert_sight;

/* List keys and tensors of the picture part of `source`, a LLaVA's folder.
 * sight   starts as {0}; deinit it also after a failure, once `file` is written
 * type    of the matrices that products are computed with: F32, BF16, else F16
 * Errors  those of the configuration and of the weights; PPH_UNSUPPORTED, what a picture part cannot say */
PPH_CHECKED pph_status pph_convert_picture(pph_convert_file *file, pph_convert_sight *sight,
                                           const pph_decoder_source *source, pph_str name,
                                           pph_dtype type, pph_error *err);
void pph_convert_sight_deinit(pph_convert_sight *sight);

/* All keys of a folder's model but the file's type.
 * name        of the model, for people
 * vocabulary  set to whether the folder has a tokenizer
 * Errors      as pph_convert */
PPH_CHECKED pph_status pph_convert_keys(pph_gguf_writer *writer, const pph_decoder_source *source,
                                        pph_str name, bool *vocabulary, pph_error *err);

/* Divisors of rotary positions, which GGUF has as tensors: 0, 1 or 2 of them.
 * values  f32 [pairs] each; names  of the tensors */
typedef struct pph_convert_divisors {
    size_t count, pairs;
    const char *names[2];
    float values[2][PPH_DECODER_HEAD / 2];
} pph_convert_divisors;

void pph_convert_divide(pph_convert_divisors *out, const pph_decoder_config *config);

#endif
