/* Base64 (RFC 4648), standard and URL alphabets. Any thread. */
#ifndef PPH_BASE_BASE64_H
#define PPH_BASE_BASE64_H

#include "base/str.h"

/* Append the bytes that `text` encodes. White space is skipped; both alphabets are accepted;
 * padding may be left out, but where it stands it must be right; non-zero bits after the last byte
 * are refused. Errors: PPH_INVALID_ARGUMENT with the offset; the buffer's own. */
PPH_CHECKED pph_status pph_base64_decode(pph_str text, pph_buffer *out, pph_error *err);

/* Append the padded standard encoding. */
PPH_CHECKED pph_status pph_base64_encode(const void *bytes, size_t size, pph_buffer *out,
                                         pph_error *err);

#endif
