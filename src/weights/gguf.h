/* One GGUF file, version 2 or 3: keys with values, and tensors. Read, never run.
 *
 * Everything that the file claims is checked at opening against its size: counts and lengths before
 * anything is allocated for them, each tensor's bytes against its type and shape, and the tensors'
 * bytes against each other. So a tensor's bytes can be read without another look.
 * Source  the format's description, github.com/ggml-org/ggml, docs/gguf.md */
#ifndef PPH_WEIGHTS_GGUF_H
#define PPH_WEIGHTS_GGUF_H

#include "base/file.h"
#include "base/lookup.h"
#include "weights/tensor.h"

/* The format's own numbers. */
typedef enum pph_gguf_kind {
    PPH_GGUF_U8,
    PPH_GGUF_I8,
    PPH_GGUF_U16,
    PPH_GGUF_I16,
    PPH_GGUF_U32,
    PPH_GGUF_I32,
    PPH_GGUF_F32,
    PPH_GGUF_BOOL,
    PPH_GGUF_STRING,
    PPH_GGUF_ARRAY,
    PPH_GGUF_U64,
    PPH_GGUF_I64,
    PPH_GGUF_F64,
    PPH_GGUF_KIND_COUNT
} pph_gguf_kind;

/* Arrays inside arrays go this deep. */
#define PPH_GGUF_DEPTH_MAX 4

/* unsigned, integer, number  of a number or a bool: as it is stored. An unsigned number stands in
 *                            `whole`, a signed one in `integer`, a float in `number`
 * text      of a string: valid UTF-8, may hold U+0000. Of a pair: a copy, zero-terminated; of an
 *           array's element: borrowed from the mapping
 * element, count, data, bytes  of an array: its elements' kind and number, and where they stand */
typedef struct pph_gguf_value {
    pph_gguf_kind kind;
    union {
        uint64_t whole;
        int64_t integer;
        double number;
        pph_str text;
        struct {
            pph_gguf_kind element;
            uint64_t count;
            const uint8_t *data;
            size_t bytes;
        } array;
    };
} pph_gguf_value;

typedef struct pph_gguf_pair {
    const char *key; /* 1 to 65535 bytes of UTF-8, none of them 0 */
    pph_gguf_value value;
} pph_gguf_pair;

typedef struct pph_gguf_chunk pph_gguf_chunk;

/* Immutable once open, and then for any number of threads.
 * name       the file's name without its folder, for messages
 * version    2 or 3
 * alignment  of the tensors' bytes, from their part's beginning: a power of two, 8 to 2^20
 * pairs      in the order of the file
 * tensors    in the order of the file; shapes outermost first, which is the file's order reversed;
 *            dtype is PPH_DTYPE_COUNT for blocks that are not computed with (IQ2_XS, MXFP4, ...), and
 *            `stored` is ggml's name of the type: "Q4_0", "Q6_K" */
typedef struct pph_gguf {
    char *name;
    pph_file_map map;
    unsigned version;
    size_t alignment;
    pph_gguf_pair *pairs;
    size_t pair_count;
    pph_tensor *tensors;
    size_t count;
    pph_lookup keys, names;
    pph_gguf_chunk *text; /* keys, strings and names */
} pph_gguf;

/* Map `path` and check all but the tensors' numbers.
 * out     the caller's storage; untouched on error
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_CORRUPT (anything that the format forbids), PPH_UNSUPPORTED
 *         (version 1, big-endian, an unknown type of tensor, more than 4 dimensions), PPH_TOO_LARGE
 *         (more than 65536 keys or tensors), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_open(pph_gguf *out, const char *path, pph_error *err);

/* The same over bytes that the caller keeps alive and unchanged; for tests. */
PPH_CHECKED pph_status pph_gguf_view(pph_gguf *out, const char *name, const void *bytes,
                                     size_t size, pph_error *err);

/* Values, tensors and their data are gone afterwards. */
void pph_gguf_close(pph_gguf *file);

/* NULL when there is none of that name. Borrowed from `file`. */
const pph_gguf_value *pph_gguf_find(const pph_gguf *file, const char *key);
const pph_tensor *pph_gguf_find_tensor(const pph_gguf *file, const char *name);

/* The tensor will not be read again soon: its pages leave resident memory. They are read from the
 * file again when touched. `tensor` is one of this file's. */
void pph_gguf_forget(const pph_gguf *file, const pph_tensor *tensor);

/* A string's text; empty when there is no such key or it is no string. */
pph_str pph_gguf_text(const pph_gguf *file, const char *key);

/* A whole number of any kind. Absent gives the default. An array of whole numbers (one a layer)
 * gives its largest.
 * Errors  PPH_CORRUPT: another kind, or out of [low, high]; the sentence names the key */
PPH_CHECKED pph_status pph_gguf_integer(const pph_gguf *file, const char *key, int64_t low,
                                        int64_t high, int64_t fallback, int64_t *out,
                                        pph_error *err);

/* Walk an array: begin a cursor, then take elements until false. Every element is checked as it is
 * taken, so that a file which is changed meanwhile ends the walk at the worst. A copy of a cursor
 * is a cursor. */
typedef struct pph_gguf_cursor {
    pph_gguf_kind kind;
    uint64_t left;
    const uint8_t *at, *end;
} pph_gguf_cursor;

pph_gguf_cursor pph_gguf_elements(const pph_gguf_value *array); /* empty when it is no array */
bool pph_gguf_next(pph_gguf_cursor *cursor, pph_gguf_value *out);

/* How a type of tensor packs its numbers: `bytes` for every `elements` of a row.
 * type    ggml's number;  false, and *out untouched, for one that is not known */
typedef struct pph_gguf_type {
    const char *name;
    pph_dtype dtype; /* PPH_DTYPE_COUNT: not computed with */
    unsigned elements, bytes;
} pph_gguf_type;
bool pph_gguf_type_of(uint32_t type, pph_gguf_type *out);

/* ggml's number of a type; false, and *out untouched, for one that it does not have. */
bool pph_gguf_number_of(pph_dtype dtype, uint32_t *out);

#endif
