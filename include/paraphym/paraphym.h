/* All of Paraphym's public headers. */
#ifndef PARAPHYM_PARAPHYM_H
#define PARAPHYM_PARAPHYM_H

#include <paraphym/cognition.h>
#include <paraphym/events.h>
#include <paraphym/future.h>
#include <paraphym/generation.h>
#include <paraphym/log.h>
#include <paraphym/memory.h>
#include <paraphym/metrics.h>
#include <paraphym/multimodal.h>
#include <paraphym/pool.h>
#include <paraphym/precision.h>
#include <paraphym/priority.h>
#include <paraphym/rerank.h>
#include <paraphym/runtime.h>
#include <paraphym/sampling.h>
#include <paraphym/status.h>
#include <paraphym/stream.h>

#endif
