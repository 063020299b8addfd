/* libcurl's multi interface on the shared loop.
 *
 *   loop: a socket is ready, or the time is up        libcurl: watch this socket, wake me then
 *        on_ready, on_time  ──> curl_multi_socket_action ──>  on_socket, on_timer
 *                                        │
 *                               collect: done(job)
 *
 * Owns the multi handle, its timer and a poll handle a socket. libcurl is never entered from one of
 * its own callbacks; owners are called from collect only. Names are looked up by libcurl's resolver
 * threads, which a cancelled transfer leaves behind without waiting for them. */
#include "runtime/fetch_multi.h"

#include "base/log.h"
#include "base/mem.h"
#include "runtime/fetch_gate.h"
#include "runtime/loop_uv.h"
#include <stdint.h>

enum {
    kept_connections = 64, /* in use or kept open for the next transfer to the same host */
    most_connections = 128,
    most_per_host = 32, /* beyond these a transfer waits its turn, while its own clock runs */
};

typedef struct watch watch;

typedef struct multi {
    CURLM *handle; /* NULL until it is needed */
    uv_loop_t *loop;
    uv_timer_t timer;
    pph_loop_stopper stopper;
    pph_fetch_job *jobs;
    watch *watches;
    bool starving; /* a job is starved */
    bool orphaned; /* a job is */
} multi;

/* A socket of libcurl's, and who uses it at present: HTTP/1.1 has one transfer a connection. */
struct watch {
    uv_poll_t poll;
    curl_socket_t socket;
    pph_fetch_job *user;
    int events;
    multi *owner;
    watch *previous, *next;
};

/* Part of the shared runtime: touched by the loop's thread alone, NULL while there is no loop. */
static multi *shared;

static void collect(multi *m);
static void give_up(multi *m);
static void nudge(multi *m);

static void drive(multi *m, curl_socket_t socket, int events)
{
    int running;
    if (!pph_fetch_gate_enter()) {
        for (watch *w = m->watches; w; w = w->next)
            uv_poll_stop(&w->poll);
        return;
    }
    CURLMcode code = curl_multi_socket_action(m->handle, socket, events, &running);
    if (code != CURLM_OK && code != CURLM_OUT_OF_MEMORY)
        pph_log(PPH_LOG_WARN, "the HTTP client: %s", curl_multi_strerror(code));
    if (code == CURLM_OUT_OF_MEMORY) {
        give_up(m);
    } else {
        if (m->orphaned)
            nudge(m);
        collect(m);
    }
    pph_fetch_gate_leave();
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    watch *w = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    /* libuv stops watching where there is an error; libcurl says itself when it has had enough. */
    if (status < 0)
        uv_poll_start(&w->poll, w->events, on_ready);
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    drive(w->owner, w->socket, flags);
}

static void on_time(uv_timer_t *timer)
{
    drive(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *handle, long timeout_ms, void *context)
{
    multi *m = context;
    (void)handle;
    if (timeout_ms < 0)
        uv_timer_stop(&m->timer);
    else
        uv_timer_start(&m->timer, on_time, (uint64_t)timeout_ms, 0);
    return 0;
}

static void free_watch(uv_handle_t *handle)
{
    pph_free(handle->data);
}

static void unwatch(watch *w)
{
    if (w->previous)
        w->previous->next = w->next;
    else
        w->owner->watches = w->next;
    if (w->next)
        w->next->previous = w->previous;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, free_watch);
}

static watch *new_watch(multi *m, curl_socket_t socket)
{
    watch *w = pph_alloc(sizeof *w);
    if (!w)
        return NULL;
    w->owner = m;
    w->socket = socket;
    if (uv_poll_init_socket(m->loop, &w->poll, socket)) {
        pph_free(w);
        return NULL;
    }
    w->poll.data = w;
    w->next = m->watches;
    if (w->next)
        w->next->previous = w;
    m->watches = w;
    return w;
}

