/* The test's HTTP server. All state is under one lock; connection threads are detached and counted,
 * so that a long test does not gather them. Its memory is plain malloc, out of the reach of the
 * faults that tests set. */
#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { most_paths = 64, most_connections = 1024, head_room = 16384 };

struct http_server {
    http_answer *answer;
    void *context;
    int listener, port;
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    int accepted, active, gone;
    int fds[most_connections]; /* of the active connections; -1 is a free place */
    int paths;
    struct {
        char path[256];
        int hits;
    } seen[most_paths];
};

typedef struct connection {
    http_server *server;
    int place, fd;
} connection;

static void die(const char *what)
{
    perror(what);
    abort();
}

/* The entry of a path, made when need be. Under the lock. */
static int *hits_of(http_server *server, const char *path)
{
    for (int i = 0; i < server->paths; i++)
        if (!strcmp(server->seen[i].path, path))
            return &server->seen[i].hits;
    if (server->paths == most_paths)
        die("too many paths");
    int i = server->paths++;
    snprintf(server->seen[i].path, sizeof server->seen[i].path, "%s", path);
    server->seen[i].hits = 0;
    return &server->seen[i].hits;
}

/* Read up to the empty line. 0 when the client has gone, or does not speak HTTP. */
static size_t read_head(int fd, char *head)
{
    size_t size = 0;
    while (size < head_room - 1) {
        ssize_t got = recv(fd, head + size, 1, 0);
        if (got <= 0 || head[0] < 'A' || head[0] > 'Z')
            return 0;
        size++;
        head[size] = 0;
        if (size >= 4 && !memcmp(head + size - 4, "\r\n\r\n", 4))
            return size;
    }
    return 0;
}

static bool serve_one(connection *c, char *head)
{
    char path[256];
    http_server *server = c->server;
    if (!read_head(c->fd, head) || sscanf(head, "%*s %255s", path) != 1)
        return false;
    pthread_mutex_lock(&server->lock);
    int nth = (*hits_of(server, path))++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    http_exchange exchange = {server, server->context, c->fd, path, head, nth};
    return server->answer(&exchange);
}

static void *serve(void *argument)
{
    connection *c = argument;
    http_server *server = c->server;
    char *head = malloc(head_room);
    if (!head)
        die("malloc");
    while (serve_one(c, head))
        continue;
    free(head);
    /* What the client still sends must not turn the end into a reset that eats the answer. */
    shutdown(c->fd, SHUT_WR);
    char rest[4096];
    while (recv(c->fd, rest, sizeof rest, 0) > 0)
        continue;
    pthread_mutex_lock(&server->lock);
    server->fds[c->place] = -1;
    close(c->fd);
    free(c);
    server->active--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void start_connection(http_server *server, int fd)
{
    int place = 0;
    while (place < most_connections && server->fds[place] >= 0)
        place++;
    connection *c = malloc(sizeof *c);
    if (place == most_connections || !c)
        die("too many connections");
    *c = (connection){server, place, fd};
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    server->fds[place] = fd;
    server->active++;
    server->accepted++;
    if (pthread_create(&thread, &attributes, serve, c))
        die("pthread_create");
    pthread_attr_destroy(&attributes);
}

static void *accept_all(void *argument)
{
    http_server *server = argument;
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_mutex_lock(&server->lock);
        bool stopping = server->stopping;
        if (fd >= 0 && !stopping)
            start_connection(server, fd);
        pthread_mutex_unlock(&server->lock);
        if (stopping) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
    }
}

http_server *http_server_start(http_answer *answer, void *context)
{
    http_server *server = calloc(1, sizeof *server);
    if (!server)
        die("calloc");
    server->answer = answer;
    server->context = context;
    for (int i = 0; i < most_connections; i++)
        server->fds[i] = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, size) ||
        listen(server->listener, 128) ||
        getsockname(server->listener, (struct sockaddr *)&address, &size))
        die("listening on 127.0.0.1");
    server->port = ntohs(address.sin_port);
    if (pthread_create(&server->acceptor, NULL, accept_all, server))
        die("pthread_create");
    return server;
}

void http_server_stop(http_server **where)
{
    http_server *server = *where;
    *where = NULL;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    shutdown(server->listener, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->acceptor, NULL);
    pthread_mutex_lock(&server->lock);
    for (int i = 0; i < most_connections; i++)
        if (server->fds[i] >= 0)
            shutdown(server->fds[i], SHUT_RDWR);
    while (server->active)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
    close(server->listener);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

int http_server_port(const http_server *server)
{
    return server->port;
}

int http_server_hits(http_server *server, const char *path)
{
    pthread_mutex_lock(&server->lock);
    int hits = *hits_of(server, path);
    pthread_mutex_unlock(&server->lock);
    return hits;
}

int http_server_connections(http_server *server)
{
    pthread_mutex_lock(&server->lock);
    int accepted = server->accepted;
    pthread_mutex_unlock(&server->lock);
    return accepted;
}

/* Until *counter is `count`. The counter is looked up anew, under the lock, by `path` or as gone. */
static bool wait_count(http_server *server, const char *path, int count)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&server->lock);
    int late = 0;
    while ((path ? *hits_of(server, path) : server->gone) < count && !late)
        late = pthread_cond_timedwait(&server->changed, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
    return !late;
}

bool http_server_wait_hits(http_server *server, const char *path, int count)
{
    return wait_count(server, path, count);
}

bool http_server_wait_gone(http_server *server, int count)
{
    return wait_count(server, NULL, count);
}

bool http_send(http_exchange *exchange, const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size) {
        ssize_t sent = send(exchange->fd, from, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        from += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool http_print(http_exchange *exchange, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof text)
        die("an answer too long");
    return http_send(exchange, text, (size_t)size);
}

void http_wait_gone(http_exchange *exchange)
{
    char rest[4096];
    while (recv(exchange->fd, rest, sizeof rest, 0) > 0)
        continue;
    http_server *server = exchange->server;
    pthread_mutex_lock(&server->lock);
    server->gone++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}
