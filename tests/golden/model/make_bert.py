"""Write bert.json: what transformers' text encoders give for small random models of every form that
matters, pooled as sentence-transformers pools.

    reference-env run python3 tests/golden/model/make_bert.py

The weights are not stored: each tensor is described by a mean, a scale and a spike, and made from the
hash of its name by the generator of synthetic.py, which tests/model/synthetic.c repeats. What is stored is
the recipe, the names that the model's file has for its tensors, the settings beside it, the ids that go
in and the vectors that come out, one text at a time, computed in f32 from weights that were first rounded
to the type of the case's file.

Jina's ALiBi encoder is no part of transformers: here it is transformers' BERT with zeros in its table
of positions, the biases given as an attention mask, and an MLP of its own.
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
import transformers as hf

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from synthetic import hash_name, noise, rounded  # noqa: E402


def recipe(name, shape):
    """(mean, scale, period, spike) that keep a trained model's activations in mind."""
    fan = shape[-1] if len(shape) == 2 else 1
    if "norm" in name.lower() or "emb_ln" in name:
        return (1.0, 0.3, 17, 2.5) if name.endswith(("weight", "gamma")) else (0.0, 0.2, 0, 1.0)
    if name.endswith(("output.dense.bias", "lin2.bias", "wo.bias")):
        return 0.0, 0.3, 29, 8.0
    if name.endswith("bias"):
        return 0.05, 0.3, 0, 1.0
    if "relative_attention_bias" in name:
        return 0.0, 1.0, 0, 1.0
    if "embedding" in name:
        return 0.0, 0.4, 0, 1.0
    if any(part in name for part in ("query", "key", "q_lin", "k_lin", "attn.q.", "attn.k.")):
        return 0.0, 1.4 / fan**0.5, 0, 1.0
    return 0.0, 1.0 / fan**0.5, 101, 4.0


# ---- Jina's ---------------------------------------------------------------------------------------

class GatedMlp(nn.Module):
    def __init__(self, width, hidden, act):
        super().__init__()
        self.gated_layers = nn.Linear(width, 2 * hidden, bias=False)
        self.wo = nn.Linear(hidden, width)
        self.hidden, self.act = hidden, act

    def forward(self, x):
        both = self.gated_layers(x)
        return self.wo(self.act(both[..., : self.hidden]) * both[..., self.hidden :])


def slopes(heads):
    """Press et al.: 2^(-8 i / n) for a power of two; for others those of the power below, and then every
    second one of the power above."""
    below = 2 ** math.floor(math.log2(heads))
    series = [2.0 ** (-8.0 * (i + 1) / below) for i in range(below)]
    if below == heads:
        return series
    return series + slopes(2 * below)[0::2][: heads - below]


class Alibi(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.bert = hf.BertModel(hf.BertConfig(**config, attn_implementation="eager"),
                                 add_pooling_layer=False)
        act = {"geglu": nn.GELU(), "reglu": nn.ReLU()}.get(config.get("feed_forward_type", "original"))
        self.mlps = nn.ModuleList()
        self.slopes = slopes(config["num_attention_heads"])
        for layer in self.bert.encoder.layer if act else []:
            mlp = GatedMlp(config["hidden_size"], config["intermediate_size"], act)
            self.mlps.append(mlp)
            layer.intermediate = nn.Identity()
            layer.output.dense = mlp

    def names(self):
        out = {}
        for name in self.state_dict():
            if "position_embeddings" in name:
                continue
            new = name.removeprefix("bert.")
            if self.mlps:
                if name.startswith("mlps."):
                    continue
                new = new.replace("output.dense.gated_layers", "mlp.gated_layers")
                new = new.replace("output.dense.wo", "mlp.wo")
                if "attention" not in new:
                    new = new.replace("output.LayerNorm", "mlp.layernorm")
            out[new] = name
        return out

    def forward(self, input_ids, token_type_ids=None):
        at = torch.arange(input_ids.shape[1])
        away = (at[None, :] - at[:, None]).abs().float()
        mask = -torch.tensor(self.slopes)[:, None, None] * away
        nn.init.zeros_(self.bert.embeddings.position_embeddings.weight)
        return self.bert(input_ids=input_ids, attention_mask=mask[None], token_type_ids=token_type_ids)


# ---- building -------------------------------------------------------------------------------------

def build(case):
    config = json.loads(json.dumps(case["config"]))
    kind = config.pop("model_type")
    architecture = config.pop("architectures", [""])[0]
    if config.get("position_embedding_type") == "alibi":
        return Alibi(config)
    classes = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta",
               "distilbert": "DistilBert", "mpnet": "MPNet", "nomic_bert": "NomicBert"}
    made = getattr(hf, classes[kind] + "Config")(**config, attn_implementation="eager")
    if architecture:
        return getattr(hf, architecture)(made)
    return getattr(hf, classes[kind] + "Model")(made)


