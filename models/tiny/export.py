"""Writes the trained model as a Hugging Face CLIP folder: weights in f16, configuration, recipe,
tokenizer.

Usage: export.py [--work FOLDER] [--out FOLDER]
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

import tokenizer
import train

HERE = pathlib.Path(__file__).parent


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def configuration(vocabulary):
    """Every field written out, so that no reader has to know transformers' defaults."""
    full = train.config(vocabulary)
    shared = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
              "hidden_act", "layer_norm_eps", "attention_dropout", "projection_dim",
              "initializer_factor", "initializer_range")
    text = {"model_type": "clip_text_model", "vocab_size": full.text_config.vocab_size,
            "max_position_embeddings": full.text_config.max_position_embeddings,
            **{f: getattr(full.text_config, f) for f in shared},
            **{f: getattr(full.text_config, f)
               for f in ("bos_token_id", "eos_token_id", "pad_token_id")}}
    vision = {"model_type": "clip_vision_model", "image_size": train.SIDE,
              "patch_size": train.PATCH, "num_channels": 3,
              **{f: getattr(full.vision_config, f) for f in shared}}
    return {"architectures": ["CLIPModel"], "model_type": "clip", "torch_dtype": "float16",
            "projection_dim": full.projection_dim, "initializer_factor": 1.0,
            "logit_scale_init_value": full.logit_scale_init_value,
            "text_config": text, "vision_config": vision}


def preprocessing():
    return {"image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True,
            "do_resize": True, "size": {"shortest_edge": train.SIDE}, "resample": 3,
            "do_center_crop": True, "crop_size": {"height": train.SIDE, "width": train.SIDE},
            "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
            "image_mean": list(train.MEAN), "image_std": list(train.STD)}


def export(work, out):
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = tokenizer.save(out).get_vocab_size()
    learner = train.Learner(vocabulary)
    kept = torch.load(work / "checkpoint.pt", weights_only=True)
    learner.load_state_dict(kept["learner"])
    weights = {name: value.half().contiguous() for name, value in learner.clip.state_dict().items()
               if not name.endswith("position_ids")}
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise SystemExit(f"{name} does not fit into f16")
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    write_json(out / "config.json", configuration(vocabulary))
    write_json(out / "preprocessor_config.json", preprocessing())
    print(f"stage {kept['stage']} step {kept['step']}: "
          f"{sum(w.numel() for w in weights.values())} parameters to {out}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/tiny-train"))
    arguments.add_argument("--out", type=pathlib.Path, default=HERE)
    given = arguments.parse_args()
    export(given.work, given.out)
