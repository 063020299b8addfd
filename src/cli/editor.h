/* Lines that a person types, with editing and a history; or lines of a pipe, as they come. */
#ifndef PPH_CLI_EDITOR_H
#define PPH_CLI_EDITOR_H

#include "base/str.h"

typedef struct pph_editor pph_editor;

/* On a terminal (standard input and output both) lines are edited; else they are read.
 * history  a file of lines that were typed, made when it is not there; NULL: none is kept
 * Errors   PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_editor_open(pph_editor **out, const char *history, pph_error *err);
/* Keeps the history. NULL is accepted; clears the pointer. */
void pph_editor_close(pph_editor **editor);

/* A person types. */
bool pph_editor_is_terminal(const pph_editor *editor);

/* The next line, without its end, good until the next call. *out is NULL when there is none any more. Ctrl-C
 * begins the line anew.
 * Errors  those of reading; PPH_TOO_LARGE (a line of more than 1 MiB) */
PPH_CHECKED pph_status pph_editor_read(pph_editor *editor, const char *prompt, const char **out,
                                       pph_error *err);

#endif
