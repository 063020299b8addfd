/* What a word means where a text is wanted: a file's or an address's content, or the word itself. */
#ifndef PPH_CLI_RESOLVE_H
#define PPH_CLI_RESOLVE_H

#include "base/str.h"

/* path  of something that is there, or is meant to be: it begins as one, or ends as a picture */
typedef enum pph_resolved {
    PPH_RESOLVED_PATH,
    PPH_RESOLVED_ADDRESS,
    PPH_RESOLVED_LITERAL
} pph_resolved;
pph_resolved pph_resolve_kind(const char *word);

/* The bytes of a path or an address (http:, https:, data:), of at most `limit`.
 * Errors  those of files and of fetching, with the word's beginning */
PPH_CHECKED pph_status pph_resolve_bytes(const char *word, pph_buffer *out, size_t limit,
                                         pph_error *err);

/* The text that a word means, zero-terminated, without the end of its last line.
 * Errors  those above; PPH_INVALID_ARGUMENT (not UTF-8 text, or one with a zero byte) */
PPH_CHECKED pph_status pph_resolve_text(const char *word, pph_buffer *out, pph_error *err);

/* A picture's file, by its first bytes. */
bool pph_resolve_is_picture(const pph_buffer *bytes);

#endif
