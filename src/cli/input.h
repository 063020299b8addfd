/* What the words of a command line mean: pictures and texts, in order. */
#ifndef PPH_CLI_INPUT_H
#define PPH_CLI_INPUT_H

#include "base/str.h"
#include <paraphym/multimodal.h>

typedef struct pph_cli_input {
    const char *word; /* as it was given */
    char *line;       /* a text that was read, owned; or NULL */
    size_t line_size;
    pph_buffer bytes; /* what standard input held, when it was a picture */
    pph_input_kind kind;
    bool marked; /* as a text, by --text */
} pph_cli_input;

typedef struct pph_cli_inputs {
    pph_cli_input *items;
    size_t count, capacity;
    bool reads_stdin;
    size_t at;         /* the next item to give */
    pph_buffer unread; /* of standard input: begins at unread_at */
    size_t unread_at;
    bool ended; /* standard input has */
} pph_cli_inputs;

void pph_cli_input_deinit(pph_cli_input *input);
void pph_cli_inputs_deinit(pph_cli_inputs *inputs);

/* Take a word of the command line, which must outlive the inputs. */
PPH_CHECKED pph_status pph_cli_inputs_add(pph_cli_inputs *inputs, const char *word, pph_error *err);
PPH_CHECKED pph_status pph_cli_inputs_add_text(pph_cli_inputs *inputs, const char *word,
                                               pph_error *err);

/* Once all words are known, the inputs in order, one a call; *out is the caller's to deinit.
 * A word that is not marked as text: an existing path, else an address (http:, https:, data:), else
 * literal text; "-" is standard input, a picture or a text by its first bytes. With a slash at its
 * beginning or an ending of a picture it is taken as a path even when nothing is there, so that a
 * mistyped name is an error and not a text. A text "-" is standard input, one text a line, read as it
 * comes.
 * wait    false: rather than wait for standard input, *step is PPH_CLI_LATER
 * Errors  standard input's; never PPH_INVALID_ARGUMENT, which is wrong usage */
typedef enum pph_cli_step { PPH_CLI_INPUT, PPH_CLI_LATER, PPH_CLI_END } pph_cli_step;
PPH_CHECKED pph_status pph_cli_inputs_next(pph_cli_inputs *inputs, bool wait, pph_cli_input *out,
                                           pph_cli_step *step, pph_error *err);

/* All of them at once, in place of the words. Errors: PPH_TOO_LARGE past `limit` inputs. */
PPH_CHECKED pph_status pph_cli_inputs_read(pph_cli_inputs *inputs, size_t limit, pph_error *err);

/* What an input's word means, as above, where it is not "-". */
pph_input_kind pph_cli_input_classify(const pph_cli_input *input);
/* Whether bytes begin as a picture's file does. */
bool pph_cli_input_looks_like_picture(const pph_buffer *bytes);

/* How an input is called: the word as it was given, or the text that was read in its place. */
pph_str pph_cli_input_name(const pph_cli_input *input);

/* The library's form of it; borrows. */
pph_input pph_cli_input_view(const pph_cli_input *input);
const char *pph_cli_input_kind(const pph_cli_input *input); /* "image" or "text" */

#endif
