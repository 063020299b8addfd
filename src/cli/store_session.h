/* The memory opened for a command, with the model that embeds what it holds. */
#ifndef PPH_CLI_STORE_SESSION_H
#define PPH_CLI_STORE_SESSION_H

#include "cli/session.h"
#include <paraphym/memory.h>

/* What the command line says of them, for `pph_store_session_open`.
 * store            --store, or NULL
 * embedding_model  --embedding-model, or NULL: PARAPHYM_EMBEDDING_MODEL, else the built-in model,
 *                  announced on stderr
 * no_model         nothing is to be embedded, nor looked for by vectors: no model is opened */
typedef struct pph_store_options {
    const char *store, *embedding_model;
    bool no_model;
} pph_store_options;

/* Rows of a command's own table that set them. */
#define PPH_STORE_ROW(options)                                                  \
    {                                                                           \
        "store", 0, PPH_OPTION_TEXT, &(options)->store, 0, 0, "FILE",           \
            "the memory (PARAPHYM_STORE, else memory.db among the user's data)" \
    }
#define PPH_STORE_MODEL_ROW(options)                                                       \
    {                                                                                      \
        "embedding-model", 0, PPH_OPTION_TEXT, &(options)->embedding_model, 0, 0, "MODEL", \
            "what embeds (PARAPHYM_EMBEDDING_MODEL, else the built-in one)"                \
    }

/* path     of the store;  name  of the model, by which the store tells vectors apart: the id that it
 *          was asked by, or the folder's whole path
 * session  its pool may serve other models too: those are closed first. Empty without a model */
typedef struct pph_store_session {
    char *path, *name;
    pph_session session;
    pph_memory *memory;
} pph_store_session;

/* Nothing is loaded before it is needed. A text that is longer than the model takes is embedded by its
 * beginning.
 * Errors  those of pph_places_store, pph_session_open, pph_memory_open; PPH_UNSUPPORTED (a model that does
 *         not embed) */
PPH_CHECKED pph_status pph_store_session_open(pph_store_session *out, const pph_common *common,
                                              const pph_store_options *options, pph_error *err);

/* Close the memory, then the session. */
void pph_store_session_close(pph_store_session *store);

#endif
