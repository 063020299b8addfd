/* The door to oneDNN.
 *
 * oneDNN compiles a primitive for every shape. The packed form of the weights is asked for once, and
 * every primitive of this matrix is then made for that form. Primitives are kept in a small table,
 * the least recently used making way; a primitive in use is counted and outlives its place. oneDNN
 * itself shares compiled code between matrices of one shape.
 *
 * Threads: Debian's oneDNN sits on OpenMP, which would start a pool of threads for every thread that
 * calls. Its number of threads is a setting of the calling thread, so we set it to one for the time
 * of a call and put it back. */
#include "compute/matmul.h"

#include "base/mem.h"
#include "compute/hugepage.h"
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <string.h>

/* Of libgomp; its header is not on clang's path. */
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int count);

/* PRIMITIVES: shapes kept a matrix. LIBRARY: compiled shapes that oneDNN keeps in all, at some
 * 150 KB each; its own default of 1024 would cost more memory than most models. */
enum { PRIMITIVES = 16, LIBRARY = 192 };

typedef struct shape {
    size_t rows, outputs, x_stride, y_stride;
    pph_dtype y_type;
    bool accumulate;
} shape;

typedef struct prepared {
    shape shape;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t x, y, weights, bias, scratch;
    uint64_t used; /* by the cache's clock */
    int users;     /* threads that run it, and one for its place in the table */
} prepared;

typedef struct cache {
    pthread_mutex_t lock;
    uint64_t clock;
    prepared *entry[PRIMITIVES];
} cache;

struct pph_matmul {
    dnnl_data_type_t type;
    size_t inputs, outputs;
    pph_activation activation;
    dnnl_engine_t engine;
    dnnl_memory_desc_t weights_form, bias_form;
    void *weights; /* packed */
    float *bias;   /* [outputs], or NULL */
    size_t grain, bytes;
    cache *cache;
};

static dnnl_data_type_t type_of(pph_dtype type)
{
    switch (type) {
    case PPH_F32:
        return dnnl_f32;
    case PPH_BF16:
        return dnnl_bf16;
    case PPH_I8:
        return dnnl_s8;
    case PPH_I32:
        return dnnl_s32;
    default:
        return dnnl_data_type_undef;
    }
}

static size_t element_of(dnnl_data_type_t type)
{
    return type == dnnl_f32 ? 4 : type == dnnl_bf16 ? 2 : 1;
}

static pph_status translate(dnnl_status_t status, const char *what, pph_error *err)
{
    switch (status) {
    case dnnl_success:
        return PPH_OK;
    case dnnl_out_of_memory:
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for a matrix product (%s)", what);
    case dnnl_unimplemented:
        return PPH_FAIL(err, PPH_UNSUPPORTED, "this processor lacks a matrix product (%s)", what);
    default:
        return PPH_FAIL(err, PPH_INTERNAL, "oneDNN: %s failed with status %d", what, (int)status);
    }
}

/* Give oneDNN one thread; returns what the calling thread had. */
static int alone(void)
{
    int before = omp_get_max_threads();
    if (before != 1)
        omp_set_num_threads(1);
    return before;
}

static void together(int before)
{
    if (before != 1)
        omp_set_num_threads(before);
}

static dnnl_status_t add_activation(dnnl_post_ops_t operations, pph_activation activation)
{
    switch (activation) {
    case PPH_ACT_GELU_ERF:
        return dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_gelu_erf, 0, 0);
    case PPH_ACT_GELU_TANH:
        return dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_gelu_tanh, 0, 0);
    case PPH_ACT_QUICK_GELU:
        return dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_swish, 1.702F, 0);
    case PPH_ACT_SILU:
        return dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_swish, 1, 0);
    case PPH_ACT_RELU:
        return dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_relu, 0, 0);
    default:
        return dnnl_success;
    }
}

static dnnl_status_t attributes(dnnl_primitive_attr_t *out, pph_activation activation,
                                bool accumulate)
{
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (!status)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (!status)
        status = dnnl_post_ops_create(&operations);
    if (!status)
        status = add_activation(operations, activation);
    if (!status && accumulate)
        status = dnnl_post_ops_append_sum(operations, 1);
    if (!status)
        status = dnnl_primitive_attr_set_post_ops(*out, operations);
    dnnl_post_ops_destroy(operations);
    return status;
}

