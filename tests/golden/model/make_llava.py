"""Write llava.json: what transformers gives for small random LLaVAs, of pictures and of prompts with one; and
llava_chat.json: conversations about picture files, from their words and bytes on.

    reference-env run python3 tests/golden/model/make_llava.py        ("chat" behind it: the second alone)

Weights and pixels are not stored, but made from the hash of their names by synthetic.py, which
tests/model/synthetic.c repeats. Stored are the rows that a picture becomes, the logits after a prompt
that holds it, and the tokens that follow when the most probable one is taken each time; computed in f32
from weights that were first rounded to the type of the case's file. Of the numbers that a case's "space"
may end in, the first is taken that makes no choice a close one.

The conversations' tokenizer has a token for every byte, <s>, </s> and <image>; their words stand in the form
of LLaVA 1.5 on the hub. Their pictures are PNG files, of the size that the tower takes and of another, which
Pillow brings to it by CLIP's recipe.
"""
import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from synthetic import hash_name, noise, rounded  # noqa: E402

TOKENS, IMAGE = 16, 90
PROMPT = [1, 17, 5, IMAGE, 33, 60, 2, 71]


def recipe(name, shape):
    fan = shape[-1] if len(shape) == 2 else int(np.prod(shape[1:])) if len(shape) == 4 else 1
    if "norm" in name:
        return (1.0, 0.3, 17, 2.5) if name.endswith("weight") else (0.0, 0.2, 0, 1.0)
    if name.endswith("fc2.bias") or name.endswith("class_embedding"):
        return 0.0, 0.3, 29, 12.0
    if name.endswith("bias"):
        return 0.05, 0.3, 0, 1.0
    if "embed_tokens" in name or ("embedding" in name and len(shape) == 2):
        return 0.0, 0.4, 0, 1.0
    if "q_proj" in name or "k_proj" in name or "linear_" in name or "lm_head" in name:
        return 0.0, 1.6 / fan**0.5, 0, 1.0
    return 0.0, 1.0 / fan**0.5, 101, 4.0


def config(vision, text, **more):
    return dict(model_type="llava", image_token_index=IMAGE, vision_config=vision, text_config=text, **more)


def vision(width, heads, layers, hidden, image, patch, **more):
    return dict(model_type="clip_vision_model", hidden_size=width, num_attention_heads=heads,
                num_hidden_layers=layers, intermediate_size=hidden, image_size=image, patch_size=patch, **more)


def text(width, heads, kv_heads, hidden, layers, **more):
    return dict(model_type="llama", hidden_size=width, num_attention_heads=heads, num_key_value_heads=kv_heads,
                intermediate_size=hidden, num_hidden_layers=layers, vocab_size=97, max_position_embeddings=128,
                bos_token_id=1, eos_token_id=2, **more)


CASES = [
    dict(name="plain", dtype="float32", naming="hub",
         config=config(vision(48, 3, 3, 80, 42, 14), text(64, 4, 2, 96, 2))),
    dict(name="full", dtype="bfloat16", naming="saved",
         config=config(vision(64, 2, 2, 96, 40, 8, hidden_act="gelu"), text(48, 3, 3, 80, 2),
                       vision_feature_layer=-1, vision_feature_select_strategy="full",
                       projector_hidden_act="gelu_pytorch_tanh")),
    dict(name="third", dtype="float16", naming="state",
         config=config(vision(32, 2, 4, 64, 32, 8), text(64, 2, 1, 96, 2), vision_feature_layer=2,
                       multimodal_projector_bias=False)),
]


def spelled(name, naming):
    if naming == "state":
        return name
    name = name.replace("model.language_model.", "language_model.model.").replace("lm_head.", "language_model.lm_head.")
    name = name.replace("model.multi_modal_projector.", "multi_modal_projector.")
    return name.replace("model.vision_tower.", "vision_tower.vision_model." if naming == "hub" else "vision_tower.")


def build(given):
    made = LlavaConfig(**dict(given, vision_config=CLIPVisionConfig(**given["vision_config"]),
                              text_config=LlamaConfig(**given["text_config"])))
    made._attn_implementation = "eager"
    return LlavaForConditionalGeneration(made).eval().float()


def weights(case, model):
    state, tensors = {}, []
    for name, old in model.state_dict().items():
        mean, scale, period, spike = recipe(name, tuple(old.shape))
        scale = float(np.float32(scale))
        file = spelled(name, case["naming"])
        made = noise(hash_name(case["space"] + "/" + file), old.numel(), mean, scale, period, spike)
        state[name] = rounded(made, case["dtype"]).reshape(old.shape)
        tensors.append([file, list(old.shape), mean, scale, period, spike])
    model.load_state_dict(state)
    return tensors


def short(row):
    return [float(np.format_float_scientific(x, precision=7)) for x in row.numpy()]


