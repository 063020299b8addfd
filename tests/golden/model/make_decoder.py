"""Write decoder.json: what transformers gives for small random decoders of every form that matters.

    reference-env run python3 tests/golden/model/make_decoder.py

The weights are not stored. Each tensor is described by a mean, a scale and a spike, and made from
the hash of its name by the generator of make_clip.py, which tests/model/synthetic.c repeats. What is
stored is the recipe, the logits after each prompt, computed in f32 from weights that were first
rounded to the type of the case's file, and the 32 tokens that follow the first prompt when the most
probable one is taken each time; no cache is used for them. Of the numbers that a case's "space"
may end in, the first is taken that makes no choice a close one.
"""
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
TOKENS = 32


def hash_name(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return value


def noise(seed, count, mean, scale, period=0, spike=1.0):
    """Splitmix64; the sum of four 16-bit parts of each word is close enough to a normal."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = sum(((z >> np.uint64(s)) & low).astype(np.int64) for s in (0, 16, 32, 48))
    value = mean + scale * ((total - 131070).astype(np.float64) / 37837.0)
    if period:
        value[period // 2 :: period] *= spike
    return value.astype(np.float32)


def recipe(name, shape):
    """(mean, scale, period, spike) that keep the activations of a trained model in mind: some
    channels far larger than the rest, norms away from 1, biases that matter."""
    fan = shape[-1]
    if "norm" in name:
        return 1.0, 0.3, 17, 2.5
    if name.endswith("bias"):
        return 0.05, 0.3, 0, 1.0
    if "embed_tokens" in name:
        return 0.0, 0.1, 0, 1.0
    if "q_proj" in name or "k_proj" in name or "qkv_proj" in name:
        return 0.0, 1.4 / fan**0.5, 0, 1.0
    if "lm_head" in name:
        return 0.0, 2.0 / fan**0.5, 0, 1.0
    return 0.0, 1.0 / fan**0.5, 101, 4.0


def sizes(kind, width, heads, kv_heads, hidden, layers, vocabulary, **more):
    return dict(model_type=kind, hidden_size=width, num_attention_heads=heads,
                num_key_value_heads=kv_heads, intermediate_size=hidden, num_hidden_layers=layers,
                vocab_size=vocabulary, **more)


def factors(count, seed, scale):
    return [round(1 + scale * float(x), 4) for x in np.random.default_rng(seed).random(count)]


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
LONG = dict(short_factor=factors(8, 1, 1.0), long_factor=factors(8, 2, 6.0), type="longrope")

CASES = [
    dict(name="llama", dtype="float32", shards=2,
         config=sizes("llama", 64, 4, 2, 96, 3, 151, max_position_embeddings=256, rms_norm_eps=1e-5)),
    dict(name="llama3", dtype="bfloat16",
         config=sizes("llama", 64, 4, 1, 96, 2, 160, max_position_embeddings=512, rope_theta=500000.0,
                      rope_scaling=LLAMA3, tie_word_embeddings=True, attention_bias=True,
                      mlp_bias=True, bos_token_id=0, eos_token_id=[1, 2, 3])),
    dict(name="llama-linear", dtype="float16", naming="language_model",
         config=sizes("llama", 48, 3, 3, 80, 2, 140, max_position_embeddings=128,
                      rope_scaling=dict(type="linear", factor=4.0))),
    dict(name="llama-yarn", dtype="float32", naming="model.language_model",
         config=sizes("llama", 64, 2, 2, 96, 2, 140, max_position_embeddings=256,
                      rope_parameters=dict(rope_type="yarn", factor=4.0, rope_theta=10000.0,
                                           original_max_position_embeddings=32))),
    dict(name="mistral", dtype="bfloat16",
         config=sizes("mistral", 64, 4, 2, 96, 2, 151, head_dim=24, sliding_window=8,
                      max_position_embeddings=256)),
    dict(name="qwen2", dtype="float16", naming="bare",
         config=sizes("qwen2", 64, 4, 2, 96, 2, 151, max_position_embeddings=256, rope_theta=1e6,
                      sliding_window=4, use_sliding_window=False, tie_word_embeddings=True)),
    dict(name="qwen2-window", dtype="float32",
         config=sizes("qwen2", 64, 4, 4, 96, 3, 151, max_position_embeddings=256, sliding_window=6,
                      use_sliding_window=True, max_window_layers=1)),
    dict(name="qwen2-yarn", dtype="float32",
         config=sizes("qwen2", 64, 2, 1, 64, 2, 120, max_position_embeddings=32, rope_theta=1e6,
                      rope_scaling=dict(type="yarn", factor=4.0,
                                        original_max_position_embeddings=32))),
    dict(name="qwen3", dtype="bfloat16", shards=3,
         config=sizes("qwen3", 64, 4, 2, 96, 2, 151, head_dim=32, max_position_embeddings=256,
                      rope_theta=1e6, tie_word_embeddings=True, eos_token_id=7)),
    dict(name="phi3", dtype="float16",
         config=sizes("phi3", 64, 4, 2, 96, 2, 151, max_position_embeddings=512,
                      original_max_position_embeddings=256, sliding_window=30, rope_scaling=LONG,
                      pad_token_id=0, eos_token_id=5)),
    dict(name="phi3-long", dtype="float32", context=256,
         config=sizes("phi3", 64, 2, 2, 96, 2, 151, max_position_embeddings=256,
                      original_max_position_embeddings=24, partial_rotary_factor=0.5,
                      rope_scaling=LONG, pad_token_id=0, eos_token_id=5)),
    dict(name="odd", dtype="float32",
         config=sizes("llama", 60, 3, 1, 91, 2, 199, max_position_embeddings=200)),
]


def prompts(case):
    """Three: longer than two pages of the cache, a single token, and some."""
    count = case["config"]["vocab_size"]
    draw = np.random.default_rng(hash_name(case["name"]) % 2**32)
    lengths = [70, 30, 45] if case.get("context") else [70, 1, 11]
    return [[int(x) for x in draw.integers(0, count, size=n)] for n in lengths]


def build(config):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        made = AutoConfig.from_pretrained(folder)
    return AutoModelForCausalLM.from_config(made, attn_implementation="eager").eval().float()


def weights(case, model):
    state, tensors = {}, []
    for name, old in model.state_dict().items():
        if name == "lm_head.weight" and case["config"].get("tie_word_embeddings"):
            continue
        mean, scale, period, spike = recipe(name, tuple(old.shape))
        scale = float(np.float32(scale))
        made = noise(hash_name(case["space"] + "/" + name), old.numel(), mean, scale, period, spike)
        stored = torch.from_numpy(made).to(getattr(torch, case["dtype"])).to(torch.float32)
        state[name] = stored.reshape(old.shape)
        tensors.append([name, list(old.shape), mean, scale, period, spike])
    missing = model.load_state_dict(state, strict=False)
    assert set(missing.missing_keys) <= {"lm_head.weight"} and not missing.unexpected_keys
    model.tie_weights()
    return tensors


def after(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0, -1]


def run(case):
    for number in range(100):
        out, margin = attempt(dict(case, space=f"{case['name']} {number}"))
        if margin > 0.02 and len(set(out["greedy"])) >= TOKENS // 3:
            print(out["space"], "rms %.2f" % float(np.std(out["logits"][0])), "margin %.4f" % margin,
                  len(set(out["greedy"])), "tokens differ", file=sys.stderr)
            return out
    raise SystemExit(f"{case['name']}: every choice is close")


def attempt(case):
    model = build(case["config"])
    out = dict(case, config=json.dumps(case["config"]), tensors=weights(case, model))
    out["prompts"] = prompts(case)
    with torch.no_grad():
        rows = [after(model, ids) for ids in out["prompts"]]
        out["logits"] = [[float(np.format_float_scientific(x, precision=7)) for x in row.numpy()]
                         for row in rows]
        ids, margin = list(out["prompts"][0]), 1e9
        for _ in range(TOKENS):
            best = torch.topk(after(model, ids), 2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            ids.append(int(best.indices[0]))
        out["greedy"] = ids[-TOKENS:]
    return out, margin


def main():
    lines = []
    for case in map(run, CASES):
        rows = ",\n  ".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":"))
                            for k, v in case.items())
        lines.append("{" + rows + "}")
    (HERE / "decoder.json").write_text('{"cases": [\n' + ",\n".join(lines) + "\n]}\n")


main()
