/* Tasks for the loop's thread that bring their own storage, so that posting them needs no memory. */
#ifndef PPH_RUNTIME_QUEUE_H
#define PPH_RUNTIME_QUEUE_H

#include "runtime/loop.h"

/* The caller's storage, untouched from the posting until `run` is entered; `run` may free it. */
typedef struct pph_queue_node {
    pph_loop_task *run;
    void *context;
    struct pph_queue_node *next; /* the queue's */
} pph_queue_node;

/* As pph_loop_post. False when there is no loop to run it (not started, stopped, or a forked
 * parent's): `run` is then not called. Any thread. */
bool pph_queue_post(pph_queue_node *node);

#endif