def file_names(case, model):
    """{name in the file: (names in the model)}."""
    if isinstance(model, Alibi):
        return {new: [old] for new, old in model.names().items()}
    out = {}
    for name in model.state_dict():
        new = name
        if case["config"]["model_type"] == "nomic_bert":
            for old_part, new_part in ((r"embeddings.LayerNorm", "emb_ln"), ("layers.", "encoder.layers."),
                                       ("self_attn.o_proj", "attn.out_proj"), ("up_proj", "fc11"),
                                       ("gate_proj", "fc12"), ("down_proj", "fc2"),
                                       ("post_attention_layernorm", "norm1"), ("post_mlp_layernorm", "norm2")):
                new = new.replace(old_part, new_part)
            for part in "qkv":
                new = new.replace(f"self_attn.{part}_proj", "attn.Wqkv")
        if case.get("old_norms"):
            new = new.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        out.setdefault(case.get("prefix", "") + new, []).append(name)
    return out


def fill(case, model):
    state, tensors = model.state_dict(), []
    for new, old in file_names(case, model).items():
        shape = list(state[old[0]].shape)
        shape[0] *= len(old)
        mean, scale, period, spike = recipe(new, shape)
        scale = float(np.float32(scale))
        made = noise(hash_name(case["name"] + "/" + new), int(np.prod(shape)), mean, scale, period, spike)
        made = rounded(made, case["dtype"]).reshape(shape)
        for name, part in zip(old, made.chunk(len(old))):
            state[name].copy_(part)
        tensors.append([new, shape, mean, scale, period, spike])
    return tensors


# ---- pooling --------------------------------------------------------------------------------------

def pool(rows, modes, skipped):
    """rows [T,D]"""
    count = rows.shape[0]
    kept = rows[skipped:]
    weights = torch.arange(skipped + 1, count + 1, dtype=torch.float32)[:, None]
    ways = {"cls_token": lambda: rows[0], "max_tokens": lambda: kept.max(0).values,
            "mean_tokens": lambda: kept.mean(0), "mean_sqrt_len_tokens": lambda: kept.sum(0) / len(kept) ** 0.5,
            "weightedmean_tokens": lambda: (kept * weights).sum(0) / weights.sum(),
            "lasttoken": lambda: rows[-1]}
    return torch.cat([ways[mode]() for mode in ways if mode in modes])


ACTIVATIONS = {"Identity": lambda x: x, "Tanh": torch.tanh, "ReLU": torch.relu, "GELU": nn.functional.gelu,
               "SiLU": nn.functional.silu, "Sigmoid": torch.sigmoid}


def settings(case):
    """The files beside config.json, and the tensors of the Dense modules."""
    modes, steps = case.get("pooling"), case.get("steps", [])
    if modes is None:
        return {}, []
    keys = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    prefix = "sentence_transformers.models."
    modules = [dict(idx=0, name="0", path="", type=prefix + "Transformer"),
               dict(idx=1, name="1", path="1_Pooling", type=prefix + "Pooling")]
    files = {"1_Pooling/config.json": {"word_embedding_dimension": 0,
                                       **{"pooling_mode_" + key: key in modes for key in keys},
                                       "include_prompt": not case.get("skipped")}}
    tensors = []
    for step in steps:
        at = len(modules)
        if step == "normalize":
            modules.append(dict(idx=at, name=str(at), path=f"{at}_Normalize", type=prefix + "Normalize"))
            continue
        inputs, outputs, bias, act = step
        folder = f"{at}_Dense"
        modules.append(dict(idx=at, name=str(at), path=folder, type=prefix + "Dense"))
        files[folder + "/config.json"] = dict(in_features=inputs, out_features=outputs, bias=bias,
                                              activation_function=f"torch.nn.modules.activation.{act}")
        tensors.append([folder + "/linear.weight", [outputs, inputs], 0.0, float(np.float32(inputs**-0.5)), 0, 1.0])
        if bias:
            tensors.append([folder + "/linear.bias", [outputs], 0.05, 0.2, 0, 1.0])
    files["modules.json"] = modules
    return {name: json.dumps(value) for name, value in files.items()}, tensors


def after(case, vector, tensors):
    made = {}
    for name, shape, mean, scale, period, spike in tensors:
        value = noise(hash_name(case["name"] + "/" + name), int(np.prod(shape)), mean, scale, period, spike)
        made[name] = rounded(value, case["dtype"]).reshape(shape)
    for at, step in enumerate(case.get("steps", []), 2):
        if step == "normalize":
            vector = vector / vector.norm()
            continue
        vector = made[f"{at}_Dense/linear.weight"] @ vector
        if step[2]:
            vector = vector + made[f"{at}_Dense/linear.bias"]
        vector = ACTIVATIONS[step[3]](vector)
    return vector


