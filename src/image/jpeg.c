/* The door to libjpeg-turbo.
 *
 * Decodes with the library's exact integer transform and its smooth upsampling, which is what
 * Pillow does, so the pixels are the same. Refuses pictures that end before their end marker or
 * whose data end early, over-long series of scans, and sizes over the limits. The library reports
 * failure by calling back, and the callback leaves by longjmp to decode_guarded; everything that
 * must be given back lives in `job`, which belongs to the caller of that function. No state. */
#include "image/exif.h"
#include "image/formats.h"

#include "base/mem.h"
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum {
    SCANS_MIN = 16,              /* allowed at any size; real progressive pictures have about 10 */
    SCANS_MAX = 100,             /* allowed at most */
    SCANNED_PIXELS = 2000000000, /* pixels times scans, between the two */
    ROWS = 16,                   /* lines asked for at a time */
};

typedef struct job {
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    const pph_encoded *in;
    pph_error *err;
    pph_status status;
    pph_image image;
    uint8_t *cmyk; /* [ROWS, X, 4], for pictures in CMYK */
    int orientation;
    int scans; /* allowed */
} job;

static _Noreturn void leave(job *j, pph_status status)
{
    j->status = status;
    longjmp(j->back, 1);
}

static pph_status status_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return PPH_OUT_OF_MEMORY;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
        return PPH_UNSUPPORTED;
    case JERR_IMAGE_TOO_BIG:
        return PPH_TOO_LARGE;
    default:
        return PPH_CORRUPT;
    }
}

static void on_error(j_common_ptr codec)
{
    job *j = codec->client_data;
    char text[JMSG_LENGTH_MAX];
    codec->err->format_message(codec, text);
    leave(j, PPH_FAIL(j->err, status_of(codec->err->msg_code),
                      "the JPEG picture cannot be decoded: %s", text));
}

static void on_short(job *j)
{
    leave(j, PPH_FAIL(j->err, PPH_CORRUPT,
                      "the JPEG picture is cut short: its %zu bytes end before the picture does",
                      j->in->size));
}

/* Warnings pass, as they do elsewhere, but for those that mean missing pixels. */
static void on_message(j_common_ptr codec, int level)
{
    if (level >= 0)
        return;
    codec->err->num_warnings++;
    job *j = codec->client_data;
    if (codec->err->msg_code == JWRN_HIT_MARKER || codec->err->msg_code == JWRN_JPEG_EOF)
        leave(j, PPH_FAIL(j->err, PPH_CORRUPT,
                          "the JPEG picture is damaged: a part of its pixels is missing"));
}

static void on_output(j_common_ptr codec)
{
    (void)codec;
}

static void source_begin(j_decompress_ptr codec)
{
    (void)codec;
}

static boolean source_fill(j_decompress_ptr codec)
{
    on_short(codec->client_data);
    return FALSE;
}

static void source_skip(j_decompress_ptr codec, long count)
{
    if (count <= 0)
        return;
    if ((unsigned long)count > codec->src->bytes_in_buffer)
        on_short(codec->client_data);
    codec->src->next_input_byte += count;
    codec->src->bytes_in_buffer -= (size_t)count;
}

static void source_end(j_decompress_ptr codec)
{
    (void)codec;
}

/* A few bytes of a scan can ask for a walk over the whole picture: bound the number of scans. */
static void on_progress(j_common_ptr codec)
{
    job *j = codec->client_data;
    if (j->codec.input_scan_number > j->scans)
        leave(j, PPH_FAIL(j->err, PPH_TOO_LARGE,
                          "the JPEG picture has more than %d scans: save it anew", j->scans));
}

static void read_orientation(job *j)
{
    static const char name[6] = "Exif\0";
    for (jpeg_saved_marker_ptr m = j->codec.marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= sizeof name &&
            memcmp(m->data, name, sizeof name) == 0) {
            j->orientation = pph_exif_orientation(m->data, m->data_length);
            return;
        }
}

/* CMYK in JPEG files is stored inverted (as Adobe does): 255 is no ink. The product of two bytes is
 * divided by 255 and rounded. */
