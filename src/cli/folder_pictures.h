/* The picture files below a folder. */
#ifndef PPH_CLI_FOLDER_PICTURES_H
#define PPH_CLI_FOLDER_PICTURES_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* modified  milliseconds since 1970 */
typedef struct pph_folder_picture {
    char *path;
    int64_t size, modified;
} pph_folder_picture;

/* unread  folders that could not be read, each told of on stderr: what is in them is not known */
typedef struct pph_folder_pictures {
    pph_folder_picture *items;
    size_t count, room, unread;
} pph_folder_pictures;

void pph_folder_pictures_deinit(pph_folder_pictures *pictures);

/* All files whose names end as pictures' do, sorted by path, from a folder given by its whole path. What
 * begins with a dot is passed over; links to folders are not followed.
 * Errors  PPH_TOO_LARGE (more than a million, or deeper than 64 folders), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_folder_pictures_find(pph_folder_pictures *out, const char *folder,
                                                pph_error *err);

#endif
