/* A conversation, for the files of this room. */
#ifndef PPH_AGENT_AGENT_H
#define PPH_AGENT_AGENT_H

#include "agent/history.h"
#include <paraphym/agent.h>
#include <pthread.h>
#include <unistd.h>

typedef struct pph_saying pph_saying;

/* options  with the defaults filled in; what they point to stands in the members below
 * keep     what a stored turn is like, but for its text and picture
 * current  the turn under way, with a reference; NULL: none
 * epoch    changes when the conversation begins anew
 * sayings  turns that may still use the agent */
struct pph_agent {
    pph_generation *generation;
    pph_agent_options options;
    pph_memory_item *keep;
    pph_memory_filter *filter; /* NULL: all */
    pid_t owner;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t idle;   /* who closes waits for the last of the sayings */
    char *system;
    pph_history history;
    uint64_t epoch;
    pph_saying *current;
    size_t sayings;
    bool closing;
};

#endif
