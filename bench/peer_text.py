"""A BERT folder in ONNX Runtime on the CPU in f32, pooled by the mean: what others run today.

    peer_text.py FOLDER [--threads 2] [--graph plain|fused]

Reads lines "TEXTS SHORTEST LONGEST REPEATS" from standard input, a batch of texts whose lengths are spread
evenly from the one to the other and mixed, padded to the longest as servers do, and answers each with the
median and the least milliseconds of a batch; an empty line or the end of input ends it. The graph is
built from the folder's weights, in one of two forms, both optimised by ONNX Runtime at its highest level:
`plain` is what an exporter writes (MatMul, Add, Softmax ...), `fused` uses its own Attention,
SkipLayerNormalization and BiasGelu operators.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper
from safetensors import safe_open

from peer_clip import Graph

MS = "com.microsoft"


def encoder(get, config, fused):
    width, heads = config["hidden_size"], config["num_attention_heads"]
    eps, head = config.get("layer_norm_eps", 1e-12), width // heads
    g = Graph()

    def norm(x, y, name):
        weight, bias = g.constant(get(name + ".weight")), g.constant(get(name + ".bias"))
        if fused:
            return g.add("SkipLayerNormalization", x, y, weight, bias, domain=MS, epsilon=eps)
        return g.add("LayerNormalization", g.add("Add", x, y), weight, bias, axis=-1, epsilon=eps)

    def product(x, name):
        return g.add("MatMul", x, g.constant(get(name + ".weight").T))

    def linear(x, name):
        return g.add("Add", product(x, name), g.constant(get(name + ".bias")))

    e = "embeddings."
    x = g.add("Gather", g.constant(get(e + "word_embeddings.weight")), "ids", axis=0)
    tokens = g.add("Shape", "ids", start=1, end=2)
    places = g.add("Slice", g.constant(get(e + "position_embeddings.weight")), g.constant([0], np.int64), tokens,
                   g.constant([0], np.int64))
    places = g.add("Add", places, g.constant(get(e + "token_type_embeddings.weight")[0]))
    x = g.add("LayerNormalization", g.add("Add", x, places), g.constant(get(e + "LayerNorm.weight")),
              g.constant(get(e + "LayerNorm.bias")), axis=-1, epsilon=eps)
    real = g.add("Cast", "mask", to=TensorProto.FLOAT)
    hidden = g.add("Mul", g.add("Sub", g.constant(1.0), real), g.constant(-10000.0))
    hidden = g.add("Unsqueeze", hidden, g.constant([1, 2], np.int64))
    for layer in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{layer}."
        a = p + "attention.self."
        if fused:
            weight = np.concatenate([get(a + f"{k}.weight") for k in ("query", "key", "value")]).T
            bias = np.concatenate([get(a + f"{k}.bias") for k in ("query", "key", "value")])
            y = g.add("Attention", x, g.constant(weight), g.constant(bias), "mask", domain=MS, num_heads=heads)
        else:
            split = g.constant([0, -1, heads, head], np.int64)
            q, k, t = [g.add("Reshape", linear(x, a + name), split) for name in ("query", "key", "value")]
            q = g.add("Transpose", q, perm=[0, 2, 1, 3])
            k = g.add("Transpose", k, perm=[0, 2, 3, 1])
            t = g.add("Transpose", t, perm=[0, 2, 1, 3])
            scores = g.add("Mul", g.add("MatMul", q, k), g.constant(head**-0.5))
            y = g.add("MatMul", g.add("Softmax", g.add("Add", scores, hidden), axis=-1), t)
            y = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]), g.constant([0, -1, width], np.int64))
        x = norm(x, linear(y, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        if fused:
            h = g.add("BiasGelu", product(x, p + "intermediate.dense"),
                      g.constant(get(p + "intermediate.dense.bias")), domain=MS)
        else:
            h = g.add("Gelu", linear(x, p + "intermediate.dense"))
        x = norm(x, linear(h, p + "output.dense"), p + "output.LayerNorm")
    total = g.add("MatMul", g.add("Unsqueeze", real, g.constant([1], np.int64)), x)
    count = g.add("ReduceSum", real, g.constant([1], np.int64), keepdims=1)
    x = g.add("Div", g.add("Squeeze", total, g.constant([1], np.int64)), count)
    graph = helper.make_graph(
        g.nodes, "bert", [helper.make_tensor_value_info(name, TensorProto.INT32, ["N", "T"]) for name in ("ids", "mask")],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", width])], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(MS, 1)])
    model.ir_version = 9
    return model, g.big


def session(folder, threads, fused):
    config = json.loads((folder / "config.json").read_text())
    files = [safe_open(path, "np") for path in sorted(folder.glob("*.safetensors"))]
    where = {name: file for file in files for name in file.keys()}
    model, big = encoder(lambda name: where[name].get_tensor(name).astype(np.float32), config, fused)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    names = list(big)
    options.add_external_initializers(names, [ort.OrtValue.ortvalue_from_numpy(big[n]) for n in names])
    made = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return made, config["vocab_size"]


def texts(count, shortest, longest, vocabulary):
    """The batch that bench_text makes too, padded."""
    lengths = [shortest + i * 7 % count * (longest - shortest) // (count - 1) if count > 1 else longest
               for i in range(count)]
    ids = np.zeros((count, max(lengths)), np.int32)
    mask = np.zeros_like(ids)
    for i, n in enumerate(lengths):
        ids[i, :n] = (i * 7919 + np.arange(n) * 997 + 5) % vocabulary
        mask[i, :n] = 1
    return {"ids": ids, "mask": mask}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graph", choices=["plain", "fused"], default="fused")
    parser.add_argument("--vector", action="store_true", help="print one text's vector and end")
    args = parser.parse_args()
    made, vocabulary = session(args.folder, args.threads, args.graph == "fused")
    if args.vector:
        print(json.dumps(made.run(None, texts(1, 16, 16, vocabulary))[0][0].tolist()))
        return
    print("ready", flush=True)
    for line in sys.stdin:
        if not line.strip():
            break
        count, shortest, longest, repeats = map(int, line.split())
        given = texts(count, shortest, longest, vocabulary)
        made.run(None, given)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            made.run(None, given)
            times.append((time.perf_counter() - start) * 1e3)
        print(f"{np.median(times):.3f} {min(times):.3f}", flush=True)


if __name__ == "__main__":
    main()
