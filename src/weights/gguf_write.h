/* Writes a GGUF file, version 3: keys and the tensors' places first, then the tensors' bytes as they come,
 * so that a model is never in memory whole. The file has its name once it is finished.
 *
 *     new, then any of keys and tensors, begin, the bytes of all tensors in that order, finish
 *
 * One thread at a time.
 * Source  the format's description, github.com/ggml-org/ggml, docs/gguf.md */
#ifndef PPH_WEIGHTS_GGUF_WRITE_H
#define PPH_WEIGHTS_GGUF_WRITE_H

#include "weights/gguf.h"

typedef struct pph_gguf_writer pph_gguf_writer;

/* Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_writer_new(pph_gguf_writer **out, pph_error *err);
/* What was not finished leaves no file. Accepts NULL. */
void pph_gguf_writer_free(pph_gguf_writer **writer);

/* Keys. Nobody checks that none comes twice.
 * Errors  PPH_TOO_LARGE (more than a gigabyte of keys), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_write_u32(pph_gguf_writer *writer, const char *key, uint32_t value,
                                          pph_error *err);
PPH_CHECKED pph_status pph_gguf_write_f32(pph_gguf_writer *writer, const char *key, float value,
                                          pph_error *err);
PPH_CHECKED pph_status pph_gguf_write_bool(pph_gguf_writer *writer, const char *key, bool value,
                                           pph_error *err);
PPH_CHECKED pph_status pph_gguf_write_text(pph_gguf_writer *writer, const char *key, pph_str value,
                                           pph_error *err);
PPH_CHECKED pph_status pph_gguf_write_texts(pph_gguf_writer *writer, const char *key,
                                            const pph_str *values, size_t count, pph_error *err);
PPH_CHECKED pph_status pph_gguf_write_f32s(pph_gguf_writer *writer, const char *key,
                                           const float *values, size_t count, pph_error *err);
/* Bytes that stand for 32-bit integers. */
PPH_CHECKED pph_status pph_gguf_write_i32s(pph_gguf_writer *writer, const char *key,
                                           const uint8_t *values, size_t count, pph_error *err);
/* A value of a file that was read. */
PPH_CHECKED pph_status pph_gguf_write_value(pph_gguf_writer *writer, const char *key,
                                            const pph_gguf_value *value, pph_error *err);

/* A tensor, whose bytes will come.
 * shape   `rank` sizes, 1 to 4 of them, outermost first
 * Errors  PPH_UNSUPPORTED (a type that ggml has not), PPH_INVALID_ARGUMENT (a shape of no whole blocks),
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_write_tensor(pph_gguf_writer *writer, const char *name,
                                             pph_dtype dtype, int rank, const int64_t *shape,
                                             pph_error *err);

/* Bytes of all tensors so far, and the gaps between them. */
uint64_t pph_gguf_writer_bytes(const pph_gguf_writer *writer);

/* Open `path`, and write all but the tensors' bytes. Errors  PPH_IO, PPH_NOT_FOUND, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_write_begin(pph_gguf_writer *writer, const char *path,
                                            pph_error *err);
/* The next bytes of the tensor that is due, all of them or some. Errors  PPH_IO, PPH_INTERNAL (too many) */
PPH_CHECKED pph_status pph_gguf_write_bytes(pph_gguf_writer *writer, const void *bytes, size_t size,
                                            pph_error *err);
/* Errors  PPH_IO, PPH_INTERNAL (bytes are missing) */
PPH_CHECKED pph_status pph_gguf_write_finish(pph_gguf_writer *writer, pph_error *err);

#endif
