/* The door to giflib.
 *
 * The first frame, interlaced or not, on the file's screen (enlarged when the frame reaches past
 * it); transparent pixels and screen where no frame lies become white. Without any colour table the
 * indices are grey levels. Frames after the first are not read. No state. */
#include "image/formats.h"

#include "base/mem.h"
#include <stdbool.h>
#include <string.h>

#include <gif_lib.h>

enum {
    LZW_RATIO = 4096 * 8, /* a byte of LZW makes fewer pixels than this */
};

typedef struct reader {
    const uint8_t *bytes;
    size_t size, at;
    int transparent; /* the index, or -1 */
} reader;

static int read_bytes(GifFileType *gif, GifByteType *to, int count)
{
    reader *r = gif->UserData;
    size_t some = PPH_MIN((size_t)(count < 0 ? 0 : count), r->size - r->at);
    memcpy(to, r->bytes + r->at, some);
    r->at += some;
    return (int)some;
}

static void gif_close(GifFileType **gif)
{
    if (*gif)
        DGifCloseFile(*gif, NULL);
    *gif = NULL;
}

static pph_status fail(int code, const reader *r, pph_error *err)
{
    switch (code) {
    case D_GIF_ERR_NOT_ENOUGH_MEM:
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory to decode the GIF picture");
    case D_GIF_ERR_READ_FAILED:
    case D_GIF_ERR_EOF_TOO_SOON:
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the GIF picture is cut short: its %zu bytes end before the picture does",
                        r->size);
    default: {
        const char *reason = GifErrorString(code);
        return PPH_FAIL(err, PPH_CORRUPT, "the GIF picture cannot be decoded: %s",
                        reason ? reason : "it is damaged");
    }
    }
}

/* Graphic control extensions say which index is transparent; others are passed over. */
static int read_extension(GifFileType *gif, reader *r)
{
    int code;
    GifByteType *block; /* a length byte, then that many */
    int result = DGifGetExtension(gif, &code, &block);
    if (result == GIF_OK && code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4)
        r->transparent = block[1] & 1 ? block[4] : -1;
    while (result == GIF_OK && block)
        result = DGifGetExtensionNext(gif, &block);
    return result;
}

/* To the first frame's description. */
static pph_status find_frame(GifFileType *gif, reader *r, pph_error *err)
{
    for (;;) {
        GifRecordType kind;
        if (DGifGetRecordType(gif, &kind) != GIF_OK)
            return fail(gif->Error, r, err);
        if (kind == TERMINATE_RECORD_TYPE)
            return PPH_FAIL(err, PPH_CORRUPT, "the GIF file has no picture in it");
        if (kind == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(gif) == GIF_OK ? PPH_OK : fail(gif->Error, r, err);
        if (kind == EXTENSION_RECORD_TYPE && read_extension(gif, r) != GIF_OK)
            return fail(gif->Error, r, err);
    }
}

typedef struct palette {
    uint8_t rgb[256][3];
} palette;

static void read_palette(palette *out, const GifFileType *gif, int transparent)
{
    const ColorMapObject *map = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;
    for (int i = 0; i < 256; i++) {
        uint8_t grey = map ? 0 : (uint8_t)i;
        memset(out->rgb[i], grey, 3);
        if (map && i < map->ColorCount) {
            out->rgb[i][0] = map->Colors[i].Red;
            out->rgb[i][1] = map->Colors[i].Green;
            out->rgb[i][2] = map->Colors[i].Blue;
        }
    }
    if (transparent >= 0)
        memset(out->rgb[transparent], 255, 3);
}

static pph_status read_rows(pph_image *image, GifFileType *gif, const reader *r, pph_error *err)
{
    static const struct {
        size_t first, step;
    } passes[5] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}, {0, 1}};
    palette colours;
    read_palette(&colours, gif, r->transparent);
    size_t width = (size_t)gif->Image.Width, height = (size_t)gif->Image.Height;
    size_t left = (size_t)gif->Image.Left, top = (size_t)gif->Image.Top;
    PPH_AUTO(pph_free_at) uint8_t *indices = pph_alloc(width);
    if (!indices)
        return PPH_FAIL_MEMORY(err, width);
    int pass = gif->Image.Interlace ? 0 : 4, last = gif->Image.Interlace ? 3 : 4;
    for (; pass <= last; pass++)
        for (size_t y = passes[pass].first; y < height; y += passes[pass].step) {
            if (DGifGetLine(gif, indices, (int)width) != GIF_OK)
                return fail(gif->Error, r, err);
            uint8_t *to = image->rgb + ((top + y) * image->width + left) * 3;
            for (size_t x = 0; x < width; x++)
                memcpy(to + x * 3, colours.rgb[indices[x]], 3);
        }
    return PPH_OK;
}

pph_status pph_gif_decode(pph_image *out, int *orientation, const pph_encoded *in, pph_error *err)
{
    *orientation = 1;
    reader r = {in->bytes, in->size, 0, -1};
    int code = D_GIF_ERR_NOT_ENOUGH_MEM;
    PPH_AUTO(gif_close) GifFileType *gif = DGifOpen(&r, read_bytes, &code);
    if (!gif)
        return fail(code, &r, err);
    PPH_TRY(find_frame(gif, &r, err));
    const GifImageDesc *frame = &gif->Image;
    if (frame->Left < 0 || frame->Top < 0 || frame->Width <= 0 || frame->Height <= 0)
        return PPH_FAIL(err, PPH_CORRUPT, "the GIF picture's first frame has no pixels");
    uint64_t width = (uint64_t)PPH_MAX(gif->SWidth, frame->Left + frame->Width);
    uint64_t height = (uint64_t)PPH_MAX(gif->SHeight, frame->Top + frame->Height);
    PPH_TRY(pph_image_check("GIF", width, height, &in->options, err));
    if ((uint64_t)frame->Width * (uint64_t)frame->Height / LZW_RATIO > in->size)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the GIF picture says that it is %dx%d, which its %zu bytes cannot hold",
                        frame->Width, frame->Height, in->size);

    PPH_AUTO(pph_image_deinit) pph_image image = {0};
    PPH_TRY(pph_image_new(&image, (uint32_t)width, (uint32_t)height, err));
    memset(image.rgb, 255, (size_t)width * height * 3);
    PPH_TRY(read_rows(&image, gif, &r, err));
    /* Something must follow a whole frame, be it only the end mark. */
    GifRecordType next;
    if (DGifGetRecordType(gif, &next) != GIF_OK)
        return fail(gif->Error, &r, err);
    *out = image;
    image = (pph_image){0};
    return PPH_OK;
}
