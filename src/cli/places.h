/* Where a user's things are kept, after the XDG Base Directory Specification. */
#ifndef PPH_CLI_PLACES_H
#define PPH_CLI_PLACES_H

#include "base/error.h"

/* "$XDG_DATA_HOME/paraphym/NAME", without that variable (or where it holds no absolute path)
 * "$HOME/.local/share/paraphym/NAME"; on the heap, freed with pph_free. The folder is made when it is not
 * there, for this user alone; the file is not looked at.
 * Errors  PPH_NOT_FOUND (neither variable is set), PPH_IO, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_places_data(const char *name, char **out, pph_error *err);

/* "$XDG_CONFIG_HOME/paraphym/NAME", or "$HOME/.config/paraphym/NAME", likewise; no folder is made. NULL where
 * neither variable is set. Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_places_config(const char *name, char **out, pph_error *err);

/* The file of the memory: `flag` where one was given, else PARAPHYM_STORE, else "memory.db" among the
 * data. The errors are those above; an empty flag is PPH_INVALID_ARGUMENT. */
PPH_CHECKED pph_status pph_places_store(const char *flag, char **out, pph_error *err);

#endif
