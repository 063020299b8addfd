/* The end of the process while fetches run: libraries that libcurl uses (OpenSSL) take themselves
 * apart at exit, and the loop's thread must not be inside them then. */
#ifndef PPH_RUNTIME_FETCH_GATE_H
#define PPH_RUNTIME_FETCH_GATE_H

#include <stdbool.h>

/* To be called once, after those libraries were initialised: what is registered last runs first. */
void pph_fetch_gate_install(void);

/* The loop's thread, around all that may call libcurl; entering does not nest. False when the process
 * is exiting: nothing of libcurl may be called any more, and there is nothing to leave. */
bool pph_fetch_gate_enter(void);
void pph_fetch_gate_leave(void);

#endif
