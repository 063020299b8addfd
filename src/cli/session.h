/* A model opened for a command: pool and service together. */
#ifndef PPH_CLI_SESSION_H
#define PPH_CLI_SESSION_H

#include "cli/command.h"
#include "cli/loading.h"
#include <paraphym/multimodal.h>
#include <paraphym/runtime.h>

typedef struct pph_session {
    char *folder;
    const char *name; /* as it was asked for; borrowed from what the session was opened with */
    pph_pool *pool;
    pph_loading *loading; /* for pph_loading_wait */
    pph_multimodal *multimodal;
} pph_session;

/* options  what the command wants of the service; its precision is taken from `common` */
PPH_CHECKED pph_status pph_session_open(pph_session *out, const pph_common *common,
                                        const pph_multimodal_options *options, pph_error *err);
/* The same with the model that is named, whatever -m and the environment say; NULL: the built-in one.
 * option  that names it, for messages */
PPH_CHECKED pph_status pph_session_open_named(pph_session *out, const pph_common *common,
                                              const char *named, const char *option,
                                              const pph_multimodal_options *options,
                                              pph_error *err);

/* Close the model, then the shared runtime. */
void pph_session_close(pph_session *session);

#endif
