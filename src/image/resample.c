/* Resizing in two passes over kernels of the compute room.
 *
 * Owns the weights: which source pixels make an output pixel and how much each counts. They are
 * computed in double precision in one fixed order of operations and rounded to 22 bits, and the
 * picture between the passes is rounded to 8 bits; both belong to the result. Memory is that of the
 * result, of the rows between the passes, and of the weights: a border of the canvas is never
 * stored, and what a region does not need is never made. No state; any thread. */
#include "image/resample.h"

#include "base/mem.h"
#include "base/spare.h"
#include "compute/kernels.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    SLACK = 16,           /* bytes past its pixels that the across kernel may read */
    CHUNK = 8,            /* rows with a border that are laid out at a time */
    STRIP = 64,           /* columns likewise */
    TARGET_MAX = 1 << 26, /* edge of the whole resized picture, of which a region is made */
};

/* -- Filters: their reach on either side at scale 1, and their value at a distance. -- */

static double nothing(double x)
{
    (void)x;
    return 0;
}

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1 : 0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0)
        return 1;
    if (x >= 1)
        return 0;
    x *= M_PI;
    return sin(x) / x * (0.54 + 0.46 * cos(x));
}

/* Keys' cubic, by Horner's rule on each of its two pieces. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static double sinc(double x)
{
    if (x == 0)
        return 1;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
    double reach;
    double (*at)(double);
} filters[PPH_FILTER_COUNT] = {
    [PPH_FILTER_NEAREST] = {0, nothing},   [PPH_FILTER_LANCZOS] = {3, lanczos},
    [PPH_FILTER_BILINEAR] = {1, triangle}, [PPH_FILTER_BICUBIC] = {2, cubic},
    [PPH_FILTER_BOX] = {0.5, box},         [PPH_FILTER_HAMMING] = {1, hamming},
};

/* -- One axis of the job -- */

/* The outputs from .. from + count - 1 of `length` source pixels turned into `target`.
 * Sources begin .. end - 1 are all that these outputs need; span.first counts from `begin`. */
typedef struct axis {
    size_t from, count, begin, end, group_stride;
    pph_pixel_span *spans; /* [count] */
    uint32_t *taps;        /* [count]: of the span's groups, without the fill */
    int32_t *weights;      /* [count, group_stride, 4] */
} axis;

static void axis_deinit(axis *a)
{
    pph_free(a->spans);
    pph_free(a->taps);
    pph_free(a->weights);
    *a = (axis){0};
}

/* The taps of one output: the first source and how many; their weights, which sum to 1, to
 * `weights` unless that is NULL. */
static size_t reach_of(size_t output, size_t length, size_t target, pph_filter filter,
                       size_t *first, double *weights)
{
    double scale = (double)length / (double)target;
    double widening = scale < 1 ? 1 : scale;
    double reach = filters[filter].reach * widening;
    double centre = ((double)output + 0.5) * scale;
    double low = centre - reach + 0.5, high = centre + reach + 0.5;
    size_t begin = low < 0 ? 0 : (size_t)low;
    size_t end = high >= (double)length ? length : (size_t)high;
    *first = begin;
    if (!weights)
        return end - begin;

    double narrowing = 1 / widening, total = 0;
    for (size_t k = 0; k < end - begin; k++) {
        weights[k] = filters[filter].at(((double)(k + begin) - centre + 0.5) * narrowing);
        total += weights[k];
    }
    if (total != 0)
        for (size_t k = 0; k < end - begin; k++)
            weights[k] /= total;
    return end - begin;
}

