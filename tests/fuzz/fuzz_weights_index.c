/* Any bytes as model.safetensors.index.json beside one good shard: refused with a sentence, or each
 * tensor it names is found. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static char folder[] = "/tmp/pph-fuzz-XXXXXX";
static char index_path[64], shard_path[64];

static void remove_folder(void)
{
    unlink(index_path);
    unlink(shard_path);
    rmdir(folder);
}

static void make_folder(void)
{
    static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[1,2]}}";
    char file[8 + sizeof header + 1] = {sizeof header - 1};
    memcpy(file + 8, header, sizeof header - 1);
    check(mkdtemp(folder) != NULL);
    snprintf(index_path, sizeof index_path, "%s/model.safetensors.index.json", folder);
    snprintf(shard_path, sizeof shard_path, "%s/s", folder);
    check(pph_file_write(shard_path, file, 8 + sizeof header - 1 + 2, NULL) == PPH_OK);
    atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!index_path[0])
        make_folder();
    /* Not pph_file_write, which waits for the disk. */
    FILE *file = fopen(index_path, "wb");
    check(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    pph_error err = {0};
    pph_status status = pph_weights_open(&weights, folder, &err);
    check(status == err.status && (status == PPH_OK) == (weights != NULL));
    check(status == PPH_OK || err.message[0]);
    if (status != PPH_OK)
        return 0;
    PPH_AUTO(pph_json_free) pph_json *index = NULL;
    check(pph_json_parse(&index, bytes, size, "input", NULL) == PPH_OK);
    const pph_json *map = pph_json_get(index, "weight_map");
    for (void *it = pph_json_first(map); it; it = pph_json_next(map, it)) {
        const pph_tensor *tensor = pph_weights_find(weights, pph_json_key(it).data);
        check(tensor && tensor->bytes == 1);
    }
    return 0;
}