def attempt(case):
    model = build(case["config"])
    out = dict(case, config=json.dumps(case["config"]), tensors=weights(case, model))
    side = case["config"]["vision_config"]["image_size"]
    pixels = noise(hash_name(case["space"] + "/pixels"), 3 * side * side, 0.0, 1.0)
    pixels = torch.from_numpy(pixels).reshape(1, 3, side, side)
    with torch.no_grad():
        rows = model.model.get_image_features(pixel_values=pixels)
        rows = rows.pooler_output if hasattr(rows, "pooler_output") else rows
        rows = (rows[0] if isinstance(rows, (list, tuple)) else rows).reshape(-1, rows[0].shape[-1])
        out["rows"] = [short(row) for row in rows]
        at = PROMPT.index(IMAGE)
        ids = PROMPT[:at] + [IMAGE] * len(rows) + PROMPT[at + 1:]
        margin, greedy = 1e9, []
        for _ in range(TOKENS):
            logits = model(input_ids=torch.tensor([ids + greedy]), pixel_values=pixels, use_cache=False).logits[0, -1]
            if not greedy:
                out["logits"] = short(logits)
            logits[IMAGE] = -1e9  # a picture has no place in an answer
            best = torch.topk(logits, 2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            greedy.append(int(best.indices[0]))
    return dict(out, prompt=PROMPT, greedy=greedy), margin


def run(case):
    for number in range(200):
        out, margin = attempt(dict(case, space=f"llava {case['name']} {number}"))
        if margin > 0.02 and len(set(out["greedy"])) >= TOKENS // 3:
            print(out["space"], "margin %.4f" % margin, file=sys.stderr)
            return out
    raise SystemExit(f"{case['name']}: every choice is close")


BYTES, START, END, PICTURE, CHAT_TOKENS = 256, 256, 257, 258, 12
CHAT = dict(name="chat", dtype="float32", naming="hub", config=dict(
    model_type="llava", image_token_index=PICTURE, vision_config=vision(48, 3, 3, 80, 42, 14),
    text_config=dict(text(64, 4, 2, 96, 2), vocab_size=264, max_position_embeddings=384, bos_token_id=START,
                     eos_token_id=END)))
CONVERSATIONS = [
    [("user", [0], "What is it?")],
    [("user", [0], "Where does it live?")],
    [("user", [1], "What is it?")],
    [("user", [0, 1], "Which is larger?")],
    [("user", [1], "What is it?"), ("assistant", [], "A kite."), ("user", [], "Whose?")],
    [("user", [0], "And this?"), ("assistant", [], "A key."), ("user", [1, 0], "Both?")],
    [("user", [], "No picture at all.")],
]


def tokenizer():
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in itself]
    letters = {chr(b): b for b in itself} | {chr(256 + i): b for i, b in enumerate(others)}
    marks = [dict(id=START + i, content=mark, special=True) for i, mark in enumerate(["<s>", "</s>", "<image>"])]
    start = dict(type="TemplateProcessing", special_tokens={"<s>": dict(id="<s>", ids=[START], tokens=["<s>"])},
                 single=[dict(SpecialToken=dict(id="<s>", type_id=0)), dict(Sequence=dict(id="A", type_id=0))],
                 pair=[dict(Sequence=dict(id="A", type_id=0)), dict(Sequence=dict(id="B", type_id=1))])
    return dict(added_tokens=marks, normalizer=None, post_processor=start, decoder=dict(type="ByteLevel"),
                pre_tokenizer=dict(type="ByteLevel", add_prefix_space=False, use_regex=False),
                model=dict(type="BPE", merges=[], vocab=letters))


def png(width, height, seed):
    y, x = np.mgrid[0:height, 0:width]
    spots = np.stack([(x // (3 + seed) + y // 5) % 3 * 90 + 30, (x * 5 + seed * 40) // 8 * 8 % 256,
                      (y * (7 - seed)) // 16 * 16 % 256], axis=-1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(spots).save(out, "PNG", optimize=True)
    return out.getvalue()


def seen(data, side):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    scale = side / min(width, height)
    size = (side, int(side * height / width)) if width < height else (int(side * width / height), side)
    image = image if scale == 1 and width == height else image.resize(size, Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    values = np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.float32) / 255
    mean = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
    std = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
    return torch.from_numpy(((values - mean) / std).transpose(2, 0, 1).copy())


def chat_ids(turns, rows):
    ids, words = [START], ""
    for role, pictures, said in turns:
        words += role.upper() + ": "
        for _ in pictures:
            ids += list(words.encode()) + [PICTURE] * rows
            words = "\n"
        words += said + " "
    return ids + list((words + "ASSISTANT:").encode())


def converse(model, pictures, rows, turns):
    ids, shown = chat_ids(turns, rows), [pictures[i] for _, which, _ in turns for i in which]
    margin, greedy = 1e9, []
    for _ in range(CHAT_TOKENS):
        pixels = dict(pixel_values=torch.stack(shown)) if shown else {}
        logits = model(input_ids=torch.tensor([ids + greedy]), use_cache=False, **pixels).logits[0, -1]
        best = torch.topk(logits, 2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        greedy.append(int(best.indices[0]))
        if margin < 0.04 or greedy[-1] >= BYTES:
            return None, 0
    said = [dict(role=role, pictures=which, text=said) for role, which, said in turns]
    return dict(turns=said, prompt_tokens=len(ids), greedy=greedy), margin


def chat():
    model, files = build(CHAT["config"]), [png(42, 42, 1), png(61, 47, 2)]
    pictures = [seen(data, 42) for data in files]
    for number in range(3000):
        case = dict(CHAT, space=f"llava chat {number}")
        tensors, conversations = weights(case, model), []
        with torch.no_grad():
            for turns in CONVERSATIONS:
                made, margin = converse(model, pictures, 9, turns)
                if not made:
                    break
                conversations.append(made)
        if len(conversations) == len(CONVERSATIONS) and len({tuple(c["greedy"]) for c in conversations}) > 5:
            print(case["space"], file=sys.stderr)
            return dict(case, config=json.dumps(CHAT["config"]), tensors=tensors, tokenizer=json.dumps(tokenizer()),
                        pictures=[base64.b64encode(data).decode() for data in files], conversations=conversations)
    raise SystemExit("chat: every choice is close")


def written(made):
    return "{" + ",\n  ".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":")) for k, v in made.items()) + "}"


if __name__ == "__main__":
    if "chat" not in sys.argv:
        (HERE / "llava.json").write_text('{"cases": [\n' + ",\n".join(map(written, map(run, CASES))) + "\n]}\n")
    (HERE / "llava_chat.json").write_text(written(chat()) + "\n")
