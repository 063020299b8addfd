/* A conversation on the command line: what it runs on, a turn of it, and its commands. */
#ifndef PPH_CLI_TALK_H
#define PPH_CLI_TALK_H

#include "cli/store_session.h"
#include <paraphym/agent.h>

enum { PPH_TALK_PICTURES = 8, PPH_TALK_LISTED = 20 };

/* What the command line says; texts as they are, resolved.
 * role      who the assistant is: what the system says begins with it, and its memories are of that agent
 * projector the picture part of the model that -m names, or NULL: the one beside it
 * quantize  as pph_quantize_parse takes it, or NULL: not
 * form      of prompts, or NULL;  verbose  each turn tells how it went */
typedef struct pph_talk_options {
    pph_common common;
    pph_store_options store;
    const char *form, *projector, *quantize;
    bool no_memory, verbose;
    float temperature;
    long max_tokens, seed, timeout_ms;
} pph_talk_options;

/* pictures  shown with the next turn: their bytes, or an address
 * listed    the memories that were listed last, by number
 * left      the user wants to go;  failed  a turn or a command has */
typedef struct pph_talk {
    pph_talk_options options;
    char *system, *role;
    pph_store_session store; /* empty without a memory */
    pph_pool *pool;          /* the store's, else its own */
    pph_loading *loading;    /* likewise */
    char *model;
    pph_generation *generation;
    pph_agent *agent;
    pph_input pictures[PPH_TALK_PICTURES];
    size_t picture_count;
    pph_memory_id listed[PPH_TALK_LISTED];
    size_t listed_count;
    bool left, failed;
} pph_talk;

/* Open the memory and the model. `talk` holds the options, and system and role (on the heap, taken).
 * Errors  of the model's name, the store, ...; what was opened is closed by pph_talk_close all the same */
PPH_CHECKED pph_status pph_talk_open(pph_talk *talk, pph_error *err);
void pph_talk_close(pph_talk *talk);

/* Go on with another model, as one is named with -m. Errors: the name's; the one before stays then. */
PPH_CHECKED pph_status pph_talk_change_model(pph_talk *talk, const char *name, pph_error *err);
/* Say another system's words from the next turn on; NULL: none. */
PPH_CHECKED pph_status pph_talk_change_system(pph_talk *talk, const char *text, pph_error *err);

/* Show a picture with the next turn: a path or an address. */
PPH_CHECKED pph_status pph_talk_show_picture(pph_talk *talk, const char *word, pph_error *err);

/* Say something, and print the answer as it comes; with --json a line with all that is known of the turn. Ctrl-C
 * stops it, which is no failure. Errors: the turn's. */
PPH_CHECKED pph_status pph_talk_say(pph_talk *talk, const char *text, pph_error *err);

/* Do what a line that begins with '/' says. Errors: those of the command, PPH_INVALID_ARGUMENT (none such). */
PPH_CHECKED pph_status pph_talk_command(pph_talk *talk, const char *line, pph_error *err);

#endif
