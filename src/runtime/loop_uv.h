/* libuv's loop, for this room only. Everything here is for the loop's own thread, and asserts it.
 *
 * libuv's thread pool is not to be used (uv_queue_work, uv_getaddrinfo, asynchronous uv_fs_*): at
 * exit libuv joins the pool's threads, which in a forked child are not there, and crashes it. */
#ifndef PPH_RUNTIME_LOOP_UV_H
#define PPH_RUNTIME_LOOP_UV_H

#include "runtime/loop.h"
#include <uv.h>

/* The loop that handles are made on. Get to its thread with pph_loop_post. */
uv_loop_t *pph_loop_uv(pph_runtime *runtime);

/* Something that owns handles on the loop. The storage is the caller's and stays in place until
 * `run` was called: once, on the loop's thread, when the loop stops. By then every task that had
 * been posted was called, and nothing can be posted any more. `run` must uv_close every handle of
 * its owner (and end what is still under way); the loop runs on until all close callbacks and
 * requests are through, so memory is freed in the close callbacks. Called in reverse order. */
typedef struct pph_loop_stopper {
    void (*run)(void *context);
    void *context;
    struct pph_loop_stopper *next; /* the loop's */
} pph_loop_stopper;

void pph_loop_on_stop(pph_runtime *runtime, pph_loop_stopper *stopper);

#endif