# ---- cases ----------------------------------------------------------------------------------------

def bert(width, heads, layers, hidden, vocab, positions, **more):
    return dict(model_type=more.pop("model_type", "bert"), hidden_size=width, num_attention_heads=heads,
                num_hidden_layers=layers, intermediate_size=hidden, vocab_size=vocab,
                max_position_embeddings=positions, **more)


def nomic(width, heads, layers, hidden):
    return bert(width, heads, layers, hidden, 150, 100, model_type="nomic_bert",
                rope_parameters=dict(rope_type="default", rope_theta=500.0))


def texts(seed, vocab, lengths, low=2):
    rng = np.random.default_rng(seed)
    return [rng.integers(low, vocab, n).tolist() for n in lengths]


SHORT = [1, 5, 2, 17, 33, 40]
ALL = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
ONE = dict(architectures=["BertForSequenceClassification"], num_labels=1)
CASES = [
    dict(name="bert-mean", dtype="float32", pooling=["mean_tokens"], steps=["normalize"],
         texts=texts(1, 199, SHORT), config=bert(48, 4, 3, 100, 199, 40)),
    dict(name="bert-plain-f16", dtype="float16", prefix="bert.", old_norms=True, texts=texts(2, 150, SHORT),
         config=bert(64, 2, 2, 128, 150, 40, hidden_act="gelu_new", layer_norm_eps=1e-3)),
    dict(name="bert-cls-bf16", dtype="bfloat16", pooling=["cls_token"], steps=["normalize"],
         texts=texts(3, 199, SHORT), config=bert(96, 3, 3, 200, 199, 40)),
    dict(name="bert-last-odd", dtype="float32", pooling=["lasttoken"], texts=texts(4, 101, SHORT),
         config=bert(35, 5, 2, 61, 101, 41, hidden_act="relu")),
    dict(name="bert-wide", dtype="float32", pooling=["mean_tokens"],
         texts=texts(5, 499, [8, 200, 31, 64, 65, 1, 128, 3]), config=bert(128, 4, 2, 512, 499, 200)),
    dict(name="bert-prompt-dense", dtype="float16", pooling=["mean_tokens", "weightedmean_tokens"],
         steps=[[64, 40, False, "Identity"], [40, 24, True, "Tanh"], "normalize"],
         texts=texts(6, 120, [9, 3, 12, 30]), skipped=[4, 2, 4, 7], config=bert(32, 2, 2, 64, 120, 40)),
    dict(name="roberta-padding-bf16", dtype="bfloat16", pooling=["mean_tokens"],
         texts=texts(7, 199, SHORT[:-1]) + [[0, 5, 1, 7, 1, 2]],
         config=bert(60, 4, 2, 120, 199, 36, model_type="roberta", type_vocab_size=1, pad_token_id=1)),
    dict(name="xlmr-all", dtype="float32", prefix="roberta.", pooling=ALL, texts=texts(8, 199, [1, 6, 33]),
         config=bert(32, 2, 2, 64, 199, 38, model_type="xlm-roberta", type_vocab_size=1, pad_token_id=1,
                     layer_norm_eps=1e-5)),
    dict(name="distilbert-max-f16", dtype="float16", prefix="distilbert.", pooling=["max_tokens"],
         texts=texts(9, 150, SHORT),
         config=dict(model_type="distilbert", dim=48, n_heads=3, n_layers=2, hidden_dim=96, vocab_size=150,
                     max_position_embeddings=40)),
    dict(name="mpnet-long", dtype="float32", pooling=["mean_tokens"], texts=texts(10, 150, [1, 9, 31, 300]),
         config=bert(48, 4, 2, 96, 150, 310, model_type="mpnet")),
    dict(name="mpnet-cls-bf16", dtype="bfloat16", prefix="mpnet.", pooling=["cls_token"],
         texts=texts(11, 150, [2, 30, 140]), config=bert(48, 3, 2, 96, 150, 150, model_type="mpnet")),
    dict(name="jina-mean-geglu", dtype="float32", pooling=["mean_tokens"], texts=texts(12, 150, [1, 12, 31, 190]),
         config=bert(48, 6, 3, 80, 150, 190, position_embedding_type="alibi", feed_forward_type="geglu")),
    dict(name="jina-last-reglu-f16", dtype="float16", pooling=["lasttoken"], texts=texts(13, 150, SHORT),
         config=bert(96, 12, 2, 96, 150, 40, position_embedding_type="alibi", feed_forward_type="reglu")),
    dict(name="jina-cls-original", dtype="float32", pooling=["cls_token"], texts=texts(14, 150, SHORT),
         config=bert(40, 4, 2, 96, 150, 40, position_embedding_type="alibi", feed_forward_type="original")),
    dict(name="nomic-mean", dtype="float32", pooling=["mean_tokens"], texts=texts(20, 150, [1, 12, 31, 90]),
         config=nomic(64, 2, 3, 96), stored=dict(
             model_type="nomic_bert", n_embd=64, n_head=2, n_layer=3, n_inner=96, vocab_size=150, n_positions=8192,
             max_trained_positions=100, type_vocab_size=2, layer_norm_epsilon=1e-12, rotary_emb_base=500,
             rotary_emb_fraction=1.0, rotary_emb_interleaved=False, activation_function="swiglu", prenorm=False,
             qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, use_rms_norm=None, causal=False)),
    dict(name="nomic-cls-bf16", dtype="bfloat16", pooling=["cls_token"], texts=texts(21, 150, SHORT),
         config=nomic(60, 3, 2, 80)),
    dict(name="bert-rerank", dtype="float32", texts=texts(15, 199, [5, 9, 17, 33, 40, 3]),
         seconds=[2, 4, 9, 30, 5, 3], config=bert(64, 2, 3, 128, 199, 40, **ONE)),
    dict(name="bert-rerank-bf16", dtype="bfloat16", texts=texts(16, 199, [5, 9, 17]), seconds=[1, 4, 17],
         config=bert(128, 4, 2, 256, 199, 40, architectures=["BertForSequenceClassification"], num_labels=3)),
    dict(name="xlmr-rerank", dtype="float16", texts=texts(17, 199, [5, 9, 30]), seconds=[2, 4, 9],
         config=bert(64, 4, 2, 128, 199, 40, model_type="xlm-roberta", type_vocab_size=1, pad_token_id=1,
                     architectures=["XLMRobertaForSequenceClassification"], num_labels=1)),
    dict(name="distilbert-rerank", dtype="float32", texts=texts(18, 150, [5, 9, 30]), seconds=[2, 4, 9],
         config=dict(model_type="distilbert", dim=48, n_heads=3, n_layers=2, hidden_dim=96, vocab_size=150,
                     max_position_embeddings=40, architectures=["DistilBertForSequenceClassification"],
                     num_labels=1)),
    dict(name="mpnet-rerank", dtype="float32", texts=texts(19, 150, [5, 9, 30]), seconds=[2, 4, 9],
         config=bert(48, 4, 2, 96, 150, 40, model_type="mpnet",
                     architectures=["MPNetForSequenceClassification"], num_labels=1)),
]


