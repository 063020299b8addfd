"""Write decoder_embedder.json: what transformers' decoders give as encoders of texts, for small random
models, pooled as sentence-transformers pools.

    reference-env run python3 tests/golden/model/make_decoder_embedder.py

The form is that of bert.json (see make_bert.py): no weights, but what they are made from; the ids that go
in and the vectors that come out, one text at a time, in f32 from weights that were first rounded to the
type of the case's file. "is_causal": false lets every token see all of its text.
"""
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from make_bert import after, pool, settings, texts  # noqa: E402
from synthetic import hash_name, noise, rounded  # noqa: E402


def recipe(name, shape):
    fan = shape[-1]
    if "norm" in name:
        return 1.0, 0.3, 17, 2.5
    if name.endswith("bias"):
        return 0.05, 0.3, 0, 1.0
    if "embed_tokens" in name:
        return 0.0, 0.1, 0, 1.0
    if "q_proj" in name or "k_proj" in name:
        return 0.0, 1.4 / fan**0.5, 0, 1.0
    return 0.0, 1.0 / fan**0.5, 101, 4.0


def sizes(kind, width, heads, kv_heads, hidden, layers, vocabulary, **more):
    return dict(model_type=kind, hidden_size=width, num_attention_heads=heads, num_key_value_heads=kv_heads,
                intermediate_size=hidden, num_hidden_layers=layers, vocab_size=vocabulary, **more)


SHORT = [1, 5, 2, 17, 33, 40]
CASES = [
    dict(name="qwen2-last-both", dtype="bfloat16", prefix="model.", pooling=["lasttoken"], steps=["normalize"],
         texts=texts(31, 151, SHORT), config=sizes("qwen2", 64, 4, 2, 96, 3, 151, max_position_embeddings=256,
                                                   rope_theta=1e6, is_causal=False, tie_word_embeddings=True)),
    dict(name="qwen2-mean-dense", dtype="float32", pooling=["mean_tokens"], steps=[[48, 40, True, "Identity"]],
         texts=texts(32, 140, SHORT), config=sizes("qwen2", 48, 3, 3, 80, 2, 140, max_position_embeddings=64,
                                                   is_causal=False)),
    dict(name="qwen3-last", dtype="float16", pooling=["lasttoken"], steps=["normalize"],
         texts=texts(33, 151, SHORT), config=sizes("qwen3", 64, 4, 2, 96, 2, 151, head_dim=32,
                                                   max_position_embeddings=256, rope_theta=1e6)),
    dict(name="mistral-last-window", dtype="float32", prefix="model.", pooling=["lasttoken"],
         texts=texts(34, 151, SHORT), config=sizes("mistral", 60, 5, 1, 91, 2, 151, sliding_window=40,
                                                   max_position_embeddings=256)),
    dict(name="llama-weighted-prompt", dtype="bfloat16", pooling=["weightedmean_tokens", "cls_token"],
         texts=texts(35, 120, [9, 3, 12, 30]), skipped=[4, 2, 4, 7],
         config=sizes("llama", 64, 4, 2, 96, 2, 120, max_position_embeddings=64)),
    dict(name="qwen2-long", dtype="float32", pooling=["mean_tokens", "lasttoken"], texts=texts(36, 100, [3, 600, 250]),
         config=sizes("qwen2", 32, 2, 1, 48, 2, 100, max_position_embeddings=1024)),
]


def run(case):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(case["config"]))
        config = AutoConfig.from_pretrained(folder)
    model = AutoModel.from_config(config, attn_implementation="eager").eval().float()
    state, tensors = {}, []
    for name, old in model.state_dict().items():
        mean, scale, period, spike = recipe(name, tuple(old.shape))
        scale, stored = float(np.float32(scale)), case.get("prefix", "") + name
        made = noise(hash_name(case["name"] + "/" + stored), old.numel(), mean, scale, period, spike)
        state[name] = rounded(made, case["dtype"]).reshape(old.shape)
        tensors.append([stored, list(old.shape), mean, scale, period, spike])
    model.load_state_dict(state)
    files, more = settings(case)
    vectors = []
    with torch.no_grad():
        for i, ids in enumerate(case["texts"]):
            rows = model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
            vectors.append(after(case, pool(rows, case["pooling"], case.get("skipped", [0] * 99)[i]), more))
        ids = case["texts"][-1]
        turned = model(input_ids=torch.tensor([ids[:-1] + [ids[-1] ^ 1]]), use_cache=False).last_hidden_state[0]
        seen = bool((turned[0] - rows[0]).abs().max() > 1e-3)
    assert seen == (case["config"].get("is_causal") is False), (case["name"], seen)
    out = {k: v for k, v in case.items() if k in ("name", "dtype", "texts", "skipped")}
    out |= dict(config=json.dumps(case["config"]), files=files, tensors=tensors + more,
                vectors=[[float(np.format_float_scientific(x, precision=8)) for x in v.numpy()] for v in vectors])
    return out


def main():
    lines = []
    for case in map(run, CASES):
        rows = ",\n  ".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":")) for k, v in case.items())
        lines.append("{" + rows + "}")
    (HERE / "decoder_embedder.json").write_text('{"cases": [\n' + ",\n".join(lines) + "\n]}\n")


main()
