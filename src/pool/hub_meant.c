/* Words that mean files. */
#include "pool/hub_meant.h"

#include "base/file.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_gguf(const char *name)
{
    return pph_str_ends(pph_str_view(name), ".gguf");
}

size_t pph_hub_meant_stem(const char *name)
{
    size_t size = strlen(name), tail = strlen("-00001-of-00003.gguf");
    unsigned number, count;
    int length = 0;
    if (size <= tail ||
        sscanf(name + size - tail, "-%5u-of-%5u.gguf%n", &number, &count, &length) != 2 ||
        (size_t)length != tail)
        return 0;
    return size - tail;
}

bool pph_hub_meant_holds(const char *text, const char *part)
{
    size_t size = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, size) == 0)
            return true;
    return false;
}

bool pph_hub_meant_projector(const char *name)
{
    return is_gguf(name) && pph_hub_meant_holds(pph_path_name(name), "mmproj");
}

bool pph_hub_meant(const char *name, const char *word, pph_hub_way way)
{
    size_t stem = pph_hub_meant_stem(name);
    if (way == PPH_HUB_BY_PATH)
        return strcmp(name, word) == 0;
    if (way == PPH_HUB_BY_NAME)
        return strcmp(pph_path_name(name), word) == 0;
    if (!is_gguf(name) || pph_hub_meant_projector(name) || strchr(word, '/') ||
        (stem && strncmp(name + stem, "-00001-", 7) != 0))
        return false;
    return pph_hub_meant_holds(pph_path_name(name), word);
}
