/* The transition table of a worker. Owns no state and takes no lock; refuses every move that is not
 * in the table, with the ones that are. */
#include "pool/states.h"

#include <stdio.h>

#define TO(name) (1u << PPH_WORKER_##name)

/* Row: the state one is in; bits: where one may go from it. Every bit has its reason. */
static const unsigned moves[PPH_WORKER_STATE_COUNT] = {
    [PPH_WORKER_SPAWNING] = TO(LOADING)     /* the thread runs */
                            | TO(EVICTING)  /* nobody wants it any more: it stops before it loads */
                            | TO(FAILED),   /* no thread could be had, or not within its time */
    [PPH_WORKER_LOADING] = TO(READY)        /* loaded */
                           | TO(EVICTING)   /* nobody wants it any more: what is loaded goes */
                           | TO(FAILED),    /* the model cannot be loaded, or not within its time */
    [PPH_WORKER_READY] = TO(PROCESSING)     /* took a batch */
                         | TO(IDLE)         /* nothing waits */
                         | TO(EVICTING),    /* closed, or the pool shuts down */
    [PPH_WORKER_PROCESSING] = TO(READY)     /* the batch is answered, with results or an error:
                                               an error that leaves the model whole ends here too,
                                               an unavailable runtime among them */
                              | TO(FAILED), /* the model is no longer usable, or made no progress;
                                               never EVICTING: what is busy is not taken away */
    [PPH_WORKER_IDLE] = TO(READY)           /* a request for it is on its way: safe from eviction */
                        | TO(PROCESSING)    /* took a batch at once */
                        | TO(EVICTING),     /* its memory is wanted, or its time is over */
    [PPH_WORKER_EVICTING] = TO(DEAD),       /* all is given back; never undone, since its bytes are
                                               promised to another from the first moment on */
    [PPH_WORKER_DEAD] = TO(SPAWNING),       /* the model is asked for again */
    [PPH_WORKER_FAILED] = TO(SPAWNING)      /* replaced, after its back-off */
                          | TO(DEAD),       /* given up: closed, or the pool shuts down */
};

const char *pph_state_name(pph_worker_state state)
{
    static const char *const names[] = {
#define PPH_STATE_ROW(name, text) #name,
        PPH_WORKER_STATE_MAP(PPH_STATE_ROW)
#undef PPH_STATE_ROW
    };
    return (size_t)state < PPH_COUNT(names) ? names[state] : "UNKNOWN";
}

const char *pph_state_text(pph_worker_state state)
{
    static const char *const texts[] = {
#define PPH_STATE_ROW(name, text) text,
        PPH_WORKER_STATE_MAP(PPH_STATE_ROW)
#undef PPH_STATE_ROW
    };
    return (size_t)state < PPH_COUNT(texts) ? texts[state] : "no state";
}

static bool known(pph_worker_state state)
{
    return (size_t)state < PPH_WORKER_STATE_COUNT;
}

bool pph_state_may(pph_worker_state from, pph_worker_state to)
{
    return known(from) && known(to) && (moves[from] >> to & 1u);
}

/* "READY, EVICTING or FAILED": where one may go from a state; every state leads somewhere. */
static void list_moves(pph_worker_state from, char *out, size_t size)
{
    unsigned left = moves[from];
    size_t used = 0;
    out[0] = 0;
    while (left) {
        unsigned to = (unsigned)__builtin_ctz(left);
        left &= left - 1;
        const char *after = !left ? "" : left & (left - 1) ? ", " : " or ";
        int wrote = snprintf(out + used, size - used, "%s%s", pph_state_name(to), after);
        if (wrote < 0 || (size_t)wrote >= size - used)
            return;
        used += (size_t)wrote;
    }
}

pph_status pph_state_move(pph_worker_state *state, pph_worker_state to, pph_error *err)
{
    pph_worker_state from = *state;
    if (pph_state_may(from, to)) {
        *state = to;
        return PPH_OK;
    }
    if (!known(from) || !known(to))
        return PPH_FAIL(err, PPH_INTERNAL,
                        "a worker cannot go from state %d to state %d: states are 0 to %d; this is "
                        "an error inside Paraphym, please report it",
                        (int)from, (int)to, (int)PPH_WORKER_STATE_COUNT - 1);
    char list[128];
    list_moves(from, list, sizeof list);
    return PPH_FAIL(err, PPH_INTERNAL,
                    "a worker that is %s cannot become %s, only %s; this is an error inside "
                    "Paraphym, please report it",
                    pph_state_name(from), pph_state_name(to), list);
}

bool pph_state_serves(pph_worker_state state)
{
    return state == PPH_WORKER_READY || state == PPH_WORKER_PROCESSING || state == PPH_WORKER_IDLE;
}

bool pph_state_hopeful(pph_worker_state state)
{
    return pph_state_serves(state) || state == PPH_WORKER_SPAWNING || state == PPH_WORKER_LOADING;
}
