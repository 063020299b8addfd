"""Writes tests/golden/model/tiny_clip.json: what transformers makes of the built-in model.

Four example pictures, one a format, and seven texts: token ids and unit-length vectors, computed
in f32 from the f16 file. Pictures are decoded by Pillow and prepared by the Pillow processor.
"""
import one_thread  # first
import json

from PIL import Image

from reference import HERE, Reference

OUT = HERE.parent.parent / "tests" / "golden" / "model" / "tiny_clip.json"
PICTURES = ("blue-star.png", "green-triangle.jpg", "two-stars.webp", "hearts.gif")
TEXTS = ("a red circle", "a small blue star at the top",
         "A LARGE  red star on the right,\n and a small orange star in the centre.",
         "green heart", "it's 42 naïve 日本語 ☃!!", "",
         "a large purple star in the middle, a small red diamond at the top and a little "
         "orange dot on the left")


def rounded(row):
    return [float(f"{v:.8g}") for v in row]


def main():
    model = Reference()
    pictures = model.pictures([Image.open(HERE / "examples" / n).convert("RGB") for n in PICTURES])
    texts = model.texts(TEXTS)
    golden = {
        "model": "models/tiny",
        "images": [{"path": f"models/tiny/examples/{n}", "embedding": rounded(v)}
                   for n, v in zip(PICTURES, pictures)],
        "texts": [{"text": t, "ids": model.ids(t), "embedding": rounded(v)}
                  for t, v in zip(TEXTS, texts)]}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(golden, indent=None, separators=(",", ":"), ensure_ascii=False)
                   .replace('{"path"', '\n{"path"').replace('{"text"', '\n{"text"') + "\n")


if __name__ == "__main__":
    main()