def run(case):
    torch.manual_seed(0)
    model = build(case).eval().to(torch.float32)
    kind = case["config"]["model_type"]
    with torch.no_grad():
        tensors = fill(case, model)
        files, more = settings(case)
        vectors = []
        for i, ids in enumerate(case["texts"]):
            given = dict(input_ids=torch.tensor([ids]))
            if not isinstance(model, Alibi):
                given["attention_mask"] = torch.ones(1, len(ids), dtype=torch.long)
            if case.get("seconds") and kind == "bert":
                given["token_type_ids"] = (torch.arange(len(ids)) >= case["seconds"][i]).long()[None]
            made = model(**given)
            if "architectures" in case["config"]:
                vectors.append(made.logits[0])
            else:
                skipped = case.get("skipped", [0] * 99)[i]
                vectors.append(after(case, pool(made.last_hidden_state[0], case.get("pooling", ["mean_tokens"]),
                                                skipped), more))
    out = {k: v for k, v in case.items() if k in ("name", "dtype", "texts", "seconds", "skipped")}
    out |= dict(config=json.dumps(case.get("stored", case["config"])), files=files, tensors=tensors + more,
                vectors=[[float(np.format_float_scientific(x, precision=8)) for x in v.numpy()] for v in vectors])
    return out


def main():
    cases = [run(case) for case in CASES]
    lines = []
    for case in cases:
        rows = ",\n  ".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":")) for k, v in case.items())
        lines.append("{" + rows + "}")
    (HERE / "bert.json").write_text('{"cases": [\n' + ",\n".join(lines) + "\n]}\n")
    for case in cases:
        values = np.array(case["vectors"])
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        near = np.sort((unit @ unit.T)[~np.eye(len(values), dtype=bool)])[-1]
        print(case["name"], values.shape, "rms %.3f, nearest pair %.3f" % (values.std(), near), file=sys.stderr)


if __name__ == "__main__":
    main()