static pph_fetch_job *job_of(CURL *easy)
{
    char *tag = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &tag);
    return (pph_fetch_job *)(void *)tag;
}

/* An error given back to libcurl would end every transfer of the process. So the one that has no
 * memory for its socket is marked instead, and ended by the collect that follows every drive. */
static void starve(multi *m, pph_fetch_job *job)
{
    if (!job)
        return;
    job->starved = true;
    m->starving = true;
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *assigned)
{
    multi *m = context;
    watch *w = assigned;
    pph_fetch_job *job = job_of(easy);
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            curl_multi_assign(m->handle, socket, NULL);
            unwatch(w);
        }
        if (job && job->running)
            job->orphaned = m->orphaned = true;
        return 0;
    }
    if (!w) {
        w = new_watch(m, socket);
        if (w && curl_multi_assign(m->handle, socket, w) != CURLM_OK) {
            unwatch(w);
            w = NULL;
        }
    }
    if (!w) {
        starve(m, job);
        return 0;
    }
    w->user = job;
    w->events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    if (uv_poll_start(&w->poll, w->events, on_ready))
        starve(m, job);
    return 0;
}

/* libcurl 7.88 closes a socket that is not connected yet without a word before, and only then asks
 * not to watch it any more. In between, its number may be somebody else's: so the loop is made to
 * forget the sockets of a transfer before that is taken out ... */
static void forget_sockets(multi *m, const pph_fetch_job *user)
{
    for (watch *w = m->watches, *next; w; w = next) {
        next = w->next;
        if (w->user == user) {
            curl_multi_assign(m->handle, w->socket, NULL);
            unwatch(w);
        }
    }
}

/* ... and where a transfer went from one address of its host to the next, and the new socket has the
 * number of the old one, the loop learns that it is another (libuv would believe to have it
 * registered, and abort the process when told otherwise by the system). */
void pph_fetch_multi_renew(curl_socket_t socket)
{
    for (watch *w = shared ? shared->watches : NULL; w; w = w->next)
        if (w->socket == socket && !uv_poll_stop(&w->poll))
            uv_poll_start(&w->poll, w->events, on_ready);
}

/* When an address of a host has refused, libcurl 7.88 closes the socket and, but for the first one,
 * forgets to set the time for the next address, so that the transfer would hang. Pausing and
 * resuming has libcurl look at a transfer again at once; it does no harm to one that is well. */
static void nudge(multi *m)
{
    m->orphaned = false;
    for (pph_fetch_job *job = m->jobs; job; job = job->next)
        if (job->orphaned) {
            job->orphaned = false;
            curl_easy_pause(job->easy, CURLPAUSE_RECV);
            curl_easy_pause(job->easy, CURLPAUSE_CONT);
        }
}

static void take_out(multi *m, pph_fetch_job *job)
{
    if (!job->running)
        return;
    forget_sockets(m, job);
    job->running = job->orphaned = false;
    curl_multi_remove_handle(m->handle, job->easy);
}

static void finish(multi *m, pph_fetch_job *job, CURLcode code)
{
    take_out(m, job);
    job->starved = false;
    job->done(job, code);
}

/* `done` may end or start any job, so the search begins anew after each. */
static void finish_starved(multi *m)
{
    while (m->starving) {
        pph_fetch_job *job = m->jobs;
        while (job && !job->starved)
            job = job->next;
        if (job)
            finish(m, job, CURLE_OUT_OF_MEMORY);
        else
            m->starving = false;
    }
}

static void collect(multi *m)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(m->handle, &left));) {
        CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE)
            finish(m, job_of(message->easy_handle), code);
    }
    finish_starved(m);
}

static void close_handle(multi *m)
{
    if (m->handle)
        curl_multi_cleanup(m->handle);
    while (m->watches)
        unwatch(m->watches);
    uv_timer_stop(&m->timer);
    m->handle = NULL;
}

