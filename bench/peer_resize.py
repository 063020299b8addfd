"""What bench_resize measures, for Pillow: decode, and resize to 224 pixels bicubic, on one thread.

python3 peer_resize.py FILE [REPEATS]     prints medians in milliseconds
python3 peer_resize.py --make FILE        writes a 12-megapixel JPEG to measure with
"""
import io
import statistics
import sys
import time

from PIL import Image


def make(path):
    import numpy as np

    y, x = np.mgrid[0:3000, 0:4000].astype(np.float32)
    rng = np.random.default_rng(7)
    waves = [np.sin(x / a + y / b) for a, b in ((37, 91), (211, 53), (17, 400))]
    picture = np.stack([128 + 90 * w for w in waves], -1) + rng.normal(0, 6, (3000, 4000, 1))
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def main():
    if sys.argv[1] == "--make":
        return make(sys.argv[2])
    data = open(sys.argv[1], "rb").read()
    decode, resize = [], []
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 11):
        start = time.perf_counter()
        image = Image.open(io.BytesIO(data)).convert("RGB")
        image.load()
        decode.append(time.perf_counter() - start)
        short = min(image.size)
        target = tuple(224 * edge // short for edge in image.size)
        start = time.perf_counter()
        image.resize(target, Image.Resampling.BICUBIC)
        resize.append(time.perf_counter() - start)
    print(f"decode   {statistics.median(decode) * 1e3:8.2f} ms")
    print(f"resize   {statistics.median(resize) * 1e3:8.2f} ms")


main()
