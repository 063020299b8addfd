/* What the models of a process share: one compute team and the threads that prepare inputs. */
#ifndef PARAPHYM_POOL_H
#define PARAPHYM_POOL_H

#include <paraphym/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_pool pph_pool;

typedef struct pph_pool_options {
    int threads; /* of the compute team, and as many that decode and resize; 0: one a processor */
} pph_pool_options;

PPH_API pph_pool_options pph_pool_defaults(void);

/* options  NULL for the defaults
 * Errors   PPH_INVALID_ARGUMENT (threads below 0 or above 256), PPH_OUT_OF_MEMORY, PPH_SPAWN_FAILED
 * Thread   any */
PPH_CHECKED PPH_API pph_status pph_pool_open(pph_pool **out, const pph_pool_options *options,
                                             pph_error *err);

/* Close every model that was opened on it first. NULL is accepted; clears the pointer. */
PPH_API void pph_pool_close(pph_pool **pool);

#ifdef __cplusplus
}
#endif
#endif
