/* The answering of commands. All of it on the command's thread. */
#include "cli/answering.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <paraphym/runtime.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_LIMIT = 16 << 20 };

/* ---- the model ---- */

pph_status pph_answering_open(pph_answering *it, const pph_common *common,
                              const pph_generation_options *options, pph_error *err)
{
    PPH_TRY(pph_command_language_model(common, &it->model, err));
    const pph_pool_options pool = {.threads = (int)common->threads};
    PPH_TRY(pph_pool_open(&it->pool, &pool, err));
    PPH_TRY(pph_loading_new(&it->loading, it->pool, err));
    pph_generation_options service = *options;
    service.precision = common->precision;
    return pph_generation_open(&it->generation, it->pool, it->model, &service, err);
}

void pph_answering_close(pph_answering *it)
{
    pph_stream_free(&it->stream);
    pph_future_cancel(it->future);
    pph_future_free(&it->future);
    pph_interrupt_deinit(&it->interrupt);
    bool opened = it->generation != NULL;
    pph_generation_close(&it->generation);
    pph_pool_close(&it->pool);
    pph_loading_free(&it->loading);
    pph_free(it->model);
    if (opened && pph_runtime_shutdown(0, NULL) != PPH_OK)
        return;
}

pph_status pph_answering_read_stdin(pph_buffer *out, const char **text, pph_error *err)
{
    out->limit = TEXT_LIMIT;
    PPH_TRY(pph_file_read_fd(STDIN_FILENO, "standard input", out, err));
    if (out->size && memchr(out->data, 0, out->size))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "standard input contains a zero byte");
    *text = pph_buffer_text(out);
    return *text ? PPH_OK : PPH_FAIL_MEMORY(err, out->size + 1);
}

/* ---- the answer ---- */

/* Until the stream ends; *err says how. */
static pph_status print_stream(pph_answering *it, pph_error *err)
{
    for (;;) {
        void *chunk = NULL;
        size_t size = 0;
        pph_stream_read got = pph_stream_next(it->stream, PPH_LOADING_LOOK_MS, &chunk, &size, err);
        if (got == PPH_STREAM_PENDING) {
            pph_loading_show(it->loading);
            continue;
        }
        pph_loading_hide(it->loading);
        if (got == PPH_STREAM_END)
            break;
        pph_status status = pph_command_write_text((pph_str){chunk, size}, err);
        if (status == PPH_OK)
            status = pph_command_flush(err);
        pph_chunk_free(&chunk);
        PPH_TRY(status);
    }
    return err->status;
}

pph_status pph_answering_await(pph_answering *it, pph_error *err)
{
    pph_interrupt_init(&it->interrupt, it->future);
    bool streams = it->stream;
    if (streams)
        PPH_TRY(print_stream(it, err));
    PPH_TRY(pph_loading_wait(it->loading, it->future, err));
    return streams ? pph_command_write_text(PPH_STR("\n"), err) : PPH_OK;
}

static double rate(size_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

pph_status pph_answering_print_json(const pph_generated *value, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_print(&line, err, "{\"answer\":"));
    PPH_TRY(pph_json_write_string(&line, (pph_str){value->text, value->size}, err));
    PPH_TRY(pph_buffer_print(&line, err,
                             ",\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"token_ids\":[",
                             value->prompt_tokens, value->count));
    for (size_t i = 0; i < value->count; i++)
        PPH_TRY(pph_buffer_print(&line, err, "%s%d", i ? "," : "", value->ids[i]));
    PPH_TRY(pph_buffer_print(
        &line, err,
        "],\"finish_reason\":\"%s\",\"seed\":%lld,\"timings\":{\"queue_seconds\":%.6f,"
        "\"prompt_seconds\":%.6f,\"picture_seconds\":%.6f,\"decode_seconds\":%.6f,"
        "\"prompt_tokens_per_second\":%.2f,\"decode_tokens_per_second\":%.2f}",
        pph_finish_reason_name(value->finish_reason), (long long)value->seed, value->queue_seconds,
        value->prompt_seconds, value->picture_seconds, value->decode_seconds,
        rate(value->prompt_tokens - value->reused_tokens,
             value->prompt_seconds - value->picture_seconds),
        rate(value->count ? value->count - 1 : 0, value->decode_seconds)));
    if (value->pictures)
        PPH_TRY(pph_buffer_print(&line, err,
                                 ",\"pictures\":%zu,\"pictures_reused\":%zu,\"picture_tokens\":%zu",
                                 value->pictures, value->pictures_reused, value->picture_tokens));
    if (value->top_logit_count) {
        PPH_TRY(pph_buffer_print(&line, err, ",\"top_logits\":["));
        for (size_t i = 0; i < value->top_logit_count; i++) {
            PPH_TRY(pph_buffer_print(&line, err, "%s[%d,", i ? "," : "", value->top_logits[i].id));
            PPH_TRY(pph_json_write_float(&line, value->top_logits[i].value, err));
            PPH_TRY(pph_buffer_append(&line, "]", 1, err));
        }
        PPH_TRY(pph_buffer_append(&line, "]", 1, err));
    }
    PPH_TRY(pph_buffer_append(&line, "}\n", 2, err));
    return pph_command_write(&line, err);
}

int pph_answering_finish(pph_answering *it, pph_status status, const pph_error *error)
{
    if (pph_interrupt_deinit(&it->interrupt)) {
        pph_command_finish(PPH_EXIT_OK);
        fputc('\n', stderr);
        return PPH_EXIT_INTERRUPTED;
    }
    if (status != PPH_OK)
        return pph_command_failed(error);
    return pph_command_finish(PPH_EXIT_OK);
}