static int32_t to_fixed(double weight)
{
    double scaled = weight * (1 << PPH_PIXELS_SHIFT);
    return (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

static pph_status axis_init(axis *out, size_t length, size_t target, size_t from, size_t count,
                            pph_filter filter, pph_error *err)
{
    PPH_AUTO(axis_deinit) axis a = {.from = from, .count = count};
    a.spans = pph_alloc_array(count, sizeof *a.spans);
    a.taps = pph_alloc_array(count, sizeof *a.taps);
    if (!a.spans || !a.taps)
        return PPH_FAIL_MEMORY(err, count * (sizeof *a.spans + sizeof *a.taps));

    size_t most = 1, first;
    for (size_t i = 0; i < count; i++) {
        size_t taps = reach_of(from + i, length, target, filter, &first, NULL);
        if (i == 0)
            a.begin = first;
        most = PPH_MAX(most, taps);
        a.end = PPH_MAX(a.end, first + taps);
        a.taps[i] = (uint32_t)taps;
        a.spans[i].first = (uint32_t)(first - a.begin);
        a.spans[i].groups = (uint32_t)((taps + 3) / 4);
    }
    a.group_stride = (most + 3) / 4;

    size_t groups;
    PPH_AUTO(pph_free_at) double *exact = pph_alloc_array(most, sizeof *exact);
    if (!exact || !pph_mul_size(count, a.group_stride, &groups))
        return PPH_FAIL_MEMORY(err, most * sizeof *exact);
    a.weights = pph_alloc_array(groups, 4 * sizeof *a.weights);
    if (!a.weights)
        return PPH_FAIL_MEMORY(err, groups * 4 * sizeof *a.weights);
    for (size_t i = 0; i < count; i++) {
        int32_t *fixed = a.weights + i * a.group_stride * 4;
        size_t taps = reach_of(from + i, length, target, filter, &first, exact);
        for (size_t k = 0; k < taps; k++)
            fixed[k] = to_fixed(exact[k]);
    }
    pph_kernels_get()->pixels.pack(a.weights, groups);
    *out = a;
    a = (axis){0};
    return PPH_OK;
}

/* -- The canvas -- */

pph_canvas pph_canvas_of(const pph_image *image)
{
    return (pph_canvas){.image = image, .width = image->width, .height = image->height};
}

static bool has_border(const pph_canvas *canvas)
{
    return canvas->width != canvas->image->width || canvas->height != canvas->image->height;
}

static const uint8_t *image_row(const pph_image *image, size_t y)
{
    return image->rgb + y * image->width * 3;
}

/* Is row y of the canvas all background? */
static bool row_is_plain(const pph_canvas *canvas, size_t y)
{
    return y < canvas->top || y - canvas->top >= canvas->image->height;
}

static void paint(uint8_t *out, size_t pixels, const uint8_t colour[3])
{
    for (size_t i = 0; i < pixels; i++)
        memcpy(out + i * 3, colour, 3);
}

/* Lay out pixels begin .. end - 1 of row y. */
static void lay_row(uint8_t *out, const pph_canvas *canvas, size_t y, size_t begin, size_t end)
{
    if (row_is_plain(canvas, y)) {
        paint(out, end - begin, canvas->background);
        return;
    }
    size_t left = canvas->left, right = left + canvas->image->width;
    size_t from = PPH_MIN(PPH_MAX(begin, left), end), to = PPH_MAX(PPH_MIN(end, right), from);
    paint(out, from - begin, canvas->background);
    if (to > from)
        memcpy(out + (from - begin) * 3,
               image_row(canvas->image, y - canvas->top) + (from - left) * 3, (to - from) * 3);
    paint(out + (to - begin) * 3, end - to, canvas->background);
}

/* -- The passes -- */

/* Rows begin .. end - 1 of the canvas, narrowed to `out`, rows `stride` bytes apart. */
typedef struct across_job {
    const pph_canvas *canvas;
    const axis *x;
    size_t begin, end, stride;
    uint8_t *out;
} across_job;

static void run_across(const across_job *job, uint8_t *out, const uint8_t *in, size_t in_stride,
                       size_t rows)
{
    pph_kernels_get()->pixels.across(out, job->stride, in, in_stride, rows, job->x->spans,
                                     job->x->weights, job->x->group_stride, job->x->count);
}

/* Straight from the picture; its last rows, past which the kernel would read beyond the pixels,
 * from a copy with room behind it. */
static pph_status across_direct(const across_job *job, pph_error *err)
{
    const pph_image *image = job->canvas->image;
    size_t stride = (size_t)image->width * 3, rows = job->end - job->begin;
    /* A group that begins within a row reads at most 16 bytes from its first tap; all of these lie
     * within the picture when this many rows follow. */
    size_t behind = SLACK / stride + 1;
    size_t left_over = image->height - job->end;
    size_t risky = PPH_MIN(left_over >= behind ? 0 : behind - left_over, rows);
    const uint8_t *in = image_row(image, job->begin) + job->x->begin * 3;
    if (rows > risky)
        run_across(job, job->out, in, stride, rows - risky);
    if (!risky)
        return PPH_OK;

    size_t bytes = risky * stride - job->x->begin * 3;
    PPH_AUTO(pph_free_at) uint8_t *copy = pph_alloc(bytes + SLACK);
    if (!copy)
        return PPH_FAIL_MEMORY(err, bytes + SLACK);
    memcpy(copy, in + (rows - risky) * stride, bytes);
    run_across(job, job->out + (rows - risky) * job->stride, copy, stride, risky);
    return PPH_OK;
}

/* The outputs *from .. *to - 1 have taps on the picture; all others are background alone. */
static void touched(const axis *x, const pph_canvas *canvas, size_t *from, size_t *to)
{
    size_t left = canvas->left, right = left + canvas->image->width;
    size_t low = 0, high = x->count;
    while (low < high && x->begin + x->spans[low].first + x->taps[low] <= left)
        low++;
    while (high > low && x->begin + x->spans[high - 1].first >= right)
        high--;
    *from = low;
    *to = high;
}

/* By way of a few rows laid out with their border. A row of background is made once; of the others,
 * only what the picture has a part in. */
static pph_status across_border(const across_job *job, pph_error *err)
{
    const pph_canvas *canvas = job->canvas;
    const axis *x = job->x;
    size_t from, to, begin = x->begin, end = x->end, stride = (end - begin) * 3 + SLACK;
    PPH_AUTO(pph_free_at) uint8_t *rows = pph_alloc_array(CHUNK, stride);
    PPH_AUTO(pph_free_at) uint8_t *plain = pph_alloc(x->count * 3);
    if (!rows || !plain)
        return PPH_FAIL_MEMORY(err, CHUNK * stride + x->count * 3);
    touched(x, canvas, &from, &to);
    for (size_t i = 0; i < CHUNK; i++)
        paint(rows + i * stride, end - begin, canvas->background);
    run_across(job, plain, rows, stride, 1);

    size_t left = PPH_MAX(begin, (size_t)canvas->left);
    size_t right = PPH_MIN(end, (size_t)canvas->left + canvas->image->width);
    for (size_t y = job->begin; y < job->end;) {
        uint8_t *out = job->out + (y - job->begin) * job->stride;
        memcpy(out, plain, x->count * 3);
        if (row_is_plain(canvas, y) || from == to) {
            y++;
            continue;
        }
        size_t count = 0;
        for (; count < CHUNK && y + count < job->end && !row_is_plain(canvas, y + count); count++) {
            memcpy(out + count * job->stride, plain, x->count * 3);
            if (left < right)
                memcpy(rows + count * stride + (left - begin) * 3,
                       image_row(canvas->image, y + count - canvas->top) +
                           (left - canvas->left) * 3,
                       (right - left) * 3);
        }
        pph_kernels_get()->pixels.across(out + from * 3, job->stride, rows, stride, count,
                                         x->spans + from, x->weights + from * x->group_stride * 4,
                                         x->group_stride, to - from);
        y += count;
    }
    return PPH_OK;
}

/* One pass down: rows y->begin onwards at `in` to y->count rows at `out`. */
static void run_down(uint8_t *out, size_t out_stride, const uint8_t *in, size_t in_stride,
                     const axis *y, size_t bytes)
{
    for (size_t i = 0; i < y->count; i++)
        pph_kernels_get()->pixels.down(out + i * out_stride, in + y->spans[i].first * in_stride,
                                       in_stride, y->taps[i], y->weights + i * y->group_stride * 4,
                                       bytes);
}

/* The canvas, columns x->begin .. x->end - 1, down to `out`: straight from the picture, or with a
 * border by way of a strip of columns at a time. */
static pph_status down_canvas(uint8_t *out, const pph_canvas *canvas, const axis *x, const axis *y,
                              pph_error *err)
{
    size_t stride = (x->end - x->begin) * 3;
    if (!has_border(canvas)) {
        run_down(out, stride, image_row(canvas->image, y->begin) + x->begin * 3,
                 (size_t)canvas->width * 3, y, stride);
        return PPH_OK;
    }
    size_t rows = y->end - y->begin;
    PPH_AUTO(pph_free_at) uint8_t *strip = pph_alloc_array(rows, STRIP * 3);
    if (!strip)
        return PPH_FAIL_MEMORY(err, rows * STRIP * 3);
    for (size_t from = x->begin; from < x->end; from += STRIP) {
        size_t to = PPH_MIN(from + STRIP, x->end);
        for (size_t i = 0; i < rows; i++)
            lay_row(strip + i * STRIP * 3, canvas, y->begin + i, from, to);
        run_down(out + (from - x->begin) * 3, stride, strip, (size_t)STRIP * 3, y, (to - from) * 3);
    }
    return PPH_OK;
}

static pph_status across_canvas(uint8_t *out, const pph_canvas *canvas, const axis *x,
                                const axis *y, pph_error *err)
{
    across_job job = {canvas, x, y->begin, y->end, x->count * 3, out};
    return has_border(canvas) ? across_border(&job, err) : across_direct(&job, err);
}

/* What lies between the passes: `rows` of `bytes`, and room for the across kernel behind them. */
static pph_status new_between(uint8_t **out, size_t rows, size_t bytes, pph_error *err)
{
    size_t size;
    if (!pph_mul_size(rows, bytes, &size) || !pph_add_size(size, SLACK, &size))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    *out = pph_spare_take(size);
    if (!*out)
        return PPH_FAIL_MEMORY(err, size);
    memset(*out + size - SLACK, 0, SLACK);
    return PPH_OK;
}

/* The order of the passes shows in the result, through the rounding between them. Pillow (since 13)
 * goes down first when the height shrinks by more than twice as many pixels as the width does. */
static bool goes_down_first(const pph_canvas *canvas, uint32_t width, uint32_t height)
{
    int64_t lost_height = (int64_t)canvas->height - height;
    int64_t lost_width = (int64_t)canvas->width - width;
    return lost_height > 0 && lost_height > 2 * lost_width;
}

static pph_status run_passes(pph_image *out, const pph_canvas *canvas, uint32_t width,
                             uint32_t height, const pph_region *region, pph_filter filter,
                             pph_error *err)
{
    PPH_AUTO(axis_deinit) axis x = {.begin = region->left, .end = region->left + region->width};
    PPH_AUTO(axis_deinit) axis y = {.begin = region->top, .end = region->top + region->height};
    bool narrow = width != canvas->width, lower = height != canvas->height;
    if (narrow)
        PPH_TRY(axis_init(&x, canvas->width, width, region->left, region->width, filter, err));
    if (lower)
        PPH_TRY(axis_init(&y, canvas->height, height, region->top, region->height, filter, err));
    if (!narrow && !lower) {
        for (size_t i = 0; i < region->height; i++)
            lay_row(out->rgb + i * region->width * 3, canvas, y.begin + i, x.begin, x.end);
        return PPH_OK;
    }
    if (!lower)
        return across_canvas(out->rgb, canvas, &x, &y, err);
    if (!narrow)
        return down_canvas(out->rgb, canvas, &x, &y, err);

    PPH_AUTO(pph_spare_give_at) uint8_t *between = NULL;
    if (goes_down_first(canvas, width, height)) {
        size_t bytes = (x.end - x.begin) * 3;
        PPH_TRY(new_between(&between, y.count, bytes, err));
        PPH_TRY(down_canvas(between, canvas, &x, &y, err));
        across_job job = {.x = &x, .stride = x.count * 3};
        run_across(&job, out->rgb, between, bytes, y.count);
        return PPH_OK;
    }
    size_t bytes = x.count * 3;
    PPH_TRY(new_between(&between, y.end - y.begin, bytes, err));
    PPH_TRY(across_canvas(between, canvas, &x, &y, err));
    run_down(out->rgb, bytes, between, bytes, &y, bytes);
    return PPH_OK;
}

/* Sources of the outputs from .. from + count - 1. The position advances by repeated addition,
 * whose roundings are part of the result. */
static uint32_t *nearest_sources(size_t length, size_t target, size_t from, size_t count,
                                 pph_error *err)
{
    uint32_t *sources = pph_alloc_array(count, sizeof *sources);
    if (!sources) {
        PPH_FAIL_MEMORY(err, count * sizeof *sources);
        return NULL;
    }
    double step = (double)length / (double)target, position = step * 0.5;
    for (size_t i = 0; i < from + count; i++, position += step)
        if (i >= from)
            sources[i - from] = position < (double)length ? (uint32_t)position : UINT32_MAX;
    return sources;
}

static pph_status run_nearest(pph_image *out, const pph_canvas *canvas, uint32_t width,
                              uint32_t height, const pph_region *region, pph_error *err)
{
    PPH_AUTO(pph_free_at)
    uint32_t *columns = nearest_sources(canvas->width, width, region->left, region->width, err);
    PPH_AUTO(pph_free_at)
    uint32_t *lines =
        columns ? nearest_sources(canvas->height, height, region->top, region->height, err) : NULL;
    if (!lines)
        return PPH_OUT_OF_MEMORY;
    PPH_AUTO(pph_free_at) uint8_t *row = pph_alloc_array(canvas->width, 3);
    if (!row)
        return PPH_FAIL_MEMORY(err, (size_t)canvas->width * 3);

    uint8_t *to = out->rgb;
    uint32_t laid = UINT32_MAX;
    for (size_t y = 0; y < region->height; y++) {
        if (lines[y] != UINT32_MAX && lines[y] != laid)
            lay_row(row, canvas, laid = lines[y], 0, canvas->width);
        for (size_t x = 0; x < region->width; x++, to += 3) {
            /* An output whose source rounds past the edge stays black. */
            if (lines[y] == UINT32_MAX || columns[x] == UINT32_MAX)
                memset(to, 0, 3);
            else
                memcpy(to, row + (size_t)columns[x] * 3, 3);
        }
    }
    return PPH_OK;
}

pph_status pph_resample_region(pph_image *out, const pph_canvas *canvas, uint32_t width,
                               uint32_t height, pph_region region, pph_filter filter,
                               pph_error *err)
{
    const pph_image *image = canvas->image;
    if (!image || !image->rgb || !image->width || !image->height)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "there is no picture to resize");
    if (canvas->left > canvas->width || canvas->top > canvas->height ||
        image->width > canvas->width - canvas->left ||
        image->height > canvas->height - canvas->top || canvas->width > PPH_IMAGE_EDGE_MAX ||
        canvas->height > PPH_IMAGE_EDGE_MAX)
        return PPH_FAIL(
            err, PPH_INVALID_ARGUMENT,
            "a picture of %ux%u at (%u, %u) does not lie on a canvas of %ux%u, with edges "
            "up to %d",
            image->width, image->height, canvas->left, canvas->top, canvas->width, canvas->height,
            PPH_IMAGE_EDGE_MAX);
    if (!width || !height || (unsigned)filter >= PPH_FILTER_COUNT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "cannot resize to %ux%u with filter %d", width,
                        height, (int)filter);
    if (width > TARGET_MAX || height > TARGET_MAX)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "a resized picture of %ux%u is too large: its edges may be up to %d", width,
                        height, TARGET_MAX);
    if (region.left > width || region.top > height || region.width > width - region.left ||
        region.height > height - region.top)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a region of %ux%u at (%u, %u) does not lie within %ux%u", region.width,
                        region.height, region.left, region.top, width, height);

    PPH_AUTO(pph_image_deinit) pph_image made = {0};
    PPH_TRY(pph_image_new(&made, region.width, region.height, err));
    bool same = width == canvas->width && height == canvas->height;
    if (filter == PPH_FILTER_NEAREST && !same)
        PPH_TRY(run_nearest(&made, canvas, width, height, &region, err));
    else
        PPH_TRY(run_passes(&made, canvas, width, height, &region, filter, err));
    *out = made;
    made = (pph_image){0};
    return PPH_OK;
}

pph_status pph_resample(pph_image *out, const pph_image *image, uint32_t width, uint32_t height,
                        pph_filter filter, pph_error *err)
{
    pph_canvas canvas = pph_canvas_of(image);
    return pph_resample_region(out, &canvas, width, height, (pph_region){0, 0, width, height},
                               filter, err);
}
