/* Files for the tests of this room, made on the spot: safetensors bytes from a header and a size of
 * data, and a temporary folder that is emptied afterwards. */
#ifndef PPH_TESTS_MADE_FILES_H
#define PPH_TESTS_MADE_FILES_H

#include "base/buffer.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Eight bytes of `claimed` header length, the header, then `data` bytes counting up from 0. */
static inline pph_buffer make_safetensors_claiming(uint64_t claimed, const char *header,
                                                   size_t data)
{
    pph_buffer bytes = {0};
    for (int i = 0; i < 8; i++)
        assert_int_equal(
            pph_buffer_append(&bytes, (uint8_t[]){(uint8_t)(claimed >> 8 * i)}, 1, NULL), PPH_OK);
    assert_int_equal(pph_buffer_append(&bytes, header, strlen(header), NULL), PPH_OK);
    for (size_t i = 0; i < data; i++)
        assert_int_equal(pph_buffer_append(&bytes, (uint8_t[]){(uint8_t)i}, 1, NULL), PPH_OK);
    return bytes;
}

static inline pph_buffer make_safetensors(const char *header, size_t data)
{
    return make_safetensors_claiming(strlen(header), header, data);
}

typedef struct made_folder {
    char path[64];
} made_folder;

static inline made_folder make_folder(void)
{
    made_folder folder;
    snprintf(folder.path, sizeof folder.path, "/tmp/pph-test-XXXXXX");
    assert_non_null(mkdtemp(folder.path));
    return folder;
}

static inline void remove_folder(made_folder *folder)
{
    DIR *open = opendir(folder->path);
    assert_non_null(open);
    for (struct dirent *item; (item = readdir(open));) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        char *path = pph_path_join(folder->path, item->d_name);
        unlink(path);
        pph_free(path);
    }
    closedir(open);
    assert_int_equal(rmdir(folder->path), 0);
}

static inline size_t files_in(const made_folder *folder)
{
    size_t count = 0;
    DIR *open = opendir(folder->path);
    assert_non_null(open);
    for (struct dirent *item; (item = readdir(open));)
        count += item->d_name[0] != '.';
    closedir(open);
    return count;
}

static inline void put_bytes(const made_folder *folder, const char *name, const void *bytes,
                             size_t size)
{
    char *path = pph_path_join(folder->path, name);
    assert_int_equal(pph_file_write(path, bytes, size, NULL), PPH_OK);
    pph_free(path);
}

static inline void put_text(const made_folder *folder, const char *name, const char *text)
{
    put_bytes(folder, name, text, strlen(text));
}

static inline void put_safetensors(const made_folder *folder, const char *name, const char *header,
                                   size_t data)
{
    pph_buffer bytes = make_safetensors(header, data);
    put_bytes(folder, name, bytes.data, bytes.size);
    pph_buffer_deinit(&bytes);
}

#endif