/* Outputs of a block of the packed form. */
static size_t block_of(const dnnl_memory_desc_t *form)
{
    size_t block = 1;
    for (int i = 0; i < form->format_desc.blocking.inner_nblks; i++)
        if (form->format_desc.blocking.inner_idxs[i] == 1)
            block *= (size_t)form->format_desc.blocking.inner_blks[i];
    return block;
}

/* The packed form of some of the outputs: the same blocks, fewer of them. */
static dnnl_memory_desc_t part_of(const dnnl_memory_desc_t *form, size_t outputs)
{
    dnnl_memory_desc_t part = *form;
    size_t block = block_of(form);
    part.dims[1] = (dnnl_dim_t)outputs;
    part.padded_dims[1] = (dnnl_dim_t)((outputs + block - 1) / block * block);
    return part;
}

/* The description of a product of `rows` rows; weights as *form says. */
static dnnl_status_t describe(dnnl_primitive_desc_t *out, const pph_matmul *matmul,
                              const shape *want, const dnnl_memory_desc_t *form, prepared *p)
{
    dnnl_dim_t rows = (dnnl_dim_t)want->rows;
    const dnnl_dims_t x_size = {rows, (dnnl_dim_t)matmul->inputs};
    const dnnl_dims_t y_size = {rows, (dnnl_dim_t)want->outputs};
    const dnnl_dims_t x_strides = {(dnnl_dim_t)want->x_stride, 1};
    const dnnl_dims_t y_strides = {(dnnl_dim_t)want->y_stride, 1};
    /* Signed by signed bytes would have oneDNN keep sums beside the packed weights. */
    dnnl_data_type_t x_type = matmul->type == dnnl_s8 ? dnnl_u8 : matmul->type;
    const dnnl_dims_t bias = {1, (dnnl_dim_t)want->outputs};
    dnnl_memory_desc_t bias_form;
    dnnl_matmul_desc_t product;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&p->x, 2, x_size, x_type, x_strides);
    if (!status)
        status =
            dnnl_memory_desc_init_by_strides(&p->y, 2, y_size, type_of(want->y_type), y_strides);
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&bias_form, 2, bias, dnnl_f32, dnnl_ab);
    if (!status)
        status =
            dnnl_matmul_desc_init(&product, &p->x, form, matmul->bias ? &bias_form : NULL, &p->y);
    if (!status)
        status = attributes(&attr, matmul->activation, want->accumulate);
    if (!status)
        status = dnnl_primitive_desc_create(out, &product, attr, matmul->engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static void drop(prepared *p)
{
    dnnl_primitive_destroy(p->primitive);
    pph_free(p);
}

static pph_status prepare(prepared **out, const pph_matmul *matmul, const shape *want,
                          pph_error *err)
{
    prepared *p = pph_alloc(sizeof *p);
    if (!p)
        return PPH_FAIL_MEMORY(err, sizeof *p);
    p->shape = *want;
    dnnl_primitive_desc_t description = NULL;
    p->weights = want->outputs == matmul->outputs ? matmul->weights_form
                                                  : part_of(&matmul->weights_form, want->outputs);
    p->bias = matmul->bias_form;
    p->bias.dims[1] = p->bias.padded_dims[1] = (dnnl_dim_t)want->outputs;
    dnnl_status_t status = describe(&description, matmul, want, &p->weights, p);
    if (!status) {
        p->scratch = *dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
        status = dnnl_primitive_create(&p->primitive, description);
    }
    dnnl_primitive_desc_destroy(description);
    if (status) {
        pph_free(p);
        return translate(status, "compiling", err);
    }
    *out = p;
    return PPH_OK;
}

static bool same(const shape *a, const shape *b)
{
    return a->rows == b->rows && a->outputs == b->outputs && a->x_stride == b->x_stride &&
           a->y_stride == b->y_stride && a->y_type == b->y_type && a->accumulate == b->accumulate;
}

/* Under the lock: the entry of this shape, with a user added, or NULL. */
static prepared *find(cache *c, const shape *want)
{
    for (size_t i = 0; i < PRIMITIVES; i++)
        if (c->entry[i] && same(&c->entry[i]->shape, want)) {
            c->entry[i]->used = ++c->clock;
            c->entry[i]->users++;
            return c->entry[i];
        }
    return NULL;
}

/* Under the lock: put *p in the place that was used longest ago; returns what must be dropped. */
static prepared *place(cache *c, prepared *p)
{
    size_t oldest = 0;
    for (size_t i = 0; i < PRIMITIVES && c->entry[oldest]; i++)
        if (!c->entry[i] || c->entry[i]->used < c->entry[oldest]->used)
            oldest = i;
    prepared *old = c->entry[oldest];
    c->entry[oldest] = p;
    p->used = ++c->clock;
    p->users = 2;
    return old && --old->users == 0 ? old : NULL;
}

/* A primitive for this shape, held for the caller. */
static pph_status acquire(prepared **out, const pph_matmul *matmul, const shape *want,
                          pph_error *err)
{
    cache *c = matmul->cache;
    pthread_mutex_lock(&c->lock);
    *out = find(c, want);
    pthread_mutex_unlock(&c->lock);
    if (*out)
        return PPH_OK;
    prepared *made = NULL;
    PPH_TRY(prepare(&made, matmul, want, err));
    pthread_mutex_lock(&c->lock);
    *out = find(c, want); /* another thread may have been as quick */
    prepared *spare = *out ? made : place(c, made);
    if (!*out)
        *out = made;
    pthread_mutex_unlock(&c->lock);
    if (spare)
        drop(spare);
    return PPH_OK;
}

static void yield(const pph_matmul *matmul, prepared *p)
{
    pthread_mutex_lock(&matmul->cache->lock);
    bool last = --p->users == 0;
    pthread_mutex_unlock(&matmul->cache->lock);
    if (last)
        drop(p);
}

/* May the packed weights be written in pieces? Plain and blocked forms may, at whole blocks; forms
 * with sums over the inputs beside them may not. */
static size_t grain_of(const dnnl_memory_desc_t *form, size_t outputs)
{
    if (form->extra.flags != dnnl_memory_extra_flag_none || form->format_kind != dnnl_blocked)
        return outputs;
    size_t block = block_of(form);
    return PPH_MIN(block > 64 ? block : (64 + block - 1) / block * block, outputs);
}

static pph_status choose_form(pph_matmul *matmul, const pph_matmul_options *options, pph_error *err)
{
    const dnnl_dims_t size = {(dnnl_dim_t)matmul->inputs, (dnnl_dim_t)matmul->outputs};
    const dnnl_dims_t bias = {1, (dnnl_dim_t)matmul->outputs};
    dnnl_memory_desc_t any;
    dnnl_status_t status = dnnl_engine_create(&matmul->engine, dnnl_cpu, 0);
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&any, 2, size, matmul->type, dnnl_format_tag_any);
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&matmul->bias_form, 2, bias, dnnl_f32, dnnl_ab);
    if (status)
        return translate(status, "set-up", err);
    shape usual = {options->rows ? options->rows : 64,
                   matmul->outputs,
                   matmul->inputs,
                   matmul->outputs,
                   options->type == PPH_I8 ? PPH_I32 : options->type,
                   false};
    prepared descriptions;
    dnnl_primitive_desc_t description = NULL;
    status = describe(&description, matmul, &usual, &any, &descriptions);
    if (!status)
        matmul->weights_form = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(description);
    if (status)
        return translate(status, pph_dtype_name(options->type), err);
    matmul->grain = grain_of(&matmul->weights_form, matmul->outputs);
    return PPH_OK;
}

