/* Names that a server says: which of them may become a file's here, and how they stand in an address.
 * Refuses whatever could lead out of the cache. Stateless. */
#include "pool/hub_inside.h"

#include "base/mem.h"
#include <string.h>

enum { PART_LIMIT = 255, PATH_LIMIT = 1024, PLAIN_LIMIT = 128 };

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

static bool is_part(pph_str part)
{
    if (!part.size || part.size > PART_LIMIT || (part.size == 1 && part.data[0] == '.') ||
        (part.size == 2 && memcmp(part.data, "..", 2) == 0))
        return false;
    for (size_t i = 0; i < part.size; i++)
        if ((unsigned char)part.data[i] < ' ' || part.data[i] == 0x7f || part.data[i] == '\\')
            return false;
    return true;
}

bool pph_hub_name_is_path(const char *name)
{
    pph_str whole = pph_str_view(name);
    if (whole.size > PATH_LIMIT || pph_utf8_check(whole) != SIZE_MAX)
        return false;
    for (;;) {
        size_t size = strcspn(name, "/");
        if (!is_part((pph_str){name, size}))
            return false;
        if (!name[size])
            return true;
        name += size + 1;
    }
}

bool pph_hub_name_is_plain(pph_str name)
{
    if (!name.size || name.size > PLAIN_LIMIT || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!is_plain(name.data[i]))
            return false;
    return true;
}

pph_status pph_hub_name_etag(const char *header, char **out, pph_error *err)
{
    pph_str tag = pph_str_view(header);
    *out = NULL;
    if (pph_str_starts(tag, "W/"))
        tag = (pph_str){tag.data + 2, tag.size - 2};
    if (tag.size >= 2 && tag.data[0] == '"' && tag.data[tag.size - 1] == '"')
        tag = (pph_str){tag.data + 1, tag.size - 2};
    if (!pph_hub_name_is_plain(tag))
        return PPH_OK;
    *out = pph_str_copy(tag);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, tag.size + 1);
}

pph_status pph_hub_name_encode(const char *path, bool slashes, pph_buffer *out, pph_error *err)
{
    for (; *path; path++)
        if (is_plain(*path) || (slashes && *path == '/'))
            PPH_TRY(pph_buffer_append(out, path, 1, err));
        else
            PPH_TRY(pph_buffer_print(out, err, "%%%02X", (unsigned)(unsigned char)*path));
    return PPH_OK;
}
