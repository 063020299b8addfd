/* A turn under way.
 *
 *   begin -> (look for memories | run the beginning) -> answer, again while it is too long -> store -> told
 *
 * Each step ends in a callback that begins the next; no thread waits. A turn ends once, with a result or an
 * error; a cancellation, a reader who goes, a shutdown end its future at once, and its step soon after: until
 * then it holds its agent, which is not closed before. */
#ifndef PPH_AGENT_SAYING_H
#define PPH_AGENT_SAYING_H

#include "agent/agent.h"

/* Take a turn: checked, made and begun. The future's reference is the caller's.
 * Errors  those of pph_agent_say that are known at once */
PPH_CHECKED pph_status pph_saying_begin(pph_agent *agent, const pph_agent_turn *turn,
                                        pph_future **future, pph_stream **stream, pph_error *err);

void pph_saying_unref(pph_saying **saying);

/* End it with *why, unless it has ended. Any thread; no lock held. */
void pph_saying_stop(pph_saying *saying, const pph_error *why);

#endif
