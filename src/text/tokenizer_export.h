/* A folder's tokenizer as the plain tables that GGUF files hold. */
#ifndef PPH_TEXT_TOKENIZER_EXPORT_H
#define PPH_TEXT_TOKENIZER_EXPORT_H

#include "text/tokenizer_tables.h"

typedef struct pph_tokenizer_export pph_tokenizer_export;

/* Byte-level BPE keeps its merges, and has the name of the preset that cuts texts as it does.
 * SentencePiece's BPE has scores: from its own file, or by the order of its merges. The tables make the
 * tokenizer that was read: what they do to a set of awkward texts is compared. (Only before a text that
 * begins with a space may SentencePiece's have one space more.)
 * folder  as pph_tokenizer_open takes it
 * count   of tokens that the tables have: ids that name none get a name that no text holds, those from
 *         `count` on are left out
 * Errors  those of pph_tokenizer_open; PPH_UNSUPPORTED (an algorithm, a way of cutting or a step that the
 *         tables cannot say) */
PPH_CHECKED pph_status pph_tokenizer_export_open(pph_tokenizer_export **out, const char *folder,
                                                 size_t count, pph_error *err);
/* Accepts NULL. */
void pph_tokenizer_export_close(pph_tokenizer_export **exported);

/* Borrowed. */
const pph_tokenizer_tables *pph_tokenizer_export_tables(const pph_tokenizer_export *exported);

#endif
