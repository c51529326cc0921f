"""What Pillow makes of pictures: the reference for `[input] kind = "image"`.

`tensor(picture, config)` is the pipeline that the tests compare with, written with Pillow alone. Run
as a program, it makes the pictures in this folder and what is expected of them (`expected.json`):

    pip install -r requirements.txt && python reference.py

All pictures are made here, of noise, waves, shapes and text; nobody else has rights in them.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy
from PIL import Image, ImageDraw, ImageFilter, ImageOps

HERE = Path(__file__).parent
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# What is packed for the tests; `shape` is colour, width and height.
CONFIGS = {
    "stretch": {"colour": "rgb", "width": 16, "height": 12},
    "nearest": {"colour": "rgb", "width": 16, "height": 12, "filter": "nearest"},
    "bicubic": {"colour": "rgb", "width": 16, "height": 12, "filter": "bicubic"},
    "lanczos": {"colour": "rgb", "width": 16, "height": 12, "filter": "lanczos"},
    "grey": {"colour": "grey", "width": 19, "height": 14},
    "enlarged": {"colour": "grey", "width": 41, "height": 33},
    "enlarged-bicubic": {"colour": "grey", "width": 41, "height": 33, "filter": "bicubic"},
    "imagenet": {"colour": "rgb", "width": 14, "height": 14, "fit": "crop", "resize": 16},
    "covered": {"colour": "rgb", "width": 17, "height": 10, "fit": "crop", "filter": "bicubic"},
    "letterbox": {"colour": "rgb", "width": 16, "height": 16, "fit": "letterbox"},
    "letterbox-odd": {"colour": "grey", "width": 33, "height": 20, "fit": "letterbox", "padding": 0},
    "bgr": {"colour": "bgr", "width": 11, "height": 8, "layout": "nhwc"},
}


def resized(picture, config):
    """The picture at the size of the input: torchvision's transforms on pictures of Pillow, and the
    letterbox of Ultralytics with Pillow's filters."""
    size = width, height = config["width"], config["height"]
    filter = FILTERS[config.get("filter", "bilinear")]
    fit = config.get("fit", "stretch")
    if fit == "stretch":
        return picture.resize(size, filter)
    if fit == "letterbox":
        factor = min(width / picture.width, height / picture.height)
        inner = [max(1, round(side * factor)) for side in picture.size]
        level = config.get("padding", 114)
        canvas = Image.new(picture.mode, size, level if picture.mode == "L" else (level,) * 3)
        canvas.paste(picture.resize(inner, filter), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return canvas
    shorter = config.get("resize")
    if shorter is None:  # As small as covers the input.
        is_wider = picture.width * height > width * picture.height
    else:
        is_wider, width, height = picture.width > picture.height, shorter, shorter
    if is_wider:
        picture = picture.resize((int(height * picture.width / picture.height), height), filter)
    else:
        picture = picture.resize((width, int(width * picture.height / picture.width)), filter)
    left, top = (int(round((have - want) / 2.0)) for have, want in zip(picture.size, size))
    return picture.crop((left, top, left + size[0], top + size[1]))


def levels(file, config):
    """The levels of the tensor of a picture, in its shape."""
    picture = Image.open(file)
    # Pillow shows 16 bits of grey as they are, and cuts them off at 255 when it converts them.
    if picture.mode.startswith("I"):
        picture = Image.fromarray((numpy.asarray(picture) >> 8).astype(numpy.uint8))
    picture = ImageOps.exif_transpose(picture)
    picture = picture.convert("L" if config["colour"] == "grey" else "RGB")
    array = numpy.atleast_3d(numpy.asarray(resized(picture, config)))
    if config["colour"] == "bgr":
        array = array[..., ::-1]
    if config.get("layout", "nchw") == "nchw":
        array = array.transpose(2, 0, 1)
    return array[None]


def photo(width, height, seed=0):
    """Something like a photo: waves of colour, shapes with edges, text, and a little noise."""
    random = numpy.random.default_rng([width, height, seed])
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    waves = numpy.zeros((height, width, 3))
    for channel in range(3):
        for _ in range(6):
            (right, down), phase = random.normal(0, 4, 2), random.uniform(0, 6.28)
            wave = 6.28 * (right * x / width + down * y / height) + phase
            waves[..., channel] += random.uniform(0.2, 1) * numpy.sin(wave)
    waves -= waves.min()
    picture = Image.fromarray((waves / waves.max() * 255).astype(numpy.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        corner = random.integers(0, [width, height])
        other = corner + random.integers(1, [max(2, width // 3), max(2, height // 3)])
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        colour = tuple(int(level) for level in random.integers(0, 256, 3))
        shape([*map(int, corner), *map(int, other)], fill=colour)
    draw.text((width // 10, height // 3), "Glovebox 0123", fill=(255, 255, 255))
    noisy = numpy.asarray(picture) + random.normal(0, 5, (height, width, 3))
    picture = Image.fromarray(numpy.clip(noisy, 0, 255).astype(numpy.uint8))
    return picture.filter(ImageFilter.GaussianBlur(0.7))


def deep_png(picture):
    """A PNG of 16 bits a level, which Pillow reads but does not write."""
    width, height = picture.size
    low = numpy.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(numpy.uint8)
    samples = numpy.stack([numpy.asarray(picture), low], -1).reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    ]
    chunk = lambda kind, data: (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def pictures():
    """All pictures of the tests: name and bytes."""
    wide, tall, small = photo(61, 43), photo(23, 58), photo(13, 9)
    alpha = Image.linear_gradient("L").resize(small.size)
    faded = small.copy()
    faded.putalpha(alpha)
    deep = numpy.asarray(small.convert("L")).astype(numpy.uint16) * 256 + 200
    turned = Image.Exif()

    def save(picture, kind, **options):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    yield "wide.png", save(wide, "PNG")
    yield "tall.png", save(tall, "PNG")
    yield "small.png", save(small, "PNG")
    yield "one.png", save(photo(1, 1), "PNG")
    yield "line.png", save(photo(70, 1), "PNG")
    yield "444.jpg", save(wide, "JPEG", quality=90, subsampling=0)
    yield "422.jpg", save(wide, "JPEG", quality=85, subsampling=1)
    yield "420.jpg", save(wide, "JPEG", quality=75, subsampling=2)
    yield "progressive.jpg", save(tall, "JPEG", quality=80, subsampling=2, progressive=True)
    yield "restarts.jpg", save(wide, "JPEG", quality=80, restart_marker_blocks=2)
    yield "grey.jpg", save(tall.convert("L"), "JPEG", quality=85)
    yield "cmyk.jpg", save(small.convert("CMYK"), "JPEG", quality=85)
    yield "palette.png", save(small.quantize(16), "PNG")
    yield "palette-transparent.png", save(small.quantize(16), "PNG", transparency=3)
    yield "grey.png", save(small.convert("L"), "PNG")
    yield "grey-faded.png", save(faded.convert("LA"), "PNG")
    yield "faded.png", save(faded, "PNG")
    yield "bits.png", save(small.convert("1"), "PNG")
    yield "deep.png", deep_png(small)
    yield "deep-grey.png", save(Image.fromarray(deep), "PNG")
    yield "lossy.webp", save(wide, "WEBP", quality=80)
    yield "lossless.webp", save(tall, "WEBP", lossless=True)
    yield "faded.webp", save(faded, "WEBP", quality=80)
    frames = [photo(13, 9, seed) for seed in (1, 2)]
    yield "animated.png", save(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "animated.webp", save(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    for orientation in range(1, 9):
        turned[0x0112] = orientation
        yield f"exif-{orientation}.jpg", save(small, "JPEG", quality=85, exif=turned)
    yield "exif-8.png", save(small, "PNG", exif=turned)
    yield "exif-8.webp", save(small, "WEBP", lossless=True, exif=turned)


def cases(names):
    """Which pictures are sent to which models."""
    for name in names:
        yield "stretch", name
        if not name.startswith("exif"):
            yield "grey", name
    for config in CONFIGS:
        for name in ("wide.png", "tall.png", "small.png", "one.png", "line.png"):
            if config not in ("stretch", "grey"):
                yield config, name


def main():
    (HERE / "pictures").mkdir(exist_ok=True)
    names = []
    for name, data in pictures():
        (HERE / "pictures" / name).write_bytes(data)
        names.append(name)
    expected = [
        {"model": config, "picture": name, "levels": array.tobytes().hex(), "shape": array.shape}
        for config, name in cases(names)
        for array in [levels(HERE / "pictures" / name, CONFIGS[config])]
    ]
    lines = ",\n".join(json.dumps(case) for case in expected)
    text = f'{{"models": {json.dumps(CONFIGS, indent=1)},\n"cases": [\n{lines}\n]}}\n'
    (HERE / "expected.json").write_text(text)


if __name__ == "__main__":
    main()
