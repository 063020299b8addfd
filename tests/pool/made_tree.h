/* A tree of folders, made below a temporary one and removed with it: models as downloads leave them. */
#ifndef PPH_TESTS_MADE_TREE_H
#define PPH_TESTS_MADE_TREE_H

#include "../weights/made_gguf.h"

#include <ftw.h>
#include <sys/stat.h>

#define TINY SOURCE_ROOT "/models/tiny"

static made_folder root;

/* A path below the root; a few of them live at once. */
static inline const char *at(const char *tail)
{
    static char paths[8][512];
    static size_t next;
    char *path = paths[next++ % PPH_COUNT(paths)];
    snprintf(path, sizeof paths[0], "%s%s%s", root.path, *tail ? "/" : "", tail);
    return path;
}

static inline void make_parents(const char *tail)
{
    char path[512];
    snprintf(path, sizeof path, "%s", at(tail));
    for (char *slash = path + strlen(root.path) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(path, 0777);
    }
}

static inline void put(const char *tail, const char *text)
{
    make_parents(tail);
    put_text(&root, tail, text);
}

static inline void link_to(const char *tail, const char *target)
{
    make_parents(tail);
    assert_int_equal(symlink(target, at(tail)), 0);
}

static inline void put_weights(const char *tail, const char *header, size_t data)
{
    make_parents(tail);
    put_safetensors(&root, tail, header, data);
}

static inline void put_buffer(const char *tail, pph_buffer *bytes)
{
    make_parents(tail);
    put_bytes(&root, tail, bytes->data, bytes->size);
    pph_buffer_deinit(bytes);
}

/* The built-in model's files as links, as a hub cache has them; `skip` is left out. */
static inline void link_tiny(const char *folder, const char *skip)
{
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "preprocessor_config.json"};
    for (size_t i = 0; i < PPH_COUNT(files); i++) {
        char tail[256], target[512];
        snprintf(tail, sizeof tail, "%s/%s", folder, files[i]);
        snprintf(target, sizeof target, TINY "/%s", files[i]);
        if (!skip || strcmp(files[i], skip) != 0)
            link_to(tail, target);
    }
}

static inline int remove_one(const char *path, const struct stat *status, int kind,
                             struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static inline int set_up(void **state)
{
    (void)state;
    root = make_folder();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    return nftw(root.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
