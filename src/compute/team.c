/* Owns the threads of the compute team.
 *
 * Three places to wait, all of one form, the gate: a number that changes when one may pass. Who
 * waits looks at it for a while, then sleeps on a condition; who opens changes the number and only
 * takes the lock when somebody sleeps, so that a meeting of running threads is two cache lines that
 * travel. A body is never entered by two callers at once: callers draw a ticket.
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

typedef struct worker {
    pph_team *team;
    pthread_t thread;
    int index;
} worker;

struct pph_team {
    int count;   /* members, the caller included */
    int started; /* threads that run; count - 1 once the team exists */
    bool spin;   /* there is a processor for every member */
    pid_t owner; /* the process that has the threads */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        uint64_t drawn, serving;
    } turn;
    void (*body)(void *, const pph_member *); /* NULL tells the threads to end */
    void *context;
    _Alignas(64) gate job; /* a new body is there */
    _Alignas(64) gate done;
    _Atomic int busy; /* threads that have not finished the body */
    _Alignas(64) gate meeting;
    _Atomic int arrived;
    worker workers[];
};

static _Thread_local const pph_team *inside; /* the team whose body this thread is running */

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
    pph_team *team = self->team;
    pph_member member = {team, self->index, team->count};
    pph_cpu_flush_denormals();
    inside = team;
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&team->job, seen, team->spin ? SPINS_IDLE : 0);
        if (!team->body)
            return NULL;
        team->body(team->context, &member);
        if (atomic_fetch_sub(&team->busy, 1) == 1)
            gate_open(&team->done);
    }
}

static void stop(pph_team *team)
{
    team->body = NULL;
    gate_open(&team->job);
    for (int i = 0; i < team->started; i++)
        pthread_join(team->workers[i].thread, NULL);
}

static pph_status start(pph_team *team, pph_error *err)
{
    for (int i = 0; i + 1 < team->count; i++) {
        worker *next = &team->workers[i];
        char name[32];
        *next = (worker){.team = team, .index = i + 1};
        snprintf(name, sizeof name, "pph-compute-%d", next->index);
        pph_status status = pph_thread_start(&next->thread, name, work, next, err);
        if (status != PPH_OK) {
            stop(team);
            return status;
        }
        team->started++;
    }
    return PPH_OK;
}

static bool gates_init(pph_team *team)
{
    if (pthread_mutex_init(&team->turn.lock, NULL))
        return false;
    if (pthread_cond_init(&team->turn.changed, NULL))
        goto no_turn;
    if (!gate_init(&team->job))
        goto no_job;
    if (!gate_init(&team->done))
        goto no_done;
    if (!gate_init(&team->meeting))
        goto no_meeting;
    return true;
no_meeting:
    gate_deinit(&team->done);
no_done:
    gate_deinit(&team->job);
no_job:
    pthread_cond_destroy(&team->turn.changed);
no_turn:
    pthread_mutex_destroy(&team->turn.lock);
    return false;
}

static void release(pph_team *team)
{
    gate_deinit(&team->meeting);
    gate_deinit(&team->done);
    gate_deinit(&team->job);
    pthread_cond_destroy(&team->turn.changed);
    pthread_mutex_destroy(&team->turn.lock);
    pph_free(team);
}

pph_status pph_team_new(pph_team **out, int threads, pph_error *err)
{
    if (threads < 0 || threads > PPH_TEAM_LIMIT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%d threads: use 1 to %d, or 0 for all", threads,
                        PPH_TEAM_LIMIT);
    int processors = pph_cpu_count();
    int count = threads ? threads : PPH_MIN(processors, (int)PPH_TEAM_LIMIT);
    size_t size = sizeof(pph_team) + (size_t)(count - 1) * sizeof(worker);
    pph_team *team = pph_alloc_aligned(size);
    if (!team)
        return PPH_FAIL_MEMORY(err, size);
    *team = (pph_team){.count = count, .spin = count <= processors, .owner = getpid()};
    if (!gates_init(team)) {
        pph_free(team);
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "the compute team's locks could not be made");
    }
    pph_status status = start(team, err);
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
        stop(*team);
        release(*team);
    } else {
        pph_free(*team);
    }
    *team = NULL;
}

int pph_team_threads(const pph_team *team)
{
    return team->count;
}

static void take_turn(pph_team *team)
{
    pthread_mutex_lock(&team->turn.lock);
    uint64_t mine = team->turn.drawn++;
    while (team->turn.serving != mine)
        pthread_cond_wait(&team->turn.changed, &team->turn.lock);
    pthread_mutex_unlock(&team->turn.lock);
}

static void give_turn(pph_team *team)
{
    pthread_mutex_lock(&team->turn.lock);
    team->turn.serving++;
    bool waiting = team->turn.drawn != team->turn.serving;
    if (waiting)
        pthread_cond_broadcast(&team->turn.changed);
    pthread_mutex_unlock(&team->turn.lock);
}

/* The body on the calling thread, as a team of one. */
static void run_alone(pph_team *team, void (*body)(void *, const pph_member *), void *context)
{
    const pph_team *outer = inside;
    inside = team;
    unsigned long before = pph_cpu_flush_denormals();
    body(context, &(pph_member){team, 0, 1});
    pph_cpu_restore_float(before);
    inside = outer;
}

void pph_team_run(pph_team *team, void (*body)(void *context, const pph_member *member),
                  void *context)
{
    if (inside == team || team->owner != getpid()) {
        run_alone(team, body, context);
        return;
    }
    take_turn(team);
    const pph_team *outer = inside;
    inside = team;
    unsigned long before = pph_cpu_flush_denormals();
    uint32_t done = atomic_load(&team->done.number);
    if (team->count > 1) {
        team->body = body;
        team->context = context;
        atomic_store(&team->busy, team->count - 1);
        gate_open(&team->job);
    }
    body(context, &(pph_member){team, 0, team->count});
    if (team->count > 1)
        gate_wait(&team->done, done, team->spin ? SPINS_BARRIER : 0);
    pph_cpu_restore_float(before);
    inside = outer;
    give_turn(team);
}

void pph_team_barrier(const pph_member *member)
{
    if (member->count == 1)
        return;
    pph_team *team = member->team;
    uint32_t number = atomic_load_explicit(&team->meeting.number, memory_order_acquire);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == member->count) {
        atomic_store(&team->arrived, 0);
        gate_open(&team->meeting);
    } else {
        gate_wait(&team->meeting, number, team->spin ? SPINS_BARRIER : 0);
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
