/* One file of a model that is on this machine, by the word after a colon: "owner/name:Q4_K_M". */
#ifndef PPH_POOL_CATALOGUE_FILE_H
#define PPH_POOL_CATALOGUE_FILE_H

#include "base/error.h"

/* The file below `folder` that `word` means, as hub_meant.h has it; of at most 10,000 files, eight folders
 * deep. Links are followed; what they point to may be gone, which is no file then.
 * name    of the model, for messages
 * out     its path; free with pph_free
 * Errors  PPH_NOT_FOUND, PPH_INVALID_ARGUMENT (it may be several, or is empty): the sentence says what is there;
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_catalogue_file_find(char **out, const char *folder, const char *name,
                                               const char *word, pph_error *err);

#endif
