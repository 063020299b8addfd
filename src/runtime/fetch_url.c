/* Addresses: what is one, and how it may be shown. Also starts libcurl, whose parser it uses, so
 * that what is checked is what libcurl will connect to. Refuses other schemes and control
 * characters; never lets a password into a message. Any thread. */
#include "runtime/fetch_curl.h"

#include "base/mem.h"
#include "base/str.h"
#include "runtime/fetch_gate.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { longest_url = 16384 };

static void *heap_malloc(size_t size)
{
    return pph_alloc(size);
}

static void *heap_realloc(void *old, size_t size)
{
    return pph_resize(old, 1, size);
}

static void *heap_calloc(size_t count, size_t size)
{
    return pph_alloc_array(count, size);
}

static char *heap_strdup(const char *text)
{
    return pph_str_copy(pph_str_view(text));
}

pph_status pph_fetch_curl_init(pph_error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool ready;
    pthread_mutex_lock(&lock);
    CURLcode code = CURLE_OK;
    if (!ready)
        code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, heap_malloc, pph_free, heap_realloc,
                                    heap_strdup, heap_calloc);
    if (!ready && code == CURLE_OK)
        pph_fetch_gate_install();
    ready = ready || code == CURLE_OK;
    pthread_mutex_unlock(&lock);
    if (code == CURLE_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the HTTP client");
    if (code != CURLE_OK)
        return PPH_FAIL(err, PPH_INTERNAL, "the HTTP client does not start: %s",
                        curl_easy_strerror(code));
    return PPH_OK;
}

/* Printable, and cut to fit at the border of a character. */
static void show(const char *text, char shown[PPH_FETCH_SHOWN])
{
    enum { room = 200 };
    size_t size = 0;
    for (; text[size] && size < room; size++) {
        unsigned char c = (unsigned char)text[size];
        shown[size] = (char)(c < ' ' || c == 0x7f ? '?' : c);
    }
    bool cut = text[size] != 0;
    while (cut && size && ((unsigned char)text[size] & 0xC0) == 0x80)
        size--;
    snprintf(shown + size, PPH_FETCH_SHOWN - size, "%s", cut ? "..." : "");
}

/* For text that is no address, so that nobody knows where a password would be in it: everything up
 * to its last '@' is left out. */
static void show_raw(const char *url, char shown[PPH_FETCH_SHOWN])
{
    const char *at = strrchr(url, '@');
    show(at ? at + 1 : url, shown);
}

static void free_url(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void free_part(char **part)
{
    curl_free(*part);
}

static pph_status fail_url(CURLUcode code, const char *shown, pph_error *err)
{
    if (code == CURLUE_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for an address");
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: not an address (%s); write http://host/path",
                    shown, curl_url_strerror(code));
}

static CURLUcode drop_secrets(CURLU *url)
{
    CURLUcode code = curl_url_set(url, CURLUPART_USER, NULL, 0);
    code = code ? code : curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    return code ? code : curl_url_set(url, CURLUPART_OPTIONS, NULL, 0);
}

/* The whole of `parsed` into *ready (heap), and its public form into `shown`. */
static pph_status give(CURLU *parsed, char **ready, char shown[PPH_FETCH_SHOWN], pph_error *err)
{
    PPH_AUTO(free_part) char *whole = NULL;
    PPH_AUTO(free_part) char *open = NULL;
    CURLUcode code = curl_url_get(parsed, CURLUPART_URL, &whole, 0);
    code = code ? code : drop_secrets(parsed);
    code = code ? code : curl_url_get(parsed, CURLUPART_URL, &open, 0);
    if (code)
        return fail_url(code, shown, err);
    show(open, shown);
    *ready = pph_str_copy(pph_str_view(whole));
    return *ready ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(whole) + 1);
}

pph_status pph_fetch_url_check(const char *base, const char *url, char **ready,
                               char shown[PPH_FETCH_SHOWN], pph_error *err)
{
    size_t size = strlen(url);
    show_raw(url, shown);
    if (size > longest_url)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%s: an address of %zu bytes; at most %d are taken", shown, size,
                        longest_url);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)url[i] < ' ' || url[i] == 0x7f)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "%s: a control character in the address, at offset %zu", shown, i);
    PPH_AUTO(free_url) CURLU *parsed = curl_url();
    if (!parsed)
        return fail_url(CURLUE_OUT_OF_MEMORY, shown, err);
    CURLUcode code = base ? curl_url_set(parsed, CURLUPART_URL, base, 0) : CURLUE_OK;
    code =
        code ? code
             : curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE);
    if (code)
        return fail_url(code, shown, err);
    PPH_AUTO(free_part) char *scheme = NULL;
    PPH_AUTO(free_part) char *host = NULL;
    code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
    if (code)
        return fail_url(code, shown, err);
    if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%s: the scheme is \"%.20s\"; only http and https are fetched", shown,
                        scheme);
    code = curl_url_get(parsed, CURLUPART_HOST, &host, 0);
    code = code ? code : curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0);
    return code ? fail_url(code, shown, err) : give(parsed, ready, shown, err);
}

char *pph_fetch_url_public(const char *ready)
{
    PPH_AUTO(free_url) CURLU *parsed = curl_url();
    PPH_AUTO(free_part) char *open = NULL;
    if (!parsed || curl_url_set(parsed, CURLUPART_URL, ready, 0) || drop_secrets(parsed) ||
        curl_url_get(parsed, CURLUPART_URL, &open, 0))
        return NULL;
    return pph_str_copy(pph_str_view(open));
}

bool pph_fetch_url_same_place(const char *ready, const char *other)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    PPH_AUTO(free_url) CURLU *one = curl_url();
    PPH_AUTO(free_url) CURLU *two = curl_url();
    if (!one || !two || curl_url_set(one, CURLUPART_URL, ready, 0) ||
        curl_url_set(two, CURLUPART_URL, other, 0))
        return false;
    for (size_t i = 0; i < PPH_COUNT(parts); i++) {
        PPH_AUTO(free_part) char *left = NULL;
        PPH_AUTO(free_part) char *right = NULL;
        if (curl_url_get(one, parts[i], &left, CURLU_DEFAULT_PORT) ||
            curl_url_get(two, parts[i], &right, CURLU_DEFAULT_PORT) || strcasecmp(left, right) != 0)
            return false;
    }
    return true;
}
