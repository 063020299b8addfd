/* paraphym memory export, import, stats, verify, reembed: what is done with the whole memory. */
#include "cli/memory_command.h"

#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file beside the store, for what standard input and output carry: gone when it is closed. */
typedef struct beside {
    char *path;
    int fd;
} beside;

static void beside_deinit(beside *self)
{
    if (self->path && self->fd >= 0) {
        close(self->fd);
        unlink(self->path);
    }
    pph_free_at(&self->path);
}

static pph_status beside_open(beside *self, const char *store, pph_error *err)
{
    char reason[128];
    self->fd = -1;
    self->path = pph_str_format("%s.XXXXXX", store);
    if (!self->path)
        return PPH_FAIL_MEMORY(err, strlen(store));
    self->fd = mkstemp(self->path);
    return self->fd >= 0 ? PPH_OK
                         : PPH_FAIL(err, PPH_IO, "%s: cannot be made: %s", self->path,
                                    pph_error_system(errno, reason, sizeof reason));
}

/* All bytes of one descriptor to another. */
static pph_status pour(int from, int to, pph_error *err)
{
    char block[65536], reason[128];
    for (ssize_t got; (got = read(from, block, sizeof block)) != 0;) {
        if (got < 0 && errno == EINTR)
            continue;
        for (ssize_t put = 0, now; got > 0 && put < got; put += now)
            if ((now = write(to, block + put, (size_t)(got - put))) < 0) {
                if (errno != EINTR)
                    return PPH_FAIL(err, PPH_IO, "the output could not be written: %s",
                                    pph_error_system(errno, reason, sizeof reason));
                now = 0;
            }
        if (got < 0)
            return PPH_FAIL(err, PPH_IO, "the input could not be read: %s",
                            pph_error_system(errno, reason, sizeof reason));
    }
    return PPH_OK;
}

static pph_status wait_number(const pph_memory_work *work, pph_future *future, uint64_t *out,
                              pph_error *err)
{
    PPH_AUTO(pph_future_free) pph_future *own = future;
    PPH_TRY(pph_loading_wait(work->store.session.loading, own, err));
    *out = *(const uint64_t *)pph_future_value(own);
    return PPH_OK;
}

static pph_status export_all(pph_memory_work *work, pph_error *err)
{
    const char *to = work->words[0];
    bool piped = strcmp(to, "-") == 0;
    PPH_AUTO(beside_deinit) beside file = {.fd = -1};
    uint64_t count;
    if (piped)
        PPH_TRY(beside_open(&file, work->store.path, err));
    PPH_TRY(wait_number(
        work, pph_memory_export(work->store.memory, piped ? file.path : to, &work->filter), &count,
        err));
    if (!piped) {
        printf(work->common.json ? "{\"exported\":%llu}\n" : "%llu memories exported\n",
               (unsigned long long)count);
        return PPH_OK;
    }
    /* The export has put another file of that name in its place. */
    char reason[128];
    close(file.fd);
    file.fd = open(file.path, O_RDONLY | O_CLOEXEC);
    if (file.fd < 0)
        return PPH_FAIL(err, PPH_IO, "%s: %s", file.path,
                        pph_error_system(errno, reason, sizeof reason));
    return pour(file.fd, STDOUT_FILENO, err);
}