static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++, rgb += 3, cmyk += 4) {
        unsigned light = cmyk[3];
        for (int c = 0; c < 3; c++) {
            unsigned product = (255u - cmyk[c]) * light + 128;
            rgb[c] = (uint8_t)(light - ((product + (product >> 8)) >> 8));
        }
    }
}

static void read_rows(job *j)
{
    struct jpeg_decompress_struct *codec = &j->codec;
    size_t width = codec->output_width;
    while (codec->output_scanline < codec->output_height) {
        JSAMPROW rows[ROWS];
        size_t first = codec->output_scanline;
        for (size_t i = 0; i < ROWS; i++) {
            size_t y = PPH_MIN(first + i, (size_t)codec->output_height - 1);
            rows[i] = j->cmyk ? j->cmyk + i * width * 4 : j->image.rgb + y * width * 3;
        }
        size_t left = codec->output_height - first;
        size_t got = jpeg_read_scanlines(codec, rows, (JDIMENSION)PPH_MIN(left, (size_t)ROWS));
        if (j->cmyk)
            cmyk_to_rgb(j->image.rgb + first * width * 3, j->cmyk, got * width);
    }
}

static void choose_colours(job *j)
{
    struct jpeg_decompress_struct *codec = &j->codec;
    switch (codec->jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
        codec->out_color_space = JCS_RGB;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        codec->out_color_space = JCS_CMYK;
        break;
    default:
        leave(j, PPH_FAIL(j->err, PPH_UNSUPPORTED,
                          "the JPEG picture has %d colour components: 1, 3 and 4 are read",
                          codec->num_components));
    }
}

/* A half, a quarter or an eighth of the size, where that is enough. Not of narrow pictures, of which the
 * padding of the last blocks would be a good part. */
static void choose_scale(job *j)
{
    enum { NARROW = 32 };
    struct jpeg_decompress_struct *codec = &j->codec;
    uint64_t longer = PPH_MAX(codec->image_width, codec->image_height);
    uint64_t shorter = PPH_MIN(codec->image_width, codec->image_height);
    uint64_t enough = j->in->options.enough;
    codec->scale_num = codec->scale_denom = 1;
    while (enough && codec->scale_denom < 8 && longer / (2 * codec->scale_denom) >= enough &&
           shorter / (2 * codec->scale_denom) >= NARROW)
        codec->scale_denom *= 2;
}

