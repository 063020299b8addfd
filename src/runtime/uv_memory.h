/* The memory that libuv gets. */
#ifndef PPH_RUNTIME_UV_MEMORY_H
#define PPH_RUNTIME_UV_MEMORY_H

/* Make libuv allocate through base/mem.h. Before any other call of libuv; more than once is
 * harmless. Returns libuv's status. */
int pph_uv_memory_install(void);

#endif
