/* Tokens back to text, one after the other, as a model makes them: no half characters, and in sum what
 * pph_tokenizer_decode gives. */
#ifndef PPH_TEXT_DETOKENIZER_H
#define PPH_TEXT_DETOKENIZER_H

#include "text/tokenizer.h"

/* One text on its way. One thread at a time. */
typedef struct pph_detokenizer pph_detokenizer;

/* tokenizer     borrowed; it must outlive this
 * skip_special  leave special tokens out
 * Errors        PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_detokenizer_new(pph_detokenizer **out, const pph_tokenizer *tokenizer,
                                           bool skip_special, pph_error *err);
/* Accepts NULL; clears *detokenizer. */
void pph_detokenizer_free(pph_detokenizer **detokenizer);

/* Append to `out` the text that is certain with this token: valid UTF-8, often nothing.
 * Errors  PPH_INVALID_ARGUMENT (an id that is no token: nothing has changed), PPH_UNSUPPORTED (a
 *         regular expression gave up), PPH_OUT_OF_MEMORY, the limit of `out`; after those the text is
 *         lost */
PPH_CHECKED pph_status pph_detokenizer_push(pph_detokenizer *detokenizer, int32_t id,
                                            pph_buffer *out, pph_error *err);

/* Append the rest. The next token then begins a new text. */
PPH_CHECKED pph_status pph_detokenizer_finish(pph_detokenizer *detokenizer, pph_buffer *out,
                                              pph_error *err);

#endif
