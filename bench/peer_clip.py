"""The picture tower of a CLIP folder in ONNX Runtime on the CPU in f32: what others run today.

    peer_clip.py FOLDER [--threads 2] [--graph plain|fused]

Reads lines "BATCH REPEATS" from standard input and answers each with the median and the least
milliseconds of a batch; an empty line or the end of input ends it. The graph is built from the
folder's weights, in one of two forms, both optimised by ONNX Runtime at its highest level: `plain`
is what an exporter writes (MatMul, Add, Softmax ...), `fused` uses its own Attention and QuickGelu
operators.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open

# Over 2 GB an ONNX file cannot hold its own weights; these are handed over beside it.
BIG = 1024


class Graph:
    def __init__(self):
        self.nodes, self.constants, self.big, self.count = [], [], {}, 0

    def constant(self, value, dtype=np.float32):
        value = np.asarray(value, dtype=dtype, order="C")
        self.count += 1
        name = f"c{self.count}"
        if value.nbytes < BIG:
            self.constants.append(numpy_helper.from_array(value, name))
        else:
            tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
                                 dims=value.shape, data_location=TensorProto.EXTERNAL)
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", name
            self.constants.append(tensor)
            self.big[name] = value
        return name

    def add(self, kind, *inputs, domain="", outputs=1, **attributes):
        names = []
        for _ in range(outputs):
            self.count += 1
            names.append(f"v{self.count}")
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names


def gelu(g, x, kind, fused):
    if kind == "quick_gelu":
        if fused:
            return g.add("QuickGelu", x, domain="com.microsoft", alpha=1.702)
        return g.add("Mul", x, g.add("Sigmoid", g.add("Mul", x, g.constant(1.702))))
    if kind == "gelu":
        return g.add("Gelu", x)
    raise SystemExit(f"peer_clip: activation {kind!r} is not built here")


def tower(get, config, projection, fused):
    width, heads = config["hidden_size"], config["num_attention_heads"]
    patch, eps = config["patch_size"], config.get("layer_norm_eps", 1e-5)
    side = config["image_size"] // patch
    head = width // heads
    g = Graph()

    def norm(x, name):
        return g.add("LayerNormalization", x, g.constant(get(name + ".weight")),
                     g.constant(get(name + ".bias")), axis=-1, epsilon=eps)

    def linear(x, name):
        y = g.add("MatMul", x, g.constant(get(name + ".weight").T))
        return g.add("Add", y, g.constant(get(name + ".bias")))

    v = "vision_model."
    x = g.add("Conv", "pixels", g.constant(get(v + "embeddings.patch_embedding.weight")),
              strides=[patch, patch])
    x = g.add("Reshape", x, g.constant([0, width, side * side], np.int64))
    x = g.add("Transpose", x, perm=[0, 2, 1])
    batch = g.add("Shape", "pixels", start=0, end=1)
    shape = g.add("Concat", batch, g.constant([1, width], np.int64), axis=0)
    first = g.add("Expand", g.constant(get(v + "embeddings.class_embedding").reshape(1, 1, -1)), shape)
    x = g.add("Concat", first, x, axis=1)
    x = g.add("Add", x, g.constant(get(v + "embeddings.position_embedding.weight")))
    x = norm(x, v + "pre_layrnorm")
    for layer in range(config["num_hidden_layers"]):
        p = f"{v}encoder.layers.{layer}."
        a = p + "self_attn."
        n = norm(x, p + "layer_norm1")
        if fused:
            weight = np.concatenate([get(a + f"{k}_proj.weight") for k in "qkv"]).T
            bias = np.concatenate([get(a + f"{k}_proj.bias") for k in "qkv"])
            y = g.add("Attention", n, g.constant(weight), g.constant(bias),
                      domain="com.microsoft", num_heads=heads)
        else:
            split = g.constant([0, -1, heads, head], np.int64)
            q, k, t = [g.add("Reshape", linear(n, a + f"{k}_proj"), split) for k in "qkv"]
            q = g.add("Transpose", q, perm=[0, 2, 1, 3])
            k = g.add("Transpose", k, perm=[0, 2, 3, 1])
            t = g.add("Transpose", t, perm=[0, 2, 1, 3])
            scores = g.add("Mul", g.add("MatMul", q, k), g.constant(head**-0.5))
            y = g.add("MatMul", g.add("Softmax", scores, axis=-1), t)
            y = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]),
                      g.constant([0, -1, width], np.int64))
        x = g.add("Add", x, linear(y, a + "out_proj"))
        h = linear(norm(x, p + "layer_norm2"), p + "mlp.fc1")
        h = gelu(g, h, config.get("hidden_act", "quick_gelu"), fused)
        x = g.add("Add", x, linear(h, p + "mlp.fc2"))
    x = g.add("Gather", x, g.constant(0, np.int64), axis=1)
    x = norm(x, v + "post_layernorm")
    x = g.add("MatMul", x, g.constant(projection.T))
    size = config["image_size"]
    graph = helper.make_graph(
        g.nodes, "clip", [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", projection.shape[0]])], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20),
                                                    helper.make_opsetid("com.microsoft", 1)])
    model.ir_version = 9
    return model, g.big


def session(folder, threads, fused):
    config = json.loads((folder / "config.json").read_text())
    vision = config.get("vision_config", config)
    defaults = dict(hidden_size=768, num_attention_heads=12, num_hidden_layers=12, patch_size=32,
                    image_size=224)
    vision = {**defaults, **vision}
    files = [safe_open(path, "np") for path in sorted(folder.glob("*.safetensors"))]
    where = {name: file for file in files for name in file.keys()}

    def get(name):
        return where[name].get_tensor(name).astype(np.float32)

    model, big = tower(get, vision, get("visual_projection.weight"), fused)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    names = list(big)
    options.add_external_initializers(names, [ort.OrtValue.ortvalue_from_numpy(big[n]) for n in names])
    made = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return made, vision["image_size"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graph", choices=["plain", "fused"], default="fused")
    parser.add_argument("--vector", action="store_true", help="print the first picture's vector and end")
    args = parser.parse_args()
    made, size = session(args.folder, args.threads, args.graph == "fused")
    rng = np.random.default_rng(0)
    if args.vector:
        ramp = np.sin(np.arange(3 * size * size, dtype=np.float64) * 0.37).astype(np.float32)
        print(json.dumps(made.run(None, {"pixels": ramp.reshape(1, 3, size, size)})[0][0].tolist()))
        return
    print("ready", flush=True)
    for line in sys.stdin:
        if not line.strip():
            break
        batch, repeats = map(int, line.split())
        pixels = rng.standard_normal((batch, 3, size, size)).astype(np.float32)
        made.run(None, {"pixels": pixels})
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            made.run(None, {"pixels": pixels})
            times.append((time.perf_counter() - start) * 1e3)
        print(f"{np.median(times):.3f} {min(times):.3f}", flush=True)


if __name__ == "__main__":
    main()
