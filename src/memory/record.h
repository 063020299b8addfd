/* A memory with all that it points to, in one piece of heap: what crosses threads and what a result is
 * made of. Also the rules that every memory keeps. Any thread, one at a time. */
#ifndef PPH_MEMORY_RECORD_H
#define PPH_MEMORY_RECORD_H

#include "base/str.h"
#include <paraphym/memory.h>

enum {
    PPH_RECORD_TEXT_MAX = 1000000,
    PPH_RECORD_LABEL_MAX = 4096, /* source, user, agent, path */
    PPH_RECORD_TAGS_MAX = 64,
    PPH_RECORD_TAG_MAX = 256,
    PPH_RECORD_THUMBNAIL_EDGE = 160,
    PPH_RECORD_THUMBNAIL_MAX = 64 << 10,
};
#define PPH_RECORD_PICTURE_MAX ((size_t)64 << 20)

/* What pph_memory_item says, or the sentence that tells which member breaks it.
 * members  PPH_MEMORY_SET_ bits: those alone are looked at; ~0u: all, as of one to be added
 * Errors   PPH_INVALID_ARGUMENT, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_record_check(const pph_memory_item *item, unsigned members,
                                        pph_error *err);

/* Bytes that copying what an item points to takes; 0 when they do not fit a size_t. */
size_t pph_record_extent(const pph_memory_item *item);
/* Copy an item, and what it points to into `room`, which is moved on. "" becomes NULL. */
void pph_record_place(pph_memory_item *out, const pph_memory_item *item, uint8_t **room);

/* A copy on the heap, without a thumbnail; freed with pph_free. */
PPH_CHECKED pph_status pph_record_copy(pph_memory_item **out, const pph_memory_item *item,
                                       pph_error *err);

/* The hash of a memory's content: of its text, in normal form C with runs of white space as one space and
 * none at the ends, so that what differs in nothing else is the same; and of its picture's hash.
 * picture  16 bytes of pph_record_picture_hash, or NULL;  text  valid UTF-8, or NULL
 * Errors   PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_record_hash(const char *text, const uint8_t *picture, uint8_t out[16],
                                       pph_error *err);
void pph_record_picture_hash(const void *bytes, size_t size, uint8_t out[16]);

#endif
