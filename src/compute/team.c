/* Owns the threads of the compute team.
 *
 * Three places to wait, all of one form, the gate: a number that changes when one may pass. Who
 * waits looks at it for a while, then sleeps on a condition; who opens changes the number and only
 * takes the lock when somebody sleeps, so that a meeting of running threads is two cache lines that
 * travel. A body is never entered by two callers at once: callers draw a ticket.
 *
 * The threads and gates of a team are its crew. A body that does not end is left to the crew that runs
 * it, and the team gets another: the old one goes with the caller that comes out of it, if it does.
 *
 * Threads do not cross a fork. In the child a team is its caller alone, and touches no lock, since
 * whoever held one may not exist there. */
#include "compute/team.h"

#include "base/mem.h"
#include "base/thread.h"
#include "compute/cpu.h"
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* Looks at a gate before sleeping, each with a pause of some 10 to 40 ns. Between jobs a member may
 * rest soon; inside a job the others are at most an uneven share of work behind. */
enum { SPINS_IDLE = 2000, SPINS_BARRIER = 8000 };

typedef struct gate {
    _Atomic uint32_t number;
    _Atomic int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
} gate;

typedef struct crew crew;

typedef struct worker {
    crew *of;
    pthread_t thread;
    int index;
} worker;

struct crew {
    pph_team *team;
    atomic_int references;                    /* the team's, and whose body it runs */
    int count;                                /* members, the caller included */
    int started;                              /* threads that run; count - 1 once it exists */
    bool spin;                                /* there is a processor for every member */
    void (*body)(void *, const pph_member *); /* NULL tells the threads to end */
    void *context;
    _Alignas(64) gate job; /* a new body is there */
    _Alignas(64) gate done;
    _Atomic int busy; /* threads that have not finished the body */
    _Alignas(64) gate meeting;
    _Atomic int arrived;
    worker workers[];
};

struct pph_team {
    int count;
    pid_t owner; /* the process that has the threads */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        uint64_t drawn, serving;
        pthread_t holder; /* whose turn it is, while serving < drawn and it has begun */
        bool held;
    } turn;
    crew *crew; /* guarded by turn.lock */
};

static _Thread_local crew *inside; /* whose body this thread is running */

static bool gate_init(gate *g)
{
    if (pthread_mutex_init(&g->lock, NULL))
        return false;
    if (pthread_cond_init(&g->changed, NULL)) {
        pthread_mutex_destroy(&g->lock);
        return false;
    }
    return true;
}

static void gate_deinit(gate *g)
{
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Wait until the number is no longer `old`. */
static void gate_wait(gate *g, uint32_t old, int spins)
{
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&g->number, memory_order_acquire) != old)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&g->lock);
    /* Sequentially consistent with gate_open: either it sees the sleeper or we see its number. */
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->number) == old)
        pthread_cond_wait(&g->changed, &g->lock);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->lock);
}

static void gate_open(gate *g)
{
    atomic_fetch_add(&g->number, 1);
    if (!atomic_load(&g->sleepers))
        return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void *work(void *argument)
{
    worker *self = argument;
    crew *own = self->of;
    pph_member member = {own->team, self->index, own->count};
    pph_cpu_flush_denormals();
    inside = own;
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&own->job, seen, own->spin ? SPINS_IDLE : 0);
        if (!own->body)
            return NULL;
        own->body(own->context, &member);
        if (atomic_fetch_sub(&own->busy, 1) == 1)
            gate_open(&own->done);
    }
}

static void stop(crew *own)
{
    own->body = NULL;
    gate_open(&own->job);
    for (int i = 0; i < own->started; i++)
        pthread_join(own->workers[i].thread, NULL);
}

static pph_status start(crew *own, pph_error *err)
{
    for (int i = 0; i + 1 < own->count; i++) {
        worker *next = &own->workers[i];
        char name[32];
        *next = (worker){.of = own, .index = i + 1};
        snprintf(name, sizeof name, "pph-compute-%d", next->index);
        pph_status status = pph_thread_start(&next->thread, name, work, next, err);
        if (status != PPH_OK) {
            stop(own);
            return status;
        }
        own->started++;
    }
    return PPH_OK;
}