static pph_status hold_weights(pph_matmul *matmul, pph_error *err)
{
    size_t bytes = dnnl_memory_desc_get_size(&matmul->weights_form);
    matmul->weights = pph_alloc_aligned(bytes);
    if (!matmul->weights)
        return PPH_FAIL_MEMORY(err, bytes);
    pph_hugepage_advise(matmul->weights, bytes);
    memset(matmul->weights, 0, bytes); /* what the packed form pads with */
    matmul->bytes = bytes + (matmul->bias ? matmul->outputs * sizeof(float) : 0);
    return PPH_OK;
}

static pph_status make(pph_matmul *matmul, const pph_matmul_options *options, pph_error *err)
{
    matmul->cache = pph_alloc(sizeof *matmul->cache);
    if (!matmul->cache)
        return PPH_FAIL_MEMORY(err, sizeof *matmul->cache);
    if (pthread_mutex_init(&matmul->cache->lock, NULL)) {
        pph_free(matmul->cache);
        matmul->cache = NULL;
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "a lock could not be made");
    }
    if (options->bias) {
        matmul->bias = pph_alloc_aligned(options->outputs * sizeof(float));
        if (!matmul->bias)
            return PPH_FAIL_MEMORY(err, options->outputs * sizeof(float));
        memcpy(matmul->bias, options->bias, options->outputs * sizeof(float));
    }
    PPH_TRY(choose_form(matmul, options, err));
    return hold_weights(matmul, err);
}

