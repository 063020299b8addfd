"""Writes resample.txt: checksums of Pillow's Image.resize on made-up pictures.

Run where Pillow is: python3 make_resample.py
A line: width height target_width target_height filter seed crc32. The picture is made from the seed
by the same arithmetic here and in tests/image/fixtures.c. Filters are Pillow's numbers.
"""
import os
import zlib

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))

SIZES = [
    # width, height, target width, target height
    (1, 1, 1, 1), (1, 1, 7, 5), (1, 1, 64, 64), (2, 1, 1, 2), (1, 2, 3, 1), (2, 2, 3, 3),
    (3, 5, 5, 3), (4, 4, 2, 2), (5, 7, 224, 224), (7, 7, 7, 3), (7, 7, 3, 7), (8, 8, 8, 8),
    (13, 1, 5, 1), (1, 13, 1, 5), (17, 31, 16, 30), (31, 17, 33, 19), (33, 33, 32, 32),
    (64, 48, 85, 64), (100, 75, 37, 28), (101, 67, 337, 224), (127, 129, 64, 65),
    (200, 3, 9, 40), (3, 200, 40, 9), (223, 224, 224, 224), (225, 223, 224, 224),
    (255, 256, 31, 1), (257, 255, 1, 31), (320, 240, 298, 224), (333, 500, 224, 336),
    (500, 333, 336, 224), (640, 427, 64, 64), (1000, 1, 3, 1), (1, 1000, 1, 3),
    (1024, 8, 8, 1024), (1333, 1000, 298, 224), (5000, 2, 11, 2), (2, 5000, 2, 11),
    (4001, 17, 1, 1), (65535, 1, 2, 1), (1, 65535, 1, 2), (1, 300, 4096, 3),
]


def picture(width, height, seed):
    """Noise with flat extremes in it, so that sums are clipped at both ends."""
    i = np.arange(width * height * 3, dtype=np.uint64)
    h = ((i + seed * 0x9E3779B1) * 2654435761 & 0xFFFFFFFF).astype(np.uint64)
    h ^= h >> np.uint64(15)
    h = h * 2246822519 & 0xFFFFFFFF
    h ^= h >> np.uint64(13)
    value = (h & 255).astype(np.uint8)
    extreme = (h >> np.uint64(8) & 3) == 0
    value[extreme] = np.where(h[extreme] >> np.uint64(16) & 1, 255, 0)
    return Image.fromarray(value.reshape(height, width, 3), "RGB")


if __name__ == "__main__":
    with open(os.path.join(HERE, "resample.txt"), "w") as out:
        for number, (w, h, tw, th) in enumerate(SIZES):
            for kind in range(6):
                seed = number * 6 + kind
                made = picture(w, h, seed).resize((tw, th), kind)
                out.write(f"{w} {h} {tw} {th} {kind} {seed} {zlib.crc32(made.tobytes()):08x}\n")
