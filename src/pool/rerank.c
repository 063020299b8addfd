/* Reranking: a query and its documents become one request, whose items are the pairs. */
#include "pool/service.h"

#include "base/mem.h"
#include <paraphym/rerank.h>

pph_future *pph_rerank(pph_multimodal *model, const char *query, const char *const *documents,
                       size_t count)
{
    if (!documents || count < 1 || count > PPH_SERVICE_COUNT)
        return pph_service_refuse_count(count, "documents");
    const pph_input asked = pph_input_text(query);
    pph_error error;
    if (pph_request_check(&asked, 0, &error) != PPH_OK) {
        (void)pph_error_prefix(&error, error.status, "the query");
        return pph_future_failed(&error);
    }
    PPH_AUTO(pph_free_at) pph_input *inputs = pph_alloc_array(count, sizeof *inputs);
    if (!inputs)
        return pph_service_refuse(PPH_OUT_OF_MEMORY, "no memory for the list of documents");
    for (size_t i = 0; i < count; i++)
        inputs[i] = pph_input_text(documents[i]);
    const pph_request_shape shape = {.form = PPH_REQUEST_SCORES, .query = {asked.data, asked.size}};
    return pph_service_submit(model, &shape, inputs, count);
}
