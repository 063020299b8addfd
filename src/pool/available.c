/* The system's word on memory: cgroups, /proc. Owns nothing; a file that is missing or does not
 * parse counts as no limit, never as an error. */
#include "pool/available.h"

#include "base/error.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* The number that a file holds alone; UINT64_MAX for "max", a missing file and anything else. */
static uint64_t read_limit(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    char text[64] = "", *end = text;
    errno = 0;
    uint64_t value = UINT64_MAX;
    if (fgets(text, sizeof text, file) && isdigit((unsigned char)text[0]))
        value = strtoull(text, &end, 10);
    fclose(file);
    return end == text || (*end && *end != '\n') || errno == ERANGE ? UINT64_MAX : value;
}

/* A path that climbs is one outside of what is mounted here: only the mount's root is known. */
static bool climbs(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
            return true;
    return false;
}

/* The least of `name` in the cgroup root/path and in every one above it, the root included. */
static uint64_t least_upward(const char *root, const char *path, const char *name)
{
    char folder[PATH_MAX];
    int length = snprintf(folder, sizeof folder, "%s", climbs(path) ? "" : path);
    if (length < 0 || (size_t)length >= sizeof folder)
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    for (;;) {
        char file[2 * PATH_MAX];
        int wrote = snprintf(file, sizeof file, "%s%s/%s", root, folder, name);
        if (wrote > 0 && (size_t)wrote < sizeof file) {
            uint64_t limit = read_limit(file);
            least = PPH_MIN(least, limit);
        }
        char *slash = strrchr(folder, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* Whether a list such as "cpu,memory" has the word. */
static bool lists(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        if (length == size && !memcmp(at, word, size))
            return true;
        at += length;
    }
    return false;
}

/* A line of the membership: "0::/path" is version 2, "4:cpu,memory:/path" version 1. */
static uint64_t line_limit(char *line, const char *cgroups)
{
    line[strcspn(line, "\n")] = 0;
    char *list = strchr(line, ':');
    char *path = list ? strchr(list + 1, ':') : NULL;
    if (!path || path[1] != '/')
        return UINT64_MAX;
    *list++ = 0;
    *path++ = 0;
    if (!path[1])
        path++; /* "/": the root, whose name is empty */
    if (!*list) {
        uint64_t most = least_upward(cgroups, path, "memory.max");
        uint64_t high = least_upward(cgroups, path, "memory.high");
        return PPH_MIN(most, high);
    }
    if (!lists(list, "memory"))
        return UINT64_MAX;
    char root[PATH_MAX];
    int wrote = snprintf(root, sizeof root, "%s/memory", cgroups);
    if (wrote < 0 || (size_t)wrote >= sizeof root)
        return UINT64_MAX;
    return least_upward(root, path, "memory.limit_in_bytes");
}

static uint64_t cgroup_limit(const char *membership, const char *cgroups)
{
    FILE *file = fopen(membership, "re");
    if (!file)
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX + 128];
    while (fgets(line, sizeof line, file)) {
        uint64_t limit = line_limit(line, cgroups);
        least = PPH_MIN(least, limit);
    }
    fclose(file);
    return least;
}

static uint64_t machine_total(const char *meminfo)
{
    uint64_t kilobytes = 0;
    FILE *file = fopen(meminfo, "re");
    if (file) {
        char line[256];
        while (fgets(line, sizeof line, file))
            if (sscanf(line, "MemTotal: %" SCNu64 " kB", &kilobytes) == 1)
                break;
        fclose(file);
    }
    if (kilobytes && kilobytes <= UINT64_MAX / 1024)
        return kilobytes * 1024;
    struct sysinfo system;
    if (sysinfo(&system) != 0)
        return 0;
    return (uint64_t)system.totalram * system.mem_unit;
}

uint64_t pph_available_total(const pph_available_sources *sources)
{
    pph_available_sources from = sources ? *sources : (pph_available_sources){0};
    uint64_t total = machine_total(from.meminfo ? from.meminfo : "/proc/meminfo");
    uint64_t allowed = cgroup_limit(from.membership ? from.membership : "/proc/self/cgroup",
                                    from.cgroups ? from.cgroups : "/sys/fs/cgroup");
    return PPH_MIN(total, allowed);
}

uint64_t pph_available_resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    uint64_t size = 0, resident = 0;
    int fields = fscanf(file, "%" SCNu64 " %" SCNu64, &size, &resident);
    fclose(file);
    long page = sysconf(_SC_PAGESIZE);
    return fields == 2 && page > 0 ? resident * (uint64_t)page : 0;
}
