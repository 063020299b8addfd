/* Which network addresses are public: the ones that a server may reach at the wish of somebody
 * outside, without becoming a door into its own network. Stateless, any thread. */
#ifndef PPH_RUNTIME_FETCH_ADDRESS_H
#define PPH_RUNTIME_FETCH_ADDRESS_H

#include <stddef.h>

struct sockaddr;

/* NULL when `address` (of `size` bytes) is a public unicast address, else what it is instead, in a
 * few words for a message ("a private address"). What is not known to be public is not: families
 * other than IPv4 and IPv6, addresses with a zone, IPv6 outside 2000::/3. An IPv4 address inside an
 * IPv6 one (mapped, or of NAT64's well-known prefix) is judged as IPv4.
 * Source  IANA's special-purpose address registries (RFC 6890 and its updates) */
const char *pph_fetch_address_refusal(const struct sockaddr *address, size_t size);

/* The same for an address as text, without brackets ("127.0.0.1", "fe80::1%eth0"). Text that is no
 * address is "not an address". */
const char *pph_fetch_address_refusal_text(const char *text);

/* The address alone as text ("192.0.2.1", "2001:db8::1"), cut to fit; "?" for another family. */
void pph_fetch_address_print(const struct sockaddr *address, size_t size, char *text, size_t room);

#ifdef PPH_FAULTS
/* Test builds: this one IPv4 address passes for public; NULL takes that back. Tests of what public
 * addresses may do have no other server to do it with. */
void pph_fetch_address_pretend(const char *text);
#endif

#endif
