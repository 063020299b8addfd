/* GGUF bytes made piece by piece, by means that share nothing with the reader under test. */
#ifndef PPH_TESTS_MADE_GGUF_H
#define PPH_TESTS_MADE_GGUF_H

#include "made_files.h"

static inline void gguf_number(pph_buffer *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        assert_int_equal(pph_buffer_append(out, (uint8_t[]){(uint8_t)(value >> 8 * i)}, 1, NULL),
                         PPH_OK);
}

static inline void gguf_bytes(pph_buffer *out, const void *bytes, size_t size)
{
    gguf_number(out, size, 8);
    assert_int_equal(pph_buffer_append(out, bytes, size, NULL), PPH_OK);
}

static inline void gguf_string(pph_buffer *out, const char *text)
{
    gguf_bytes(out, text, strlen(text));
}

static inline void gguf_begin(pph_buffer *out, uint32_t version, uint64_t tensors, uint64_t pairs)
{
    assert_int_equal(pph_buffer_append(out, "GGUF", 4, NULL), PPH_OK);
    gguf_number(out, version, 4);
    gguf_number(out, tensors, 8);
    gguf_number(out, pairs, 8);
}

static inline void gguf_key(pph_buffer *out, const char *key, uint32_t kind)
{
    gguf_string(out, key);
    gguf_number(out, kind, 4);
}

static inline void gguf_pair_text(pph_buffer *out, const char *key, const char *text)
{
    gguf_key(out, key, 8);
    gguf_string(out, text);
}

static inline void gguf_pair_u32(pph_buffer *out, const char *key, uint32_t value)
{
    gguf_key(out, key, 4);
    gguf_number(out, value, 4);
}

/* Dimensions innermost first, as the format has them. */
static inline void gguf_tensor(pph_buffer *out, const char *name, uint32_t rank,
                               const uint64_t *shape, uint32_t type, uint64_t offset)
{
    gguf_string(out, name);
    gguf_number(out, rank, 4);
    for (uint32_t i = 0; i < rank; i++)
        gguf_number(out, shape[i], 8);
    gguf_number(out, type, 4);
    gguf_number(out, offset, 8);
}

/* Zeros up to a multiple of the alignment, then `data` bytes counting up from 0. */
static inline void gguf_data(pph_buffer *out, size_t alignment, size_t data)
{
    while (out->size % alignment)
        gguf_number(out, 0, 1);
    for (size_t i = 0; i < data; i++)
        gguf_number(out, i, 1);
}

#endif
