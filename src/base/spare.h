/* Large blocks that are needed again and again for a moment: pictures, and their pixels. Fresh memory
 * comes from the system page by page, which for a picture can take longer than what is done with it;
 * so a few blocks that were given back are kept, PPH_SPARE_BYTES in all, for whoever needs one next.
 * Thread-safe. */
#ifndef PPH_BASE_SPARE_H
#define PPH_BASE_SPARE_H

#include <stddef.h>

enum {
    PPH_SPARE_LEAST = 64 << 10, /* smaller blocks are libc's alone */
    PPH_SPARE_BYTES = 32 << 20, /* that are kept at most */
};

/* `size` bytes, aligned to 64, of any content, which may be another's: all of it is to be written before it
 * is shown to anybody. NULL when there is no memory. Given back with pph_spare_give alone. */
void *pph_spare_take(size_t size);

/* NULL is nothing. */
void pph_spare_give(void *block);
/* For PPH_AUTO: *(void **)variable is given back, and NULL then. */
void pph_spare_give_at(void *variable);

/* Free what is kept. */
void pph_spare_trim(void);

/* Bytes that are kept now. */
size_t pph_spare_bytes(void);

#endif
