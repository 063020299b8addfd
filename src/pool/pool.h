/* The pool, seen from inside this room. */
#ifndef PPH_POOL_POOL_H
#define PPH_POOL_POOL_H

#include "compute/team.h"
#include "pool/prepare.h"
#include <paraphym/pool.h>
#include <sys/types.h>

struct pph_pool {
    pph_team *team;
    pph_prepare prepare;
    pid_t owner; /* a forked child has the memory but not the threads */
};

#endif
