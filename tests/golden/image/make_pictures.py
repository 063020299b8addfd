"""Writes the sample pictures in pictures/ and pictures.txt, what they must decode to.

Run where Pillow is: python3 make_pictures.py
A line of pictures.txt: file width height crc32, of the RGB bytes, upright, alpha over white.
Expected pixels are Pillow's own wherever Pillow gives what we promise; 16-bit grey is scaled here,
because Pillow clips it, and what Pillow cannot write is written here by hand.
"""
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, ImageSequence

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "pictures")
INDEX = []


def scene(width, height, channels=3):
    """Soft waves with some grain: neither flat nor noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    grain = np.random.default_rng(width * 1000 + height).normal(0, 5, (height, width))
    waves = [np.sin(x / (3 + c) + y / (5 + 2 * c) + c) for c in range(channels)]
    return np.stack([127 + 110 * wave + grain for wave in waves], -1).clip(0, 255).astype(np.uint8)


def rgb(width=29, height=23):
    return Image.fromarray(scene(width, height), "RGB")


def over_white(image):
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def add(name, data, expected=None):
    with open(os.path.join(FOLDER, name), "wb") as out:
        out.write(data)
    made = expected if expected is not None else over_white(Image.open(io.BytesIO(data)))
    INDEX.append(f"{name} {made.width} {made.height} {zlib.crc32(made.tobytes()):08x}")


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# -- JPEG --


def jpegs():
    picture = rgb()
    for subsampling, name in ((0, "444"), (1, "422"), (2, "420")):
        add(f"jpeg_{name}.jpg", saved(picture, "JPEG", quality=88, subsampling=subsampling))
        add(f"jpeg_{name}_progressive.jpg",
            saved(picture, "JPEG", quality=80, subsampling=subsampling, progressive=True))
    add("jpeg_grey.jpg", saved(picture.convert("L"), "JPEG", quality=85))
    add("jpeg_rgb.jpg", saved(picture, "JPEG", quality=85, keep_rgb=True))
    add("jpeg_restarts.jpg", saved(picture, "JPEG", quality=85, restart_marker_blocks=1))
    add("jpeg_1x1.jpg", saved(rgb(1, 1), "JPEG"))
    add("jpeg_odd.jpg", saved(rgb(67, 3), "JPEG", subsampling=2))
    add("jpeg_trailing.jpg", saved(picture, "JPEG", quality=50) + b"more bytes after the end")
    cmyk = saved(Image.fromarray(scene(29, 23, 4), "CMYK"), "JPEG", quality=90)
    add("jpeg_cmyk.jpg", cmyk)
    at = cmyk.index(b"Adobe")
    assert cmyk[at + 11] == 0
    add("jpeg_ycck.jpg", cmyk[: at + 11] + b"\2" + cmyk[at + 12 :])
    plain = saved(Image.fromarray(scene(29, 23, 4), "CMYK"), "JPEG", quality=90)
    start = plain.index(b"\xff\xee")
    length = struct.unpack(">H", plain[start + 2 : start + 4])[0]
    add("jpeg_cmyk_unmarked.jpg", plain[:start] + plain[start + 2 + length :])


def orientations():
    picture = rgb(17, 11)
    for value in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        add(f"orient_{value}.jpg", saved(picture, "JPEG", quality=90, exif=exif))
    exif[0x0112] = 6
    add("orient_6.png", saved(picture, "PNG", exif=exif))
    add("orient_6.webp", saved(picture, "WEBP", lossless=True, exif=exif))
    big = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x05\0\0\0\0\0\0"
    add("orient_5_big_endian.jpg", saved(picture, "JPEG", exif=big))
    nonsense = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0"
    add("orient_99.jpg", saved(picture, "JPEG", exif=nonsense))


# -- PNG, by hand, so that every depth, colour type and interlacing occurs --


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def pack_row(row, depth):
    """Samples [X, C] of a row to bytes."""
    flat = row.reshape(-1)
    if depth == 16:
        return flat.astype(">u2").tobytes()
    if depth == 8:
        return flat.astype(np.uint8).tobytes()
    bits = "".join(format(int(v), f"0{depth}b") for v in flat)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def png(samples, depth, kind, interlaced=False, before=b"", after=b""):
    height, width, _ = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                  (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x, y, dx, dy in passes:
        part = samples[y::dy, x::dx]
        if part.size:
            raw += b"".join(b"\0" + pack_row(row, depth) for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
            + chunk(b"IDAT", zlib.compress(raw, 9)) + after + chunk(b"IEND", b""))


def wide(width, height, channels):
    """16-bit samples whose low bytes matter."""
    low = np.random.default_rng(3).integers(0, 256, (height, width, channels))
    return scene(width, height, channels).astype(np.uint16) * 256 + low.astype(np.uint16)


def pngs():
    w, h = 21, 13
    eight = {c: scene(w, h, c) for c in (1, 2, 3, 4)}
    sixteen = {c: wide(w, h, c) for c in (1, 2, 3, 4)}
    palette = chunk(b"PLTE", scene(16, 1, 3).tobytes())
    palettes = {d: chunk(b"PLTE", scene(1 << d, 1, 3).tobytes()) for d in (1, 2, 4)}
    see_through = chunk(b"tRNS", bytes(range(0, 256, 16)))
    for interlaced in (False, True):
        tail = "_interlaced.png" if interlaced else ".png"
        add("png_rgb" + tail, png(eight[3], 8, 2, interlaced))
        add("png_rgba" + tail, png(eight[4], 8, 6, interlaced))
        add("png_grey" + tail, png(eight[1], 8, 0, interlaced))
        add("png_grey_alpha" + tail, png(eight[2], 8, 4, interlaced))
        for depth in (1, 2, 4):
            low = eight[1] >> (8 - depth)
            add(f"png_grey{depth}" + tail, png(low, depth, 0, interlaced))
            add(f"png_palette{depth}" + tail, png(low, depth, 3, interlaced, palettes[depth]))
        add("png_palette8" + tail, png(eight[1] >> 4, 8, 3, interlaced, palette))
        add("png_palette_alpha" + tail,
            png(eight[1] >> 4, 8, 3, interlaced, palette + see_through))
        add("png_rgb16" + tail, png(sixteen[3], 16, 2, interlaced))
        add("png_rgba16" + tail, png(sixteen[4], 16, 6, interlaced))
        add("png_grey_alpha16" + tail, png(sixteen[2], 16, 4, interlaced))
        grey = (sixteen[1] >> 8).astype(np.uint8)[..., 0]
        add("png_grey16" + tail, png(sixteen[1], 16, 0, interlaced),
            Image.fromarray(grey, "L").convert("RGB"))
    key = eight[3][4, 5]
    add("png_rgb_key.png", png(eight[3], 8, 2, before=chunk(b"tRNS", struct.pack(">3H", *key))))
    value = int(eight[1][4, 5, 0])
    add("png_grey_key.png", png(eight[1], 8, 0, before=chunk(b"tRNS", struct.pack(">H", value))))
    value = int(sixteen[1][4, 5, 0])
    grey = (sixteen[1] >> 8).astype(np.uint8)[..., 0]
    shown = np.where(sixteen[1][..., 0] == value, 255, grey).astype(np.uint8)
    key = chunk(b"tRNS", struct.pack(">H", value))
    add("png_grey16_key.png", png(sixteen[1], 16, 0, before=key),
        Image.fromarray(shown, "L").convert("RGB"))
    add("png_gamma.png", png(eight[3], 8, 2, before=chunk(b"gAMA", struct.pack(">I", 100000))))
    add("png_1x1.png", png(eight[3][:1, :1], 8, 2))
    exif = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\3\0\0\0\0\0\0\0"
    add("png_exif_late.png", png(eight[3], 8, 2, after=chunk(b"eXIf", exif)))
    add("png_text.png", png(eight[3], 8, 2,
                            before=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"words " * 50))))


# -- WebP and GIF --


def webps():
    picture = rgb()
    alpha = Image.fromarray(scene(29, 23, 4), "RGBA")
    add("webp_lossy.webp", saved(picture, "WEBP", quality=80))
    add("webp_lossless.webp", saved(picture, "WEBP", lossless=True))
    add("webp_lossy_alpha.webp", saved(alpha, "WEBP", quality=80))
    add("webp_lossless_alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True))
    add("webp_1x1.webp", saved(rgb(1, 1), "WEBP"))
    frames = [Image.fromarray(scene(29, 23, 4), "RGBA"), alpha.rotate(180)]
    add("webp_animated.webp",
        saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))


def gif_parts(width, height, indices, left=0, top=0, interlaced=False, transparent=None,
              screen=None, table=True):
    """A GIF of one frame; the pixels' code stream is taken from one that Pillow wrote."""
    order = np.arange(height)
    if interlaced:
        order = np.concatenate([order[0::8], order[4::8], order[2::4], order[1::2]])
    strip = Image.fromarray(indices[order], "P")
    strip.putpalette(scene(16, 1, 3).tobytes() + bytes(3 * 240))
    data = saved(strip, "GIF", interlace=0, optimize=False)
    at = data.index(b",\0\0\0\0" + struct.pack("<HH", width, height))
    codes = data[at + 10 : -1]
    assert not data[at + 9] & 0x80
    out = b"GIF89a" + struct.pack("<HH", *(screen or (width, height)))
    out += b"\xf3\0\0" + scene(16, 1, 3).tobytes() if table else b"\x73\0\0"
    if transparent is not None:
        out += b"!\xf9\4\1\0\0" + bytes([transparent]) + b"\0"
    out += b"," + struct.pack("<HHHHB", left, top, width, height, 0x40 if interlaced else 0)
    return out + codes + b";"


