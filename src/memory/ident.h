/* Ids of memories: UUIDs of version 7, which sort by the time of their making. Any thread. */
#ifndef PPH_MEMORY_IDENT_H
#define PPH_MEMORY_IDENT_H

#include "base/error.h"
#include <paraphym/memory.h>
#include <stdbool.h>

/* A new id: 48 bits of `now_ms`, the rest random but for version and variant.
 * Errors  PPH_INTERNAL: the system gives no random bytes
 * Source  RFC 9562, section 5.7 */
PPH_CHECKED pph_status pph_ident_new(pph_memory_id *out, int64_t now_ms, pph_error *err);

/* The first and the last id that begin with a text, dashes or none between its digits.
 * Errors  PPH_INVALID_ARGUMENT: no digits, too many, or something else among them */
PPH_CHECKED pph_status pph_ident_range(const char *prefix, pph_memory_id *low, pph_memory_id *high,
                                       pph_error *err);

bool pph_ident_is_none(pph_memory_id id);

#endif
