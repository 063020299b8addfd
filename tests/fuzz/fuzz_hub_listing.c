/* Any bytes as a hub's listing: nothing may crash, and what is chosen by a name that may be written stays
 * below its folder. */
#include "pool/hub_inside.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void choose(pph_hub_listing *listing, const char *file, bool projector)
{
    const pph_hub_request request = {.model = "a/b", .file = file, .projector = projector};
    pph_hub_file *index;
    const pph_hub_file *main;
    if (pph_hub_select(listing, &request, &index, &main, NULL) != PPH_OK)
        return;
    check(!file == !main);
    for (size_t i = 0; i < listing->count; i++) {
        const char *name = listing->files[i].name;
        if (!pph_hub_name_is_path(name))
            continue;
        check(name[0] != '/' && !strstr(name, "//") && strcmp(name, "..") != 0 &&
              strncmp(name, "../", 3) != 0 && !strstr(name, "/../"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_hub_listing listing = {0};
    PPH_AUTO(pph_json_free) pph_json *json = NULL;
    if (pph_hub_listing_parse(&listing, bytes, size, "input", NULL) != PPH_OK)
        return 0;
    check(strlen(listing.commit) > 0 && strlen(listing.commit) < sizeof listing.commit);
    choose(&listing, NULL, false);
    choose(&listing, "Q4", true);
    if (pph_json_parse(&json, bytes, size, "input", NULL) == PPH_OK)
        (void)!pph_hub_select_parts(&listing, json, NULL);
    pph_hub_listing_deinit(&listing);
    return 0;
}
