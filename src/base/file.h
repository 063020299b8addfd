/* Files: whole reads with a limit, mappings, and paths. Any thread. */
#ifndef PPH_BASE_FILE_H
#define PPH_BASE_FILE_H

#include "base/buffer.h"
#include <stdbool.h>

typedef enum pph_file_kind {
    PPH_FILE_MISSING,
    PPH_FILE_REGULAR,
    PPH_FILE_FOLDER,
    PPH_FILE_OTHER, /* pipe, device, socket */
} pph_file_kind;

/* Follows links. A path that cannot be looked at for any reason is MISSING. */
pph_file_kind pph_file_look(const char *path);

/* Append the whole file to `out`, whose limit is obeyed. Pipes are read to their end; "-" is not
 * special. Errors: PPH_NOT_FOUND, PPH_INVALID_ARGUMENT (a folder), PPH_IO, PPH_TOO_LARGE. */
PPH_CHECKED pph_status pph_file_read(const char *path, pph_buffer *out, pph_error *err);
/* The same from an open descriptor; `name` is for messages. Does not close it. */
PPH_CHECKED pph_status pph_file_read_fd(int fd, const char *name, pph_buffer *out, pph_error *err);

/* A read-only mapping of a whole file. data is NULL only for an empty file. The bytes must be
 * treated as able to change under us (another process may write the file): check, then copy or
 * use, never check twice. Not copied: a file cut short while mapped faults the reader. */
typedef struct pph_file_map {
    const uint8_t *data;
    size_t size;
} pph_file_map;

PPH_CHECKED pph_status pph_file_map_open(pph_file_map *out, const char *path, pph_error *err);
void pph_file_map_close(pph_file_map *map);
/* Tell the system that a range will not be read again soon: its pages leave our resident memory
 * (they are read anew from the file if touched). Range is rounded inward to whole pages. */
void pph_file_map_forget(const pph_file_map *map, size_t offset, size_t size);

/* Write atomically: a temporary file beside it, then a rename. A file that was there keeps its
 * permissions; a new one gets what the umask leaves of 0666. A link is replaced, not followed. */
PPH_CHECKED pph_status pph_file_write(const char *path, const void *bytes, size_t size,
                                      pph_error *err);

/* A file that is written piece by piece, and stands under its name once it is whole: until then its
 * bytes are in a temporary file beside it. Starts as {0}. One thread at a time.
 * size  bytes so far */
typedef struct pph_file_out {
    char *path, *temporary;
    int fd;
    uint64_t size;
} pph_file_out;

/* What was there under the name is left alone until the end; permissions and links as above. */
PPH_CHECKED pph_status pph_file_out_open(pph_file_out *out, const char *path, pph_error *err);
PPH_CHECKED pph_status pph_file_out_append(pph_file_out *out, const void *bytes, size_t size,
                                           pph_error *err);
/* All of it is on the disk, and has its name. After a failure there is nothing to be found of it. */
PPH_CHECKED pph_status pph_file_out_finish(pph_file_out *out, pph_error *err);
/* Give up what is not finished. Accepts {0}. */
void pph_file_out_discard(pph_file_out *out);

/* "folder/name" on the heap ("name" when folder is empty); NULL when there is no memory. Free with pph_free. */
char *pph_path_join(const char *folder, const char *name);
/* The part after the last '/', trailing ones ignored in the search but still there: the last part
 * of "a/b/" is "b/". Points into `path`. */
const char *pph_path_name(const char *path);

#endif
