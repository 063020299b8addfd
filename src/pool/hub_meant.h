/* Which of a model's files a word means: `pull MODEL:WORD` asks it of the hub's list, `-m MODEL:WORD` of what
 * is there. Names alone; no state. */
#ifndef PPH_POOL_HUB_MEANT_H
#define PPH_POOL_HUB_MEANT_H

#include <stdbool.h>
#include <stddef.h>

/* The ways in which a word may mean a file, in order: the first by which any file is meant counts. */
typedef enum pph_hub_way {
    PPH_HUB_BY_PATH,
    PPH_HUB_BY_NAME, /* the last part of the path */
    PPH_HUB_BY_PART, /* a GGUF model with this in its name, such as "Q4_K_M", in whatever case */
    PPH_HUB_WAYS
} pph_hub_way;

/* name  the file's, with '/' between the folders on its way. A GGUF in parts counts with its first. */
bool pph_hub_meant(const char *name, const char *word, pph_hub_way way);

/* "name-00001-of-00003.gguf": the length of what is before the number; 0 for what is no part. */
size_t pph_hub_meant_stem(const char *name);

/* Whether it is a picture part: a GGUF with "mmproj" in its name. */
bool pph_hub_meant_projector(const char *name);

/* Whether `part` stands in the text, in whatever case. */
bool pph_hub_meant_holds(const char *text, const char *part);

#endif
