/* The door to libwebp and its demultiplexer.
 *
 * Lossy, lossless, with alpha; of an animation the first frame, on its canvas. The canvas where no
 * frame lies is white, like everything transparent. The file must be whole. The libraries allocate
 * by themselves; they have no hooks. No state. */
#include "image/exif.h"
#include "image/formats.h"

#include "base/mem.h"
#include "base/spare.h"
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

typedef struct file {
    WebPDemuxer *demuxer;
    WebPIterator frame;
    WebPChunkIterator exif;
} file;

static void file_close(file *f)
{
    WebPDemuxReleaseChunkIterator(&f->exif);
    WebPDemuxReleaseIterator(&f->frame);
    WebPDemuxDelete(f->demuxer);
}

static pph_status fail(VP8StatusCode code, pph_error *err)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory to decode the WebP picture");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return PPH_FAIL(err, PPH_UNSUPPORTED, "the WebP picture has a feature that is not read");
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return PPH_FAIL(err, PPH_CORRUPT, "the WebP picture is cut short");
    default:
        return PPH_FAIL(err, PPH_CORRUPT, "the WebP picture is damaged");
    }
}

/* The frame's pixels in rows of `stride` bytes, RGB or RGBA. */
static pph_status decode_frame(const file *f, WEBP_CSP_MODE mode, uint8_t *pixels, size_t stride,
                               pph_error *err)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return PPH_FAIL(err, PPH_INTERNAL, "libwebp is of another version than its headers");
    config.output.colorspace = mode;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = stride * (size_t)(f->frame.height - 1) +
                                (size_t)f->frame.width * (mode == MODE_RGBA ? 4 : 3);
    VP8StatusCode code = WebPDecode(f->frame.fragment.bytes, f->frame.fragment.size, &config);
    WebPFreeDecBuffer(&config.output);
    return code == VP8_STATUS_OK ? PPH_OK : fail(code, err);
}

static pph_status place_frame(pph_image *image, const file *f, pph_error *err)
{
    size_t stride = (size_t)image->width * 3;
    size_t width = (size_t)f->frame.width, height = (size_t)f->frame.height;
    if (width < image->width || height < image->height)
        memset(image->rgb, 255, stride * image->height);
    uint8_t *to = image->rgb + (size_t)f->frame.y_offset * stride + (size_t)f->frame.x_offset * 3;
    if (!f->frame.has_alpha)
        return decode_frame(f, MODE_RGB, to, stride, err);

    PPH_AUTO(pph_spare_give_at) uint8_t *rgba = pph_spare_take(width * height * 4);
    if (!rgba)
        return PPH_FAIL_MEMORY(err, width * height * 4);
    PPH_TRY(decode_frame(f, MODE_RGBA, rgba, width * 4, err));
    for (size_t y = 0; y < height; y++)
        pph_image_flatten(to + y * stride, rgba + y * width * 4, width);
    return PPH_OK;
}

pph_status pph_webp_decode(pph_image *out, int *orientation, const pph_encoded *in, pph_error *err)
{
    WebPData data = {in->bytes, in->size};
    PPH_AUTO(file_close) file f = {0};
    WebPDemuxState state;
    f.demuxer = WebPDemuxPartial(&data, &state);
    if (!f.demuxer)
        return PPH_FAIL(
            err, PPH_CORRUPT,
            "the WebP picture is damaged or cut short: its %zu bytes have no whole header",
            in->size);
    if (state != WEBP_DEMUX_PARSING_HEADER && state != WEBP_DEMUX_PARSE_ERROR)
        PPH_TRY(pph_image_check("WebP", WebPDemuxGetI(f.demuxer, WEBP_FF_CANVAS_WIDTH),
                                WebPDemuxGetI(f.demuxer, WEBP_FF_CANVAS_HEIGHT), &in->options,
                                err));
    if (state != WEBP_DEMUX_DONE || !WebPDemuxGetFrame(f.demuxer, 1, &f.frame) || !f.frame.complete)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the WebP picture is damaged or cut short: its %zu bytes end before the "
                        "picture does",
                        in->size);

    PPH_AUTO(pph_image_deinit) pph_image image = {0};
    PPH_TRY(pph_image_new(&image, WebPDemuxGetI(f.demuxer, WEBP_FF_CANVAS_WIDTH),
                          WebPDemuxGetI(f.demuxer, WEBP_FF_CANVAS_HEIGHT), err));
    PPH_TRY(place_frame(&image, &f, err));
    if (WebPDemuxGetChunk(f.demuxer, "EXIF", 1, &f.exif))
        *orientation = pph_exif_orientation(f.exif.chunk.bytes, f.exif.chunk.size);
    *out = image;
    image = (pph_image){0};
    return PPH_OK;
}
