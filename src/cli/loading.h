/* A line on a terminal's bottom while a model loads, drawn by whoever waits for what the model is to do. Where
 * stderr is no terminal, nothing is written. */
#ifndef PPH_CLI_LOADING_H
#define PPH_CLI_LOADING_H

#include <paraphym/future.h>
#include <paraphym/pool.h>

typedef struct pph_loading pph_loading;

/* How often to look while waiting; nobody needs a line for a load that takes no longer. */
enum { PPH_LOADING_LOOK_MS = 500 };

/* Listen to the pool's loads from now on, as its only listener.
 * out     free with pph_loading_free once the pool is closed
 * Errors  PPH_OUT_OF_MEMORY; those of pph_pool_listen */
PPH_CHECKED pph_status pph_loading_new(pph_loading **out, pph_pool *pool, pph_error *err);
/* Accepts NULL. */
void pph_loading_free(pph_loading **loading);

/* Draw the line where a model loads, else take it away; take it away. NULL: nothing is done. One thread. */
void pph_loading_show(pph_loading *loading);
void pph_loading_hide(pph_loading *loading);

/* pph_block_on, with the line shown meanwhile. */
PPH_CHECKED pph_status pph_loading_wait(pph_loading *loading, pph_future *future, pph_error *err);

#endif