/* Without VNNI oneDNN adds pairs of products in 16 bits, which unsigned by signed bytes overflow. It
 * may have been told to do without (DNNL_MAX_CPU_ISA), whatever the processor has. */
static bool exact_bytes(void)
{
    const unsigned vnni = dnnl_cpu_isa_avx512_core_vnni;
    return ((unsigned)dnnl_get_effective_cpu_isa() & vnni) == vnni;
}

pph_status pph_matmul_new(pph_matmul **out, const pph_matmul_options *options, pph_error *err)
{
    const size_t most = INT32_MAX; /* a dimension; keeps every product of two in range */
    if (!options->inputs || !options->outputs || options->inputs > most ||
        options->outputs > most || options->rows > most)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a matrix of %zu by %zu cannot be packed",
                        options->outputs, options->inputs);
    if (options->type == PPH_I8 && !exact_bytes())
        return PPH_FAIL(err, PPH_UNSUPPORTED, "this processor's sums of 8-bit products saturate");
    PPH_AUTO(pph_matmul_free) pph_matmul *matmul = pph_alloc(sizeof *matmul);
    if (!matmul)
        return PPH_FAIL_MEMORY(err, sizeof *matmul);
    matmul->type = type_of(options->type);
    matmul->inputs = options->inputs;
    matmul->outputs = options->outputs;
    matmul->activation = options->activation;
    dnnl_set_primitive_cache_capacity(LIBRARY);
    int before = alone();
    pph_status status = make(matmul, options, err);
    together(before);
    PPH_TRY(status);
    *out = PPH_TAKE(matmul);
    return PPH_OK;
}

void pph_matmul_free(pph_matmul **matmul)
{
    pph_matmul *old = *matmul;
    if (!old)
        return;
    if (old->cache) {
        for (size_t i = 0; i < PRIMITIVES; i++)
            if (old->cache->entry[i])
                drop(old->cache->entry[i]);
        pthread_mutex_destroy(&old->cache->lock);
        pph_free(old->cache);
    }
    dnnl_engine_destroy(old->engine);
    pph_free(old->weights);
    pph_free(old->bias);
    pph_free(old);
    *matmul = NULL;
}

void pph_matmul_trim(void)
{
    dnnl_set_primitive_cache_capacity(0);
    dnnl_set_primitive_cache_capacity(LIBRARY);
}

size_t pph_matmul_bytes(const pph_matmul *matmul)
{
    return matmul->bytes;
}

size_t pph_matmul_grain(const pph_matmul *matmul)
{
    return matmul->grain;
}

static dnnl_status_t execute(const pph_matmul *matmul, dnnl_primitive_t primitive, int count,
                             const dnnl_exec_arg_t *arguments)
{
    dnnl_stream_t stream = NULL;
    dnnl_status_t status = dnnl_stream_create(&stream, matmul->engine, dnnl_stream_default_flags);
    if (!status)
        status = dnnl_primitive_execute(primitive, stream, count, arguments);
    if (!status)
        status = dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    return status;
}