static bool gates_init(crew *own)
{
    if (!gate_init(&own->job))
        return false;
    if (!gate_init(&own->done))
        goto no_done;
    if (!gate_init(&own->meeting))
        goto no_meeting;
    return true;
no_meeting:
    gate_deinit(&own->done);
no_done:
    gate_deinit(&own->job);
    return false;
}

static void crew_release(crew *own)
{
    gate_deinit(&own->meeting);
    gate_deinit(&own->done);
    gate_deinit(&own->job);
    pph_free(own);
}

static pph_status crew_new(crew **out, pph_team *team, int count, pph_error *err)
{
    size_t size = sizeof(crew) + (size_t)(count - 1) * sizeof(worker);
    crew *own = pph_alloc_aligned(size);
    if (!own)
        return PPH_FAIL_MEMORY(err, size);
    *own = (crew){.team = team, .count = count, .spin = count <= pph_cpu_count()};
    atomic_init(&own->references, 1);
    if (!gates_init(own)) {
        pph_free(own);
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "the compute team's locks could not be made");
    }
    pph_status status = start(own, err);
    if (status != PPH_OK) {
        crew_release(own);
        return status;
    }
    *out = own;
    return PPH_OK;
}

static void crew_unref(crew *own)
{
    if (!own || atomic_fetch_sub(&own->references, 1) != 1)
        return;
    stop(own);
    crew_release(own);
}

static bool turn_init(pph_team *team)
{
    if (pthread_mutex_init(&team->turn.lock, NULL))
        return false;
    if (pthread_cond_init(&team->turn.changed, NULL)) {
        pthread_mutex_destroy(&team->turn.lock);
        return false;
    }
    return true;
}

static void release(pph_team *team)
{
    pthread_cond_destroy(&team->turn.changed);
    pthread_mutex_destroy(&team->turn.lock);
    pph_free(team);
}

pph_status pph_team_new(pph_team **out, int threads, pph_error *err)
{
    if (threads < 0 || threads > PPH_TEAM_LIMIT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%d threads: use 1 to %d, or 0 for all", threads,
                        PPH_TEAM_LIMIT);
    int count = threads ? threads : PPH_MIN(pph_cpu_count(), (int)PPH_TEAM_LIMIT);
    pph_team *team = pph_alloc(sizeof *team);
    if (!team)
        return PPH_FAIL_MEMORY(err, sizeof *team);
    *team = (pph_team){.count = count, .owner = getpid()};
    if (!turn_init(team)) {
        pph_free(team);
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "the compute team's locks could not be made");
    }
    pph_status status = crew_new(&team->crew, team, count, err);
    if (status != PPH_OK) {
        release(team);
        return status;
    }
    *out = team;
    return PPH_OK;
}

void pph_team_free(pph_team **team)
{
    if (!*team)
        return;
    if ((*team)->owner == getpid()) {
        crew_unref((*team)->crew);
        release(*team);
    } else {
        pph_free((*team)->crew);
        pph_free(*team);
    }
    *team = NULL;
}

int pph_team_threads(const pph_team *team)
{
    return team->count;
}

/* The crew to run with, and the number of the turn. */
static crew *take_turn(pph_team *team, uint64_t *mine)
{
    pthread_mutex_lock(&team->turn.lock);
    *mine = team->turn.drawn++;
    while (team->turn.serving != *mine)
        pthread_cond_wait(&team->turn.changed, &team->turn.lock);
    team->turn.holder = pthread_self();
    team->turn.held = true;
    crew *own = team->crew;
    atomic_fetch_add(&own->references, 1);
    pthread_mutex_unlock(&team->turn.lock);
    return own;
}

/* Under the lock. */
static void next_turn(pph_team *team)
{
    team->turn.serving++;
    team->turn.held = false;
    if (team->turn.drawn != team->turn.serving)
        pthread_cond_broadcast(&team->turn.changed);
}

static void give_turn(pph_team *team, uint64_t mine)
{
    pthread_mutex_lock(&team->turn.lock);
    if (team->turn.serving == mine) /* else it was taken away */
        next_turn(team);
    pthread_mutex_unlock(&team->turn.lock);
}

/* Under the lock. */
static bool is_held_by(const pph_team *team, pthread_t thread)
{
    return team->turn.held && pthread_equal(team->turn.holder, thread);
}