static void decode_steps(job *j)
{
    struct jpeg_decompress_struct *codec = &j->codec;
    jpeg_create_decompress(codec);
    codec->src = &j->source;
    codec->progress = &j->progress;
    jpeg_save_markers(codec, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(codec, TRUE);
    uint64_t width = codec->image_width, height = codec->image_height;
    pph_status status = pph_image_check("JPEG", width, height, &j->in->options, j->err);
    if (status != PPH_OK)
        leave(j, status);
    /* Coefficients of a progressive picture: four components of 16 bits at most, and some room. */
    codec->mem->max_memory_to_use = (long)((width + 64) * (height + 64) * 8 + ((uint64_t)64 << 20));
    j->scans = (int)PPH_MAX(PPH_MIN(SCANNED_PIXELS / (width * height), SCANS_MAX), SCANS_MIN);
    choose_colours(j);
    read_orientation(j);
    choose_scale(j);

    jpeg_start_decompress(codec);
    if (codec->out_color_space == JCS_CMYK) {
        size_t bytes = (size_t)codec->output_width * 4 * ROWS;
        j->cmyk = pph_alloc(bytes);
        if (!j->cmyk)
            leave(j, PPH_FAIL_MEMORY(j->err, bytes));
    }
    status = pph_image_new(&j->image, codec->output_width, codec->output_height, j->err);
    if (status != PPH_OK)
        leave(j, status);
    read_rows(j);
    jpeg_finish_decompress(codec);
}

/* Apart from its caller, so that no variable lives across the jump. */
static void decode_guarded(job *j)
{
    if (setjmp(j->back) == 0)
        decode_steps(j);
}

pph_status pph_jpeg_decode(pph_image *out, int *orientation, const pph_encoded *in, pph_error *err)
{
    job j = {.in = in, .err = err, .orientation = 1};
    j.codec.err = jpeg_std_error(&j.errors);
    j.codec.client_data = &j;
    j.errors.error_exit = on_error;
    j.errors.emit_message = on_message;
    j.errors.output_message = on_output;
    j.progress.progress_monitor = on_progress;
    j.source = (struct jpeg_source_mgr){.next_input_byte = in->bytes,
                                        .bytes_in_buffer = in->size,
                                        .init_source = source_begin,
                                        .fill_input_buffer = source_fill,
                                        .skip_input_data = source_skip,
                                        .resync_to_restart = jpeg_resync_to_restart,
                                        .term_source = source_end};
    decode_guarded(&j);
    jpeg_destroy_decompress(&j.codec);
    pph_free(j.cmyk);
    if (j.status != PPH_OK) {
        pph_image_deinit(&j.image);
        return j.status;
    }
    *out = j.image;
    *orientation = j.orientation;
    return PPH_OK;
}

/* ---- encoding ---- */

typedef struct encoding {
    struct jpeg_compress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr sink;
    jmp_buf back;
    const pph_image *image;
    int quality;
    pph_buffer *out;
    pph_error *err;
    pph_status status;
    uint8_t block[4096];
} encoding;

static void on_encode_error(j_common_ptr codec)
{
    encoding *e = codec->client_data;
    char text[JMSG_LENGTH_MAX];
    codec->err->format_message(codec, text);
    e->status = PPH_FAIL(e->err,
                         status_of(codec->err->msg_code) == PPH_OUT_OF_MEMORY ? PPH_OUT_OF_MEMORY
                                                                              : PPH_INTERNAL,
                         "the picture cannot be encoded: %s", text);
    longjmp(e->back, 1);
}

static void on_encode_message(j_common_ptr codec, int level)
{
    (void)codec;
    (void)level;
}

static void sink_begin(j_compress_ptr codec)
{
    encoding *e = codec->client_data;
    e->sink.next_output_byte = e->block;
    e->sink.free_in_buffer = sizeof e->block;
}

static void sink_put(encoding *e, size_t size)
{
    e->status = pph_buffer_append(e->out, e->block, size, e->err);
    if (e->status != PPH_OK)
        longjmp(e->back, 1);
}

/* The block is full, whatever is said to be free in it. */
static boolean sink_empty(j_compress_ptr codec)
{
    encoding *e = codec->client_data;
    sink_put(e, sizeof e->block);
    sink_begin(codec);
    return TRUE;
}

static void sink_end(j_compress_ptr codec)
{
    encoding *e = codec->client_data;
    sink_put(e, sizeof e->block - e->sink.free_in_buffer);
}

static void encode_steps(encoding *e)
{
    struct jpeg_compress_struct *codec = &e->codec;
    jpeg_create_compress(codec);
    codec->dest = &e->sink;
    codec->image_width = e->image->width;
    codec->image_height = e->image->height;
    codec->input_components = 3;
    codec->in_color_space = JCS_RGB;
    jpeg_set_defaults(codec);
    jpeg_set_quality(codec, e->quality, TRUE);
    codec->optimize_coding = TRUE;
    jpeg_start_compress(codec, TRUE);
    while (codec->next_scanline < codec->image_height) {
        JSAMPROW row = e->image->rgb + (size_t)codec->next_scanline * e->image->width * 3;
        jpeg_write_scanlines(codec, &row, 1);
    }
    jpeg_finish_compress(codec);
}

static void encode_guarded(encoding *e)
{
    if (setjmp(e->back) == 0)
        encode_steps(e);
}

pph_status pph_jpeg_encode(pph_buffer *out, const pph_image *image, int quality, pph_error *err)
{
    encoding e = {.image = image, .quality = quality, .out = out, .err = err};
    e.codec.err = jpeg_std_error(&e.errors);
    e.codec.client_data = &e;
    e.errors.error_exit = on_encode_error;
    e.errors.emit_message = on_encode_message;
    e.errors.output_message = on_output;
    e.sink = (struct jpeg_destination_mgr){.init_destination = sink_begin,
                                           .empty_output_buffer = sink_empty,
                                           .term_destination = sink_end};
    encode_guarded(&e);
    jpeg_destroy_compress(&e.codec);
    return e.status;
}
