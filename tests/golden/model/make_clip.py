"""Write clip.json: what transformers' CLIP gives for small random models of every form that matters.

    reference-env run python3 tests/golden/model/make_clip.py

The weights are not stored. Each tensor is described by a mean, a scale and a spike, and made from
the hash of its name by the generator of synthetic.py, which tests/model/synthetic.c repeats; so is
each picture. What is stored is the recipe and the vectors that came out, computed in f32 from weights
that were first rounded to the type of the case's file.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection,
                          CLIPVisionConfig, CLIPVisionModelWithProjection)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from synthetic import hash_name, noise, rounded  # noqa: E402


def recipe(name, shape):
    """(mean, scale, period, spike) that keep the activations of a trained model in mind: some
    channels far larger than the rest, norms away from 1, biases that matter."""
    fan = shape[-1] if len(shape) == 2 else int(np.prod(shape[1:])) if len(shape) == 4 else 1
    if "norm" in name or "layrnorm" in name:
        return (1.0, 0.3, 17, 2.5) if name.endswith("weight") else (0.0, 0.2, 0, 1.0)
    if name.endswith("fc2.bias") or name.endswith("class_embedding"):
        return 0.0, 0.3, 29, 12.0
    if name.endswith("bias"):
        return 0.05, 0.3, 0, 1.0
    if "embedding" in name and len(shape) == 2:
        return 0.0, 0.4, 0, 1.0
    if "q_proj" in name or "k_proj" in name:
        return 0.0, 1.4 / fan**0.5, 0, 1.0
    return 0.0, 1.0 / fan**0.5, 101, 4.0


def vision(width, heads, layers, mlp, patch, size, **more):
    return dict(hidden_size=width, num_attention_heads=heads, num_hidden_layers=layers,
                intermediate_size=mlp, patch_size=patch, image_size=size, **more)


def text(width, heads, layers, mlp, vocab, length, **more):
    return dict(hidden_size=width, num_attention_heads=heads, num_hidden_layers=layers,
                intermediate_size=mlp, vocab_size=vocab, max_position_embeddings=length,
                pad_token_id=1, bos_token_id=0, **more)


def clip(v, t, projection):
    return dict(model_type="clip", projection_dim=projection, vision_config=v, text_config=t)


# The highest id ends a text where the configuration says 2 (as OpenAI's own files do), else the id
# it names; the third text has that end twice, and tokens after it that must not matter.
LEGACY = [[0, 17, 5, 198], [0, 198], [0, 3, 9, 198, 7, 7, 198, 1], [0, 190, 2, 2, 60, 61, 62, 63, 5, 198],
          [198], [0] + [i * 7 % 190 for i in range(18)] + [198]]
NAMED = [[0, 17, 5, 150], [0, 150], [0, 199, 9, 150, 7, 199, 150], [150], [0, 150, 150, 150],
         [0] + [i * 11 % 150 for i in range(18)] + [150]]

CASES = [
    dict(name="b32", dtype="float32", texts=LEGACY, images=3,
         config=clip(vision(64, 4, 3, 128, 32, 224), text(48, 4, 2, 96, 199, 20, eos_token_id=2), 40)),
    dict(name="b32-f16-shards", dtype="float16", shards=3, texts=NAMED, images=3,
         config=clip(vision(128, 2, 2, 512, 32, 224, hidden_act="gelu"),
                     text(128, 2, 2, 256, 200, 20, eos_token_id=150, hidden_act="gelu"), 64)),
    dict(name="b32-bf16-prefix", dtype="bfloat16", prefix="model.", texts=LEGACY, images=3,
         buffers=True,
         config=clip(vision(96, 3, 3, 200, 32, 224, hidden_act="gelu_new", layer_norm_eps=1e-3),
                     text(64, 1, 3, 160, 199, 20, eos_token_id=2, hidden_act="gelu_new",
                          layer_norm_eps=1e-3), 48)),
    dict(name="l14-336", dtype="float32", shards=2, texts=LEGACY, images=2, buffers=True,
         config=clip(vision(128, 2, 3, 256, 14, 336), text(96, 6, 2, 192, 199, 20, eos_token_id=2), 72)),
    dict(name="l14-336-f16", dtype="float16", texts=LEGACY, images=2,
         config=clip(vision(160, 2, 2, 320, 14, 336), text(80, 1, 2, 160, 199, 20, eos_token_id=2), 56)),
    dict(name="odd", dtype="bfloat16", texts=NAMED, images=4,
         config=clip(vision(60, 4, 2, 91, 7, 45), text(33, 3, 2, 65, 200, 20, eos_token_id=150), 19)),
    dict(name="vision-only", dtype="bfloat16", images=3,
         config=dict(model_type="clip_vision_model", projection_dim=24,
                     **vision(64, 2, 2, 128, 16, 64))),
    dict(name="text-only", dtype="float16", texts=NAMED,
         config=dict(model_type="clip_text_model", projection_dim=24,
                     **text(64, 2, 2, 128, 200, 20, eos_token_id=150))),
]


def build(config):
    kind = config["model_type"]
    rest = {k: v for k, v in config.items() if k != "model_type"}
    if kind == "clip_vision_model":
        return CLIPVisionModelWithProjection(CLIPVisionConfig(**rest)), config, None
    if kind == "clip_text_model":
        return CLIPTextModelWithProjection(CLIPTextConfig(**rest)), None, config
    return CLIPModel(CLIPConfig(**rest)), config["vision_config"], config["text_config"]


def vectors(tensor):
    return [[float(np.format_float_scientific(x, precision=8)) for x in row] for row in tensor.numpy()]


def run(case):
    torch.manual_seed(0)
    model, v, t = build(case["config"])
    model = model.eval().to(torch.float32)
    state, tensors = {}, []
    for name, old in model.state_dict().items():
        if name == "logit_scale":
            mean, scale, period, spike = 2.5, 0.1, 0, 1.0
        else:
            mean, scale, period, spike = recipe(name, tuple(old.shape))
        scale = float(np.float32(scale))
        seed = hash_name(case["name"] + "/" + name)
        made = noise(seed, old.numel(), mean, scale, period, spike)
        state[name] = rounded(made, case["dtype"]).reshape(old.shape)
        tensors.append([name, list(old.shape), mean, scale, period, spike])
    model.load_state_dict(state)
    out = dict(case, config=json.dumps(case["config"]), tensors=tensors)
    with torch.no_grad():
        if v and case.get("images"):
            side = v["image_size"]
            count = 3 * side * side
            pixels = [noise(hash_name(f"{case['name']}/image {i}"), count, 0.0, 1.0)
                      .reshape(1, 3, side, side) for i in range(case["images"])]
            given = torch.from_numpy(np.concatenate(pixels))
            if hasattr(model, "get_image_features"):
                made = model.get_image_features(pixel_values=given)
                made = made if torch.is_tensor(made) else made.pooler_output
            else:
                made = model(pixel_values=given).image_embeds
            out["image_vectors"] = vectors(made)
        if t and case.get("texts"):
            made = []
            for ids in case["texts"]:
                given = torch.tensor([ids])
                if hasattr(model, "get_text_features"):
                    one = model.get_text_features(input_ids=given)
                    one = one if torch.is_tensor(one) else one.pooler_output
                else:
                    one = model(input_ids=given).text_embeds
                made.append(one)
            out["text_vectors"] = vectors(torch.cat(made))
    return out


def main():
    cases = [run(case) for case in CASES]
    lines = []
    for case in cases:
        rows = ",\n  ".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":"))
                            for k, v in case.items())
        lines.append("{" + rows + "}")
    (HERE / "clip.json").write_text('{"cases": [\n' + ",\n".join(lines) + "\n]}\n")
    for case in cases:
        for key in ("image_vectors", "text_vectors"):
            if key in case:
                values = np.array(case[key])
                unit = values / np.linalg.norm(values, axis=1, keepdims=True)
                cosines = unit @ unit.T
                print(case["name"], key, values.shape, "rms %.3f" % values.std(),
                      "nearest pair %.3f" % np.sort(cosines[~np.eye(len(values), dtype=bool)])[-1]
                      if len(values) > 1 else "", file=sys.stderr)


main()
