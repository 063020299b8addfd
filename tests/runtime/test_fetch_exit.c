/* Programs that end while they fetch, over TLS too, each a little later than the one before: they
 * end with the status that they chose, whatever the loop's thread was doing. */
#include "fetch_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { programs = 40, fetches = 8, chosen = 7 };

static bool answer(http_exchange *e)
{
    return http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

/* The server answers a TLS greeting by hanging up, so that each attempt is followed by another. */
static void fetch_and_exit(int port_from, int turn)
{
    int port;
    alarm(60);
    if (read(port_from, &port, sizeof port) != (ssize_t)sizeof port)
        exit(1);
    pph_fetch_options options = pph_fetch_defaults();
    for (int i = 0; i < fetches; i++) {
        char url[64];
        snprintf(url, sizeof url, "%s://127.0.0.1:%d/", i % 4 ? "https" : "http", port);
        pph_future *future = pph_fetch(pph_shared_runtime(), url, &options);
        pph_future_free(&future);
    }
    struct timespec pause = {.tv_nsec = turn * 100000L};
    nanosleep(&pause, NULL);
    exit(chosen);
}

int main(void)
{
    int ends[2], wrong = 0;
    pid_t children[programs];
    if (pipe(ends))
        return 1;
    /* Before there are threads here. */
    for (int i = 0; i < programs; i++) {
        children[i] = fork();
        if (!children[i])
            fetch_and_exit(ends[0], i);
    }
    fetch_check_open(answer);
    int port = http_server_port(fetch_server);
    for (int i = 0; i < programs; i++)
        if (write(ends[1], &port, sizeof port) != (ssize_t)sizeof port)
            return 1;
    for (int i = 0; i < programs; i++) {
        int status = 0;
        if (children[i] < 0 || waitpid(children[i], &status, 0) != children[i])
            return 1;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != chosen) {
            printf("program %d ended with status 0x%x\n", i, (unsigned)status);
            wrong++;
        }
    }
    fetch_check_close();
    printf("%d programs, %d ended otherwise than they chose\n", programs, wrong);
    return wrong ? 1 : 0;
}
