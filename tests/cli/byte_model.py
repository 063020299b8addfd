"""A small language model of the tests' own."""

import json
import math
import random
import struct


def write_tensors(folder, tensors):
    """model.safetensors, from name: (shape, the bytes of its f32)."""
    header, data = {}, b""
    for name, (shape, content) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_tokenizer(folder):
    """A tokenizer whose tokens are bytes, and ChatML's marks."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in itself]
    letters = {chr(b): b for b in itself} | {chr(256 + i): b for i, b in enumerate(others)}
    marks = [{"id": 256 + i, "content": mark, "special": True} for i, mark in enumerate(["<|im_start|>", "<|im_end|>"])]
    (folder / "tokenizer.json").write_text(json.dumps(
        {"added_tokens": marks, "normalizer": None, "post_processor": None, "decoder": {"type": "ByteLevel"},
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
         "model": {"type": "BPE", "merges": [], "vocab": letters}}))


def drawn(shape, noise):
    numbers = [1.0] * shape[0] if len(shape) == 1 else [noise.gauss(0, 0.3) for _ in range(math.prod(shape))]
    return shape, struct.pack(f"<{len(numbers)}f", *numbers)


def tower(width, hidden, into):
    """A picture tower of one layer and its projector, by LLaVA's names: 28 pixels in four patches."""
    layer, tensors = "encoder.layers.0.", {}
    shapes = {"embeddings.class_embedding": (width,), "embeddings.patch_embedding.weight": (width, 3, 14, 14),
              "embeddings.position_embedding.weight": (5, width)}
    for norm in ("pre_layrnorm.", layer + "layer_norm1.", layer + "layer_norm2."):
        shapes |= {norm + "weight": (width,), norm + "bias": (width,)}
    dense = [(layer + f"self_attn.{p}_proj.", width, width) for p in ("q", "k", "v", "out")]
    for name, rows, columns in [*dense, (layer + "mlp.fc1.", hidden, width), (layer + "mlp.fc2.", width, hidden)]:
        shapes |= {name + "weight": (rows, columns), name + "bias": (rows,)}
    tensors = {"vision_tower.vision_model." + name: shape for name, shape in shapes.items()}
    for name, columns in (("linear_1.", width), ("linear_2.", into)):
        tensors |= {"multi_modal_projector." + name + "weight": (into, columns),
                    "multi_modal_projector." + name + "bias": (into,)}
    return tensors


def language_model(folder, context=512, sees=False, ends=True):
    """A decoder of random numbers whose tokens are bytes, as a folder of the hub has it; a LLaVA if it sees. One that
    does not end never finds its end token the most probable."""
    width, hidden, layers, vocabulary = 32, 64, 2, 258
    noise = random.Random(5)
    tensors = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,),
               "lm_head.weight": (vocabulary, width)}
    for i in range(layers):
        at = f"model.layers.{i}."
        tensors |= {at + "input_layernorm.weight": (width,), at + "post_attention_layernorm.weight": (width,),
                    at + "mlp.gate_proj.weight": (hidden, width), at + "mlp.up_proj.weight": (hidden, width),
                    at + "mlp.down_proj.weight": (width, hidden)}
        tensors |= {at + f"self_attn.{p}_proj.weight": (width, width) for p in "qkvo"}
    config = {"model_type": "llama", "hidden_size": width, "num_attention_heads": 4, "intermediate_size": hidden,
              "num_hidden_layers": layers, "vocab_size": vocabulary, "max_position_embeddings": context,
              "eos_token_id": 257}
    if sees:
        tensors = {"language_model." + name: shape for name, shape in tensors.items()} | tower(24, 48, width)
        seen = {"model_type": "clip_vision_model", "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1,
                "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
        config = {"model_type": "llava", "text_config": config, "vision_config": seen, "vision_feature_layer": -1}
    folder.mkdir()
    made = {name: drawn(shape, noise) for name, shape in tensors.items()}
    if not ends:
        head = next(name for name in made if name.endswith("lm_head.weight"))
        made[head] = made[head][0], made[head][1][:-4 * width] + bytes(4 * width)
    write_tensors(folder, made)
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder)
    return folder