int pph_memory_export_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit)
    pph_memory_work work = {
        .self = self, .meaning = PPH_MEMORY_MEANS_FILTER, .options.no_model = true};
    static const pph_option own[] = {{0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    if (work.word_count != 1)
        return pph_command_usage(self, "give a file to write, or '-'");
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK || export_all(&work, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(PPH_EXIT_OK);
}

static pph_status import_all(pph_memory_work *work, bool bare, pph_error *err)
{
    const char *from = work->words[0];
    PPH_AUTO(beside_deinit) beside file = {.fd = -1};
    uint64_t count, made = 0;
    if (strcmp(from, "-") == 0) {
        PPH_TRY(beside_open(&file, work->store.path, err));
        PPH_TRY(pour(STDIN_FILENO, file.fd, err));
        from = file.path;
    }
    PPH_TRY(wait_number(work, pph_memory_import(work->store.memory, from), &count, err));
    if (!bare)
        PPH_TRY(wait_number(work, pph_memory_reembed(work->store.memory, false), &made, err));
    printf(work->common.json ? "{\"imported\":%llu,\"vectors\":%llu}\n"
                             : "%llu memories imported, %llu vectors made\n",
           (unsigned long long)count, (unsigned long long)made);
    return PPH_OK;
}

int pph_memory_import_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit) pph_memory_work work = {.self = self};
    bool bare = false;
    const pph_option own[] = {{"no-vectors", 0, PPH_OPTION_FLAG, &bare, 0, 0, NULL,
                               "leave making vectors to 'memory reembed'"},
                              {0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    if (work.word_count != 1)
        return pph_command_usage(self, "give a file to read, or '-'");
    work.options.no_model = bare;
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK || import_all(&work, bare, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(PPH_EXIT_OK);
}

int pph_memory_reembed_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit) pph_memory_work work = {.self = self};
    bool again = false;
    const pph_option own[] = {{"again", 0, PPH_OPTION_FLAG, &again, 0, 0, NULL,
                               "make all of them anew, not only those that are missing"},
                              {0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    if (work.word_count)
        return pph_command_usage(self, "'%s' is one word too many", work.words[0]);
    pph_error error = {0};
    uint64_t made;
    if (pph_memory_work_open(&work, &error) != PPH_OK ||
        wait_number(&work, pph_memory_reembed(work.store.memory, again), &made, &error) != PPH_OK)
        return pph_command_failed(&error);
    printf(work.common.json ? "{\"vectors\":%llu}\n" : "%llu vectors made\n",
           (unsigned long long)made);
    return pph_command_finish(PPH_EXIT_OK);
}

int pph_memory_verify_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit) pph_memory_work work = {.self = self};
    static const pph_option own[] = {{0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    if (work.word_count)
        return pph_command_usage(self, "'%s' is one word too many", work.words[0]);
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK)
        return pph_command_failed(&error);
    PPH_AUTO(pph_future_free) pph_future *future = pph_memory_verify(work.store.memory);
    if (pph_block_on(future, &error) != PPH_OK)
        return pph_command_failed(&error);
    const pph_memory_report *found = pph_future_value(future);
    printf(work.common.json ? "{\"memories\":%llu,\"pictures\":%llu,\"vectors\":%llu,"
                              "\"relations\":%llu,\"problems\":%llu}\n"
                            : "%llu memories, %llu pictures, %llu vectors, %llu relations: %llu "
                              "problems\n",
           (unsigned long long)found->memories, (unsigned long long)found->pictures,
           (unsigned long long)found->vectors, (unsigned long long)found->relations,
           (unsigned long long)found->problems);
    if (!found->problems)
        return pph_command_finish(PPH_EXIT_OK);
    (void)PPH_FAIL(&error, PPH_CORRUPT, "%s", found->first);
    return pph_command_finish(pph_command_failed(&error));
}

/* ---- stats ---- */

typedef struct tally {
    const char *name;
    pph_memory_filter filter;
    uint64_t count;
} tally;

static pph_status count_all(const pph_memory_work *work, tally *tallies, size_t count,
                            pph_error *err)
{
    for (size_t i = 0; i < count; i++)
        PPH_TRY(wait_number(work, pph_memory_count(work->store.memory, &tallies[i].filter),
                            &tallies[i].count, err));
    return PPH_OK;
}

/* The store with its log and its indexes, as far as they are there. */
static uint64_t bytes_of(const char *path)
{
    uint64_t sum = 0;
    for (int i = -2; i < 16; i++) {
        struct stat found;
        PPH_AUTO(pph_free_at)
        char *name = i == -2   ? pph_str_format("%s", path)
                     : i == -1 ? pph_str_format("%s-wal", path)
                               : pph_str_format("%s-vectors-%d", path, i);
        if (name && stat(name, &found) == 0)
            sum += (uint64_t)found.st_size;
    }
    return sum;
}

int pph_memory_stats_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit)
    pph_memory_work work = {.self = self, .options.no_model = true};
    static const pph_option own[] = {{0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    if (work.word_count)
        return pph_command_usage(self, "'%s' is one word too many", work.words[0]);
    tally all[3 + PPH_MEMORY_KIND_COUNT + PPH_MEMORY_STATUS_COUNT] = {
        {"memories", {0}, 0},
        {"texts", {.with_text = true}, 0},
        {"pictures", {.with_picture = true}, 0}};
    size_t count = 3;
    for (int k = 0; k < PPH_MEMORY_KIND_COUNT; k++)
        all[count++] = (tally){pph_memory_kind_name((pph_memory_kind)k), {.kinds = 1u << k}, 0};
    for (int s = 0; s < PPH_MEMORY_STATUS_COUNT; s++)
        all[count++] =
            (tally){pph_memory_status_name((pph_memory_status)s), {.statuses = 1u << s}, 0};
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK ||
        count_all(&work, all, count, &error) != PPH_OK)
        return pph_command_failed(&error);
    unsigned long long bytes = bytes_of(work.store.path);
    for (size_t i = 0; i < count; i++)
        if (work.common.json)
            printf("%s\"%s\":%llu", i ? "," : "{", all[i].name, (unsigned long long)all[i].count);
        else
            printf("%10llu  %s\n", (unsigned long long)all[i].count, all[i].name);
    printf(work.common.json ? ",\"bytes\":%llu}\n" : "%10llu  bytes on disk\n", bytes);
    return pph_command_finish(PPH_EXIT_OK);
}
