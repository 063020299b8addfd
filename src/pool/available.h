/* How much memory this process may have and has. Reads the system's files; any thread, no state. */
#ifndef PPH_POOL_AVAILABLE_H
#define PPH_POOL_AVAILABLE_H

#include <stdint.h>

/* Where to look; a test gives files of its own. NULL in a field: the system's path. */
typedef struct pph_available_sources {
    const char *membership; /* "/proc/self/cgroup": which cgroups the process is in */
    const char *cgroups;    /* "/sys/fs/cgroup": where they are mounted, version 1, 2 or both */
    const char *meminfo;    /* "/proc/meminfo" */
} pph_available_sources;

/* Bytes of memory that this process may use: the machine's (MemTotal), or less where its cgroup or
 * one above it says so: memory.max and memory.high of version 2 (above the latter a process is
 * slowed down until it is of no use), memory.limit_in_bytes of version 1. In a container whose path
 * is not visible from inside, the nearest visible cgroup above it counts.
 * What cannot be read sets no limit; without MemTotal the kernel is asked by sysinfo(2).
 * sources  NULL: the system's */
uint64_t pph_available_total(const pph_available_sources *sources);

/* Bytes of this process that are in memory now (its resident set); 0 when that cannot be read. */
uint64_t pph_available_resident(void);

#endif
