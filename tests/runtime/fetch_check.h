/* What the tests of fetching share: one server, and checks that say what came instead. */
#ifndef PPH_TESTS_FETCH_CHECK_H
#define PPH_TESTS_FETCH_CHECK_H

#include "http_server.h"
#include "runtime/fetch.h"

extern http_server *fetch_server;

/* Start the server, without proxies in the environment; stop it. For cmocka's group hooks. */
int fetch_check_open(http_answer *answer);
int fetch_check_close(void);

/* The address of a path on the server; a path that has a scheme is given back as it is. Valid until
 * the 8th call after this one. */
const char *fetch_at(const char *path);

/* The defaults, but for a time-out of 10 s and no retries. */
pph_fetch_options fetch_once(void);

/* Fetch and check the body. */
void fetch_expect(const char *path, const pph_fetch_options *options, const char *body);
/* Fetch and check the failure: its status, and words that its sentence has. */
void fetch_refuse(const char *path, const pph_fetch_options *options, pph_status status,
                  const char *words);
/* The same for a future that is under way. Takes it. */
void fetch_refused(pph_future *future, pph_status status, const char *words);
void fetch_fetched(pph_future *future, const char *body);

#endif
