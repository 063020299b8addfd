"""Writes the trained model as a Hugging Face LLaVA folder: weights in f16 under the names of
LLaVA-1.5's folders, configuration, recipe, tokenizer. The tower's weights are the tiny CLIP's.

Usage: export.py [--work FOLDER] [--out FOLDER]
"""
import world  # first
import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file

import decoder
import words

PATCHES = 64


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def configuration(vocabulary):
    """Every field written out, so that no reader has to know transformers' defaults."""
    clip = json.loads((world.CLIP / "config.json").read_text())
    text = {"model_type": "llama", "architectures": ["LlamaForCausalLM"],
            "vocab_size": vocabulary, "hidden_size": decoder.WIDTH,
            "intermediate_size": decoder.INNER, "num_hidden_layers": decoder.LAYERS,
            "num_attention_heads": decoder.HEADS, "num_key_value_heads": decoder.HEADS,
            "head_dim": decoder.SIZE, "hidden_act": "silu",
            "max_position_embeddings": decoder.CONTEXT, "rms_norm_eps": decoder.EPSILON,
            "rope_theta": decoder.BASE, "attention_bias": False, "mlp_bias": False,
            "tie_word_embeddings": True, "bos_token_id": words.START,
            "eos_token_id": words.END, "pad_token_id": words.PAD, "torch_dtype": "float16"}
    return {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
            "torch_dtype": "float16", "image_token_index": words.IMAGE,
            "image_seq_length": PATCHES, "projector_hidden_act": "gelu",
            "multimodal_projector_bias": True, "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default", "tie_word_embeddings": True,
            "bos_token_id": words.START, "eos_token_id": words.END, "pad_token_id": words.PAD,
            "text_config": text, "vision_config": clip["vision_config"]}


def weights(net):
    """{name: f16 tensor} of the whole model."""
    found = {"language_model.model.embed_tokens.weight": net["embed"],
             "language_model.model.norm.weight": net["norm"]}
    names = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
             "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
             "down": "mlp.down_proj", "norm1": "input_layernorm",
             "norm2": "post_attention_layernorm"}
    for layer in range(decoder.LAYERS):
        for ours, theirs in names.items():
            found[f"language_model.model.layers.{layer}.{theirs}.weight"] = (
                net[f"blocks.{layer}.{ours}"])
    for part in ("linear_1.weight", "linear_1.bias", "linear_2.weight", "linear_2.bias"):
        found["multi_modal_projector." + part] = net[part]
    for name, value in load_file(world.CLIP / "model.safetensors").items():
        if name.startswith("vision_model."):
            found["vision_tower." + name] = value
    for name, value in found.items():
        found[name] = value.half().contiguous()
        if not torch.isfinite(found[name]).all():
            raise SystemExit(f"{name} does not fit into f16")
    return found


def export(work, out):
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = words.save(out).get_vocab_size()
    kept = torch.load(work / "checkpoint.pt", weights_only=True)
    written = weights(kept["net"])
    save_file(written, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    write_json(out / "config.json", configuration(vocabulary))
    write_json(out / "generation_config.json",
               {"bos_token_id": words.START, "eos_token_id": words.END, "pad_token_id": words.PAD,
                "do_sample": False})
    write_json(out / "processor_config.json",
               {"processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": 8,
                "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default"})
    shutil.copyfile(world.CLIP / "preprocessor_config.json", out / "preprocessor_config.json")
    text = sum(v.numel() for n, v in written.items() if n.startswith("language_model"))
    print(f"step {kept['step']}: {sum(v.numel() for v in written.values())} "
          f"parameters, {text} of them the decoder's, to {out}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--work", type=pathlib.Path,
                           default=pathlib.Path("build/tiny-llava-train"))
    arguments.add_argument("--out", type=pathlib.Path, default=world.HERE)
    given = arguments.parse_args()
    export(given.work, given.out)