def gifs():
    indices = scene(27, 19, 1)[..., 0] >> 4
    colours = scene(16, 1, 3)[0]
    plain = Image.fromarray(colours[indices], "RGB")
    add("gif_plain.gif", gif_parts(27, 19, indices), plain)
    add("gif_interlaced.gif", gif_parts(27, 19, indices, interlaced=True), plain)
    clear = np.where((indices == 5)[..., None], 255, colours[indices]).astype(np.uint8)
    add("gif_transparent.gif", gif_parts(27, 19, indices, transparent=5),
        Image.fromarray(clear, "RGB"))
    screen = np.full((30, 40, 3), 255, np.uint8)
    screen[6:25, 4:31] = colours[indices]
    add("gif_offset.gif", gif_parts(27, 19, indices, 4, 6, screen=(40, 30)),
        Image.fromarray(screen, "RGB"))
    screen = np.full((25, 31, 3), 255, np.uint8)
    screen[6:25, 4:31] = colours[indices]
    add("gif_past_screen.gif", gif_parts(27, 19, indices, 4, 6, screen=(10, 10)),
        Image.fromarray(screen, "RGB"))
    add("gif_no_table.gif", gif_parts(27, 19, indices, table=False))
    frames = [rgb(20, 15).quantize(32), rgb(20, 15).rotate(180).quantize(32)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    first = next(ImageSequence.Iterator(Image.open(io.BytesIO(data))))
    add("gif_animated.gif", data, first.convert("RGB"))
    add("gif_256.gif", saved(rgb(33, 31).quantize(256), "GIF"))


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    for old in os.listdir(FOLDER):
        os.remove(os.path.join(FOLDER, old))
    jpegs()
    orientations()
    pngs()
    webps()
    gifs()
    with open(os.path.join(HERE, "pictures.txt"), "w") as out:
        out.write("\n".join(INDEX) + "\n")