/* libcurl had no memory to note the socket of some transfer. It does not say of which, that one would
 * hang until its deadline, and libcurl's record of sockets is not fit for use any more (7.88 goes
 * on to divide by the size of a table that it destroyed). So all that runs ends for want of memory,
 * and the next transfer gets a new handle. */
static void give_up(multi *m)
{
    for (pph_fetch_job *job = m->jobs; job; job = job->next) {
        job->starved = job->running;
        take_out(m, job);
    }
    close_handle(m);
    m->starving = true;
    finish_starved(m);
}

static void free_multi(uv_handle_t *timer)
{
    pph_free(timer->data);
}

static void on_stop(void *context)
{
    multi *m = context;
    if (!pph_fetch_gate_enter())
        return;
    while (m->jobs)
        m->jobs->stop(m->jobs);
    close_handle(m);
    shared = NULL;
    uv_close((uv_handle_t *)&m->timer, free_multi);
    pph_fetch_gate_leave();
}

static pph_status open_handle(multi *m, pph_error *err)
{
    CURLM *handle = curl_multi_init();
    if (!handle)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the HTTP client");
    CURLMcode code = curl_multi_setopt(handle, CURLMOPT_SOCKETFUNCTION, on_socket);
    code = code ? code : curl_multi_setopt(handle, CURLMOPT_SOCKETDATA, m);
    code = code ? code : curl_multi_setopt(handle, CURLMOPT_TIMERFUNCTION, on_timer);
    code = code ? code : curl_multi_setopt(handle, CURLMOPT_TIMERDATA, m);
    code = code ? code : curl_multi_setopt(handle, CURLMOPT_MAXCONNECTS, (long)kept_connections);
    code = code ? code
                : curl_multi_setopt(handle, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)most_connections);
    code =
        code ? code : curl_multi_setopt(handle, CURLMOPT_MAX_HOST_CONNECTIONS, (long)most_per_host);
    if (code) {
        curl_multi_cleanup(handle);
        return PPH_FAIL(err, PPH_INTERNAL, "the HTTP client: %s", curl_multi_strerror(code));
    }
    m->handle = handle;
    return PPH_OK;
}

static pph_status open_multi(pph_runtime *runtime, pph_error *err)
{
    multi *m = pph_alloc(sizeof *m);
    if (!m)
        return PPH_FAIL_MEMORY(err, sizeof *m);
    m->loop = pph_loop_uv(runtime);
    uv_timer_init(m->loop, &m->timer);
    m->timer.data = m;
    m->stopper = (pph_loop_stopper){.run = on_stop, .context = m};
    pph_loop_on_stop(runtime, &m->stopper);
    shared = m;
    return PPH_OK;
}

pph_status pph_fetch_multi_enter(pph_fetch_job *job, pph_runtime *runtime, pph_error *err)
{
    if (!shared)
        PPH_TRY(open_multi(runtime, err));
    job->previous = NULL;
    job->next = shared->jobs;
    if (job->next)
        job->next->previous = job;
    shared->jobs = job;
    job->entered = true;
    return PPH_OK;
}

pph_status pph_fetch_multi_start(pph_fetch_job *job, pph_error *err)
{
    if (!shared->handle)
        PPH_TRY(open_handle(shared, err));
    CURLMcode code = curl_multi_add_handle(shared->handle, job->easy);
    if (code == CURLM_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for a transfer");
    if (code != CURLM_OK)
        return PPH_FAIL(err, PPH_INTERNAL, "the HTTP client: %s", curl_multi_strerror(code));
    job->running = true;
    return PPH_OK;
}

void pph_fetch_multi_cancel(pph_fetch_job *job)
{
    if (job->running)
        take_out(shared, job);
    job->starved = false;
}

void pph_fetch_multi_leave(pph_fetch_job *job)
{
    if (!job->entered)
        return;
    pph_fetch_multi_cancel(job);
    if (job->previous)
        job->previous->next = job->next;
    else
        shared->jobs = job->next;
    if (job->next)
        job->next->previous = job->previous;
    job->entered = false;
}
