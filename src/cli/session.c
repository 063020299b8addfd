/* Opens what a command runs on, and closes it in order. */
#include "cli/session.h"

#include "base/mem.h"

pph_status pph_session_open(pph_session *out, const pph_common *common,
                            const pph_multimodal_options *options, pph_error *err)
{
    return pph_session_open_named(out, common, pph_command_asked_for(common), "-m", options, err);
}

pph_status pph_session_open_named(pph_session *out, const pph_common *common, const char *named,
                                  const char *option, const pph_multimodal_options *options,
                                  pph_error *err)
{
    PPH_AUTO(pph_session_close) pph_session session = {0};
    pph_multimodal_options own = *options;
    own.precision = common->precision;
    const pph_pool_options pool = {.threads = (int)common->threads};
    PPH_TRY(pph_command_model_or_built_in(named, option, &session.folder, err));
    if (pph_str_ends(pph_str_view(session.folder), ".gguf"))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%.300s: GGUF files generate text ('paraphym generate'); for this give a "
                        "folder with config.json and *.safetensors",
                        session.folder);
    session.name = named ? named : PPH_BUILT_IN_NAME;
    PPH_TRY(pph_pool_open(&session.pool, &pool, err));
    PPH_TRY(pph_loading_new(&session.loading, session.pool, err));
    PPH_TRY(pph_multimodal_open(&session.multimodal, session.pool, session.folder, &own, err));
    *out = session;
    session = (pph_session){0};
    return PPH_OK;
}

void pph_session_close(pph_session *session)
{
    bool opened = session->multimodal != NULL;
    pph_multimodal_close(&session->multimodal);
    pph_pool_close(&session->pool);
    pph_loading_free(&session->loading);
    pph_free_at(&session->folder);
    /* All requests are answered by now; the loop only has to be told. */
    if (opened && pph_runtime_shutdown(0, NULL) != PPH_OK)
        return;
}
