/* The operations that are under way, so that a shutdown can tell each of them. */
#ifndef PPH_RUNTIME_INFLIGHT_H
#define PPH_RUNTIME_INFLIGHT_H

#include "base/clock.h"
#include "base/error.h"
#include <stdbool.h>

typedef struct pph_inflight pph_inflight;

/* hold  take a reference if the thing still has any; false when it is being freed (it then ends
 *       itself). Called with a lock of the list held: it does nothing else
 * end   end it with PPH_SHUTTING_DOWN and give that reference back. No lock is held */
typedef struct pph_inflight_kind {
    bool (*hold)(pph_inflight *entry);
    void (*end)(pph_inflight *entry);
} pph_inflight_kind;

/* Part of a future or a stream; all but kind belongs to the list. */
struct pph_inflight {
    const pph_inflight_kind *kind;
    pph_inflight *previous, *next;
    unsigned shard;
    bool listed;
};

/* Start or stop taking entries. Once pph_inflight_close has returned, none is added. */
PPH_CHECKED pph_status pph_inflight_open(pph_error *err);
void pph_inflight_close(void);

/* False, with nothing done, when no new work is taken. Any thread. */
bool pph_inflight_add(pph_inflight *entry);
/* After whoever waits for the entry was told. Does nothing for what is not listed. Any thread. */
void pph_inflight_remove(pph_inflight *entry);

/* Wait until the list is empty or `deadline` has passed: whether it is empty. */
bool pph_inflight_wait(pph_nanos deadline);
/* End every entry; the list is closed. */
void pph_inflight_end_all(void);

#endif
