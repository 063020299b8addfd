/* Documents put into a memory: files, folders, addresses. */
#ifndef PPH_CLI_DOCUMENTS_H
#define PPH_CLI_DOCUMENTS_H

#include "cli/loading.h"

#include "base/error.h"
#include <paraphym/memory.h>

/* files, memories  that were taken, and what they became;  refused  those that could not be, told on stderr */
typedef struct pph_documents {
    size_t files, memories, refused;
} pph_documents;

/* Take a document, with a line while the model that embeds is loaded (loading: NULL is none). Texts and Markdown become semantic memories of a piece each (chunk.h), pictures one; all
 * with their source and the tag "document". Of a folder all such files below it, but for what is hidden or
 * ignored (ignore.h); one of them that cannot be read does not keep the others back.
 * word    a path or an address; a text of more than one word is taken as it stands
 * counts  added to
 * Errors  those of the word itself: PPH_NOT_FOUND, ...; the memory's */
PPH_CHECKED pph_status pph_documents_add(pph_memory *memory, pph_loading *loading, const char *word,
                                         pph_documents *counts, pph_error *err);

#endif