static dnnl_status_t reorder(const pph_matmul *matmul, size_t first, size_t count,
                             const void *weights)
{
    const dnnl_dims_t size = {(dnnl_dim_t)matmul->inputs, (dnnl_dim_t)count};
    const dnnl_dims_t offset = {0, (dnnl_dim_t)first};
    dnnl_memory_desc_t from, to = matmul->weights_form;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t source = NULL, target = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&from, 2, size, matmul->type, dnnl_ba);
    if (!status && count != matmul->outputs)
        status = dnnl_memory_desc_init_submemory(&to, &matmul->weights_form, size, offset);
    if (!status)
        status = dnnl_reorder_primitive_desc_create(&description, &from, matmul->engine, &to,
                                                    matmul->engine, NULL);
    if (!status)
        status = dnnl_primitive_create(&primitive, description);
    if (!status)
        status = dnnl_memory_create(&source, &from, matmul->engine, (void *)weights);
    if (!status)
        status = dnnl_memory_create(&target, &to, matmul->engine, matmul->weights);
    if (!status)
        status = execute(matmul, primitive, 2,
                         (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}});
    dnnl_memory_destroy(source);
    dnnl_memory_destroy(target);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(description);
    return status;
}

pph_status pph_matmul_pack(pph_matmul *matmul, size_t first, size_t count, const void *weights,
                           pph_error *err)
{
    int before = alone();
    dnnl_status_t status = reorder(matmul, first, count, weights);
    together(before);
    return translate(status, "packing", err);
}

/* Where the packed weights of outputs from `first` on begin. */
static void *weights_at(const pph_matmul *matmul, size_t first)
{
    const dnnl_memory_desc_t *form = &matmul->weights_form;
    if (!first)
        return matmul->weights;
    size_t stride = (size_t)form->format_desc.blocking.strides[1] * element_of(matmul->type);
    return (char *)matmul->weights + first / block_of(form) * stride;
}

static dnnl_status_t multiply(const pph_matmul *matmul, const prepared *p,
                              const pph_matmul_run_options *run, void *space)
{
    float *bias_at = matmul->bias ? matmul->bias + run->first : NULL;
    dnnl_memory_t x = NULL, y = NULL, scratch = NULL, weights = NULL, bias = NULL;
    dnnl_status_t status = dnnl_memory_create(&x, &p->x, matmul->engine, (void *)run->x);
    if (!status)
        status = dnnl_memory_create(&y, &p->y, matmul->engine, run->y);
    if (!status)
        status = dnnl_memory_create(&scratch, &p->scratch, matmul->engine, space);
    if (!status)
        status = dnnl_memory_create(&weights, &p->weights, matmul->engine,
                                    weights_at(matmul, run->first));
    if (!status && bias_at)
        status = dnnl_memory_create(&bias, &p->bias, matmul->engine, bias_at);
    if (!status)
        status = execute(matmul, p->primitive, bias ? 5 : 4,
                         (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, x},
                                             {DNNL_ARG_WEIGHTS, weights},
                                             {DNNL_ARG_DST, y},
                                             {DNNL_ARG_SCRATCHPAD, scratch},
                                             {DNNL_ARG_BIAS, bias}});
    dnnl_memory_destroy(x);
    dnnl_memory_destroy(y);
    dnnl_memory_destroy(scratch);
    dnnl_memory_destroy(weights);
    dnnl_memory_destroy(bias);
    return status;
}

static pph_status run_alone(const pph_matmul *matmul, const pph_matmul_run_options *run,
                            pph_scratch *scratch, pph_error *err)
{
    size_t last = run->last ? run->last : matmul->outputs;
    shape want = {run->rows,     last - run->first, run->x_stride,
                  run->y_stride, run->y_type,       run->accumulate};
    prepared *p;
    PPH_TRY(acquire(&p, matmul, &want, err));
    pph_scratch_mark mark = pph_scratch_save(scratch);
    size_t bytes = dnnl_memory_desc_get_size(&p->scratch);
    void *space = pph_scratch_take(scratch, bytes);
    pph_status status = space ? translate(multiply(matmul, p, run, space), "multiplying", err)
                              : PPH_FAIL_MEMORY(err, bytes);
    pph_scratch_restore(scratch, mark);
    yield(matmul, p);
    return status;
}

pph_status pph_matmul_run(const pph_matmul *matmul, const pph_matmul_run_options *run,
                          pph_scratch *scratch, pph_error *err)
{
    if (!run->rows)
        return PPH_OK;
    int before = alone();
    pph_status status = run_alone(matmul, run, scratch, err);
    together(before);
    return status;
}
