/* Any bytes as the JSON lines of an export: an error with a sentence, or memories that are whole. What is
 * imported stays in a store of the process's own, so that lines meet what others have left. */
#include <paraphym/memory.h>
#include <paraphym/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static pph_memory *memory;
static char folder[] = "/tmp/pph-fuzz-import-XXXXXX", store[64], file[64];

/* Closed before the loop is taken down, and nothing left lying about. */
static void leave(void)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[96];
    pph_memory_close(&memory);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(path, sizeof path, "%s%s", store, ends[i]);
        unlink(path);
    }
    unlink(file);
    rmdir(folder);
}

static void open_store(void)
{
    if (!mkdtemp(folder))
        abort();
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(file, sizeof file, "%s/lines", folder);
    if (pph_memory_open(&memory, store, NULL, NULL) != PPH_OK)
        abort();
    atexit(leave);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static unsigned turn;
    if (!memory)
        open_store();
    FILE *out = fopen(file, "wb");
    if (!out || fwrite(bytes, 1, size, out) != size || fclose(out) != 0)
        abort();
    pph_error error = {0};
    pph_future *future = pph_memory_import(memory, file);
    pph_status status = pph_block_on(future, &error);
    if (status != PPH_OK && !error.message[0])
        abort();
    pph_future_free(&future);
    /* Now and then: it takes longer than an import. */
    if (status != PPH_OK || turn++ % 64)
        return 0;
    future = pph_memory_verify(memory);
    if (pph_block_on(future, NULL) != PPH_OK ||
        ((const pph_memory_report *)pph_future_value(future))->problems)
        abort();
    pph_future_free(&future);
    return 0;
}
