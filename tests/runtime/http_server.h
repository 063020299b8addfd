/* A small HTTP server on 127.0.0.1 inside the test, whose answers are scripted down to the byte, so
 * that it can be as hostile as need be. A thread a connection. It waits for events, never for
 * time, but for a limit of ten seconds after which a wait has failed. */
#ifndef PPH_TESTS_HTTP_SERVER_H
#define PPH_TESTS_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct http_server http_server;

/* One request, for the time of its answer. */
typedef struct http_exchange {
    http_server *server;
    void *context;
    int fd;
    const char *path; /* the request's target, query included */
    const char *head; /* all of its head, as it came */
    int nth;          /* requests for this path before this one */
} http_exchange;

/* Called on the connection's thread. True keeps the connection for another request. */
typedef bool http_answer(http_exchange *exchange);

http_server *http_server_start(http_answer *answer, void *context);
/* Breaks off all connections and waits for their threads. */
void http_server_stop(http_server **server);
int http_server_port(const http_server *server);

/* Requests for a path so far; connections accepted so far. */
int http_server_hits(http_server *server, const char *path);
int http_server_connections(http_server *server);

/* Wait until `count` requests for `path` have come; until `count` clients have gone while
 * http_wait_gone waited for it. False after ten seconds. */
bool http_server_wait_hits(http_server *server, const char *path, int count);
bool http_server_wait_gone(http_server *server, int count);

/* For answers. False once the client is gone. */
bool http_send(http_exchange *exchange, const void *bytes, size_t size);
bool http_print(http_exchange *exchange, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));
/* Say nothing more until the client goes (or the server stops). */
void http_wait_gone(http_exchange *exchange);

#endif
