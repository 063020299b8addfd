/* Which addresses are public. Two tables of what is not, from the registries of special-purpose
 * addresses; whatever is no well-formed public unicast address is refused. Stateless. */
#include "runtime/fetch_address.h"

#include "base/error.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define V4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

typedef struct block4 {
    uint32_t prefix;
    int bits;
    const char *what;
} block4;

static const block4 special4[] = {
    {V4(0, 0, 0, 0), 8, "an address of \"this network\""},
    {V4(10, 0, 0, 0), 8, "a private address"},
    {V4(100, 64, 0, 0), 10, "a carrier's shared address"},
    {V4(127, 0, 0, 0), 8, "a loopback address"},
    {V4(168, 63, 129, 16), 32, "a cloud platform's own address"},
    {V4(169, 254, 0, 0), 16, "a link-local address"},
    {V4(172, 16, 0, 0), 12, "a private address"},
    {V4(192, 0, 0, 0), 24, "an address for protocol assignments"},
    {V4(192, 0, 2, 0), 24, "a documentation address"},
    {V4(192, 88, 99, 0), 24, "a 6to4 relay's address"},
    {V4(192, 168, 0, 0), 16, "a private address"},
    {V4(198, 18, 0, 0), 15, "a benchmarking address"},
    {V4(198, 51, 100, 0), 24, "a documentation address"},
    {V4(203, 0, 113, 0), 24, "a documentation address"},
    {V4(224, 0, 0, 0), 4, "a multicast address"},
    {V4(255, 255, 255, 255), 32, "the broadcast address"},
    {V4(240, 0, 0, 0), 4, "a reserved address"},
};

typedef struct block6 {
    uint8_t prefix[16];
    int bits;
    const char *what;
} block6;

/* The first match decides; the blocks outside 2000::/3 are here for their names only. */
static const block6 special6[] = {
    {{0}, 128, "the unspecified address"},
    {{[15] = 1}, 128, "a loopback address"},
    {{0}, 96, "an IPv4-compatible address"},
    {{[8] = 0xff, 0xff}, 96, "an IPv4-translated address"},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "a local translation address"},
    {{0x01}, 64, "a discard address"},
    {{0x20, 0x01}, 23, "an address for protocol assignments"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "a documentation address"},
    {{0x20, 0x02}, 16, "a 6to4 address"},
    {{0x3f, 0xff}, 20, "a documentation address"},
    {{0x3f, 0xfe}, 16, "a retired test address"},
    {{0xfc}, 7, "a private address"},
    {{0xfe, 0x80}, 10, "a link-local address"},
    {{0xfe, 0xc0}, 10, "a site-local address"},
    {{0xff}, 8, "a multicast address"},
};

#ifdef PPH_FAULTS
static _Atomic uint32_t pretended;

void pph_fetch_address_pretend(const char *text)
{
    struct in_addr address = {0};
    if (text)
        inet_pton(AF_INET, text, &address);
    atomic_store(&pretended, ntohl(address.s_addr));
}

static bool passes(uint32_t address)
{
    return address && address == atomic_load(&pretended);
}
#else
static inline bool passes(uint32_t address)
{
    (void)address;
    return false;
}
#endif

static const char *refusal4(uint32_t address)
{
    if (passes(address))
        return NULL;
    for (size_t i = 0; i < PPH_COUNT(special4); i++) {
        uint32_t mask = ~(uint32_t)0 << (32 - special4[i].bits);
        if ((address & mask) == special4[i].prefix)
            return special4[i].what;
    }
    return NULL;
}

static bool has_prefix(const uint8_t *address, const uint8_t *prefix, int bits)
{
    int bytes = bits / 8, rest = bits % 8;
    if (memcmp(address, prefix, (size_t)bytes))
        return false;
    return !rest || (address[bytes] ^ prefix[bytes]) >> (8 - rest) == 0;
}

static const char *refusal6(const uint8_t *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (has_prefix(a, mapped, 96) || has_prefix(a, nat64, 96))
        return refusal4(V4(a[12], a[13], a[14], a[15]));
    for (size_t i = 0; i < PPH_COUNT(special6); i++)
        if (has_prefix(a, special6[i].prefix, special6[i].bits))
            return special6[i].what;
    return (a[0] & 0xe0) == 0x20 ? NULL : "an address outside the global range";
}

const char *pph_fetch_address_refusal(const struct sockaddr *address, size_t size)
{
    /* Copied out: the caller's storage need not be aligned for the wider types. */
    if (size >= sizeof(struct sockaddr_in) && address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return refusal4(ntohl(v4.sin_addr.s_addr));
    }
    if (size >= sizeof(struct sockaddr_in6) && address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        if (v6.sin6_scope_id)
            return "an address with a zone";
        return refusal6(v6.sin6_addr.s6_addr);
    }
    return "not an internet address";
}

const char *pph_fetch_address_refusal_text(const char *text)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strchr(text, '%'))
        return "an address with a zone";
    if (inet_pton(AF_INET, text, &v4) == 1)
        return refusal4(ntohl(v4.s_addr));
    if (inet_pton(AF_INET6, text, &v6) == 1)
        return refusal6(v6.s6_addr);
    return "not an address";
}

void pph_fetch_address_print(const struct sockaddr *address, size_t size, char *text, size_t room)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    char full[INET6_ADDRSTRLEN] = "?";
    if (size >= sizeof v4 && address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, full, sizeof full);
    } else if (size >= sizeof v6 && address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, full, sizeof full);
    }
    snprintf(text, room, "%s", full);
}
