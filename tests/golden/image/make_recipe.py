"""Writes recipe.json: what transformers' image processors on Pillow make of made-up pictures.

Run where transformers and Pillow are: python3 make_recipe.py
An element: config (the text of a preprocessor_config.json), picture [width, height, seed] as in
make_resample.py, size [width, height] of the result, floats (crc32 of the f32 values, planar,
little-endian) and, unless it is padded at the end, pixels (crc32 of the 8-bit picture,
interleaved).
"""
import json
import os
import zlib

import numpy as np
from make_resample import picture
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = {
    "CLIPImageProcessor": CLIPImageProcessorPil,
    "LlavaImageProcessor": LlavaImageProcessorPil,
    "SiglipImageProcessor": SiglipImageProcessorPil,
    "ViTImageProcessor": ViTImageProcessorPil,
}
CLIP = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
AWKWARD = [(640, 427), (427, 640), (37, 211), (1, 1), (225, 224), (1, 300), (300, 1)]
SMALL = [(64, 43), (43, 64), (5, 7), (31, 20)]

CASES = [
    # the hub's clip-vit-base-patch32, with its plain integers
    ({"crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True,
      "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": CLIP[0], "image_std": CLIP[1],
      "resample": 3, "size": 224}, AWKWARD),
    ({}, AWKWARD[:3]),
    ({"image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor",
      "crop_size": {"height": 336, "width": 336}, "size": {"shortest_edge": 336},
      "do_rescale": True, "rescale_factor": 0.00392156862745098}, AWKWARD[:4]),
    ({"image_processor_type": "LlavaImageProcessor", "do_pad": True, "size": {"shortest_edge": 64},
      "crop_size": {"height": 64, "width": 64}}, AWKWARD),
    ({"image_processor_type": "LlavaImageProcessor", "do_pad": True, "do_center_crop": False,
      "size": {"height": 40, "width": 50}}, SMALL),
    ({"image_processor_type": "SiglipImageProcessor", "size": {"height": 56, "width": 48},
      "resample": 3}, AWKWARD),
    ({"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}, AWKWARD),
    # crops larger than the picture, by odd and even amounts, in one direction or both
    ({"size": {"shortest_edge": 20}, "crop_size": {"height": 31, "width": 31}}, SMALL),
    ({"size": {"shortest_edge": 20}, "crop_size": {"height": 10, "width": 50}}, SMALL),
    ({"size": {"shortest_edge": 21}, "crop_size": {"height": 64, "width": 16}}, SMALL),
    ({"do_resize": False, "crop_size": 25}, SMALL),
    ({"do_resize": False, "do_center_crop": False}, SMALL),
    ({"do_center_crop": False, "size": {"shortest_edge": 30}}, SMALL),
    ({"do_center_crop": False, "size": {"shortest_edge": 30, "longest_edge": 40}}, AWKWARD[:5]),
    ({"do_center_crop": False, "size": {"max_height": 30, "max_width": 40}}, SMALL),
    ({"size": 32, "crop_size": 32, "do_rescale": False}, SMALL),
    ({"size": 32, "crop_size": 32, "do_normalize": False}, SMALL),
    ({"size": 32, "crop_size": 32, "do_rescale": False, "do_normalize": False}, SMALL),
    ({"size": 32, "crop_size": 32, "rescale_factor": 0.00784313725490196, "image_mean": [1, 1, 1],
      "image_std": [0.3, 1, 2]}, SMALL),
    ({"size": 24, "crop_size": 24, "do_pad": True, "pad_size": {"height": 30, "width": 33}}, SMALL),
] + [({"size": 48, "crop_size": 48, "resample": kind}, AWKWARD[:3]) for kind in (0, 1, 2, 4, 5)]


def main():
    made = []
    for number, (config, sizes) in enumerate(CASES):
        kind = CLASSES[config.get("image_processor_type", "CLIPImageProcessor")]
        options = {k: v for k, v in config.items() if not k.endswith(("_type", "_class"))}
        processor = kind(**options)
        for width, height in sizes:
            image = picture(width, height, number)
            values = np.asarray(processor(image, return_tensors="np")["pixel_values"])[0]
            values = np.ascontiguousarray(values, dtype=np.float32)
            case = {"config": json.dumps(config), "picture": [width, height, number],
                    "size": [values.shape[2], values.shape[1]],
                    "floats": f"{zlib.crc32(values.tobytes()):08x}"}
            if not config.get("pad_size"):
                plain = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")
                pixels = np.asarray(plain["pixel_values"])[0].astype(np.uint8).transpose(1, 2, 0)
                case["pixels"] = f"{zlib.crc32(np.ascontiguousarray(pixels).tobytes()):08x}"
            made.append(case)
    with open(os.path.join(HERE, "recipe.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in made) + "\n]\n")


main()