bool pph_team_renew(pph_team *team, pthread_t stalled)
{
    pthread_mutex_lock(&team->turn.lock);
    bool needed = is_held_by(team, stalled);
    pthread_mutex_unlock(&team->turn.lock);
    crew *fresh = NULL;
    if (!needed || (crew_new(&fresh, team, team->count, NULL) != PPH_OK &&
                    crew_new(&fresh, team, 1, NULL) != PPH_OK))
        return false;
    pthread_mutex_lock(&team->turn.lock);
    bool renewed = is_held_by(team, stalled);
    if (renewed) {
        crew *old = team->crew;
        team->crew = fresh;
        fresh = old;
        next_turn(team);
    }
    pthread_mutex_unlock(&team->turn.lock);
    crew_unref(fresh); /* not the last of one that runs: the caller inside has another */
    return renewed;
}

/* The body on the calling thread, as a team of one. */
static void run_alone(pph_team *team, void (*body)(void *, const pph_member *), void *context)
{
    unsigned long before = pph_cpu_flush_denormals();
    body(context, &(pph_member){team, 0, 1});
    pph_cpu_restore_float(before);
}

void pph_team_run(pph_team *team, void (*body)(void *context, const pph_member *member),
                  void *context)
{
    if ((inside && inside->team == team) || team->owner != getpid()) {
        run_alone(team, body, context);
        return;
    }
    uint64_t mine;
    crew *own = take_turn(team, &mine);
    crew *outer = inside;
    inside = own;
    unsigned long before = pph_cpu_flush_denormals();
    uint32_t done = atomic_load(&own->done.number);
    if (own->count > 1) {
        own->body = body;
        own->context = context;
        atomic_store(&own->busy, own->count - 1);
        gate_open(&own->job);
    }
    body(context, &(pph_member){team, 0, own->count});
    if (own->count > 1)
        gate_wait(&own->done, done, own->spin ? SPINS_BARRIER : 0);
    pph_cpu_restore_float(before);
    inside = outer;
    give_turn(team, mine);
    crew_unref(own);
}

void pph_team_barrier(const pph_member *member)
{
    if (member->count == 1)
        return;
    crew *own = inside;
    uint32_t number = atomic_load_explicit(&own->meeting.number, memory_order_acquire);
    if (atomic_fetch_add(&own->arrived, 1) + 1 == member->count) {
        atomic_store(&own->arrived, 0);
        gate_open(&own->meeting);
    } else {
        gate_wait(&own->meeting, number, own->spin ? SPINS_BARRIER : 0);
    }
}

void pph_team_share(const pph_member *member, size_t total, size_t grain, size_t *begin,
                    size_t *end)
{
    if (!grain)
        grain = 1;
    size_t grains = total / grain + (total % grain != 0);
    size_t count = (size_t)member->count, index = (size_t)member->index;
    size_t each = grains / count, extra = grains % count;
    size_t first = index * each + PPH_MIN(index, extra);
    size_t last = first + each + (index < extra);
    *begin = PPH_MIN(first * grain, total);
    *end = last == grains ? total : last * grain;
}

bool pph_team_next(pph_cursor *cursor, size_t total, size_t grain, size_t *begin, size_t *end)
{
    if (!grain)
        grain = 1;
    size_t first = atomic_load_explicit(&cursor->next, memory_order_relaxed);
    do {
        if (first >= total)
            return false;
        *end = total - first < grain ? total : first + grain;
    } while (!atomic_compare_exchange_weak(&cursor->next, &first, *end));
    *begin = first;
    return true;
}

bool pph_team_take(const pph_member *member, pph_cursor *cursor, size_t total, size_t grain,
                   size_t least, size_t *begin, size_t *end)
{
    size_t count = (size_t)member->count, share = total / count + (total % count != 0);
    if (!grain)
        grain = 1;
    least = PPH_MAX(PPH_MIN(least, share), (size_t)1);
    size_t first = atomic_load_explicit(&cursor->next, memory_order_relaxed), grains;
    do {
        if (first >= total)
            return false;
        size_t left = total - first, size = count == 1 ? left : left / (2 * count);
        size = PPH_MAX(size, least);
        grains = size / grain + (size % grain != 0);
        *end = grains > left / grain ? total : first + grains * grain;
    } while (!atomic_compare_exchange_weak(&cursor->next, &first, *end));
    *begin = first;
    return true;
}
