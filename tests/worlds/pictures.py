"""Pictures for tests, drawn by the tests, and files that are no pictures or worse."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFilter

ORIENTATION: Final = 0x0112
PLACE: Final = "N 52 31.2 E 13 24.6"
CAMERA: Final = "A camera of the tests"
XMP: Final = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>a creator of the tests</rdf:RDF></x:xmpmeta>'


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def patch(width: int = 60, height: int = 40, colour: tuple[int, ...] = (180, 40, 40), mode: str = "RGB") -> Image.Image:
    """A picture of one colour."""
    return Image.new(mode, (width, height), colour)


def unlike(number: int, width: int = 64, height: int = 48) -> bytes:
    """A small PNG that is like no other number's."""
    picks = random.Random(number)  # noqa: S311 - a picture, no secret
    image = Image.new("RGB", (width, height), (picks.randrange(256), picks.randrange(256), picks.randrange(256)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = picks.randrange(width), picks.randrange(height)
        fill = (picks.randrange(256), picks.randrange(256), picks.randrange(256))
        draw.ellipse((x, y, x + picks.randrange(4, 30), y + picks.randrange(4, 30)), fill=fill)
    return encoded(image)


def corners(width: int = 80, height: int = 40) -> Image.Image:
    """A picture whose corners tell how it is held: red, green, blue and white, clockwise from the upper left."""
    image = Image.new("RGB", (width, height), (128, 128, 128))
    for box, colour in zip(
        _corner_boxes(width, height), ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3), strict=True
    ):
        image.paste(colour, box)
    return image


def colours_of_corners(image: Image.Image) -> str:
    """`RGBW` for a picture of `corners` that is held upright."""
    said = ""
    for left, top, right, bottom in _corner_boxes(*image.size):
        red, green, blue = image.convert("RGB").getpixel(((left + right) // 2, (top + bottom) // 2))  # type: ignore[misc]
        bright = (red > 128, green > 128, blue > 128)
        said += {(True, True, True): "W", (True, False, False): "R", (False, True, False): "G"}.get(bright, "B")
    return said


def _corner_boxes(width: int, height: int) -> tuple[tuple[int, int, int, int], ...]:
    w, h = width // 4, height // 4
    return (
        (0, 0, w, h),
        (width - w, 0, width, h),
        (width - w, height - h, width, height),
        (0, height - h, w, height),
    )


def with_metadata(image: Image.Image, orientation: int = 1) -> bytes:
    """A JPEG as telephones write it: place, camera, XMP, a comment, and how it was held."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = CAMERA
    exif.get_ifd(0x8825)[29] = PLACE
    return encoded(image, "JPEG", exif=exif, xmp=XMP, comment=b"a comment of the tests", quality=95)


def photo(width: int = 4000, height: int = 3000) -> Image.Image:
    """What has gradients, edges, fine lines and the noise of a sensor, as a photo of a shelf has."""
    sky = Image.linear_gradient("L").resize((width, height))
    depth = Image.radial_gradient("L").resize((width, height))
    image = Image.merge("RGB", (sky, depth, sky.transpose(Image.Transpose.ROTATE_180)))
    draw = ImageDraw.Draw(image)
    picks = random.Random(12)  # noqa: S311 - a picture, no secret
    for row in range(5):
        shelf = height * (row + 1) // 5
        draw.rectangle((0, shelf - height // 80, width, shelf), fill=(90, 60, 40))
        for column in range(9):
            x, w, h = width * column // 9 + width // 60, width // 14, height // 8 + picks.randrange(height // 20)
            fill = (picks.randrange(60, 255), picks.randrange(60, 255), picks.randrange(60, 255))
            draw.rounded_rectangle((x, shelf - height // 80 - h, x + w, shelf - height // 80), w // 6, fill=fill)
            draw.line(
                (x + w // 4, shelf - h, x + w // 4, shelf - height // 60), fill=(250, 250, 250), width=w // 16 or 1
            )
            draw.text((x + w // 3, shelf - h // 2), f"No {row}{column}", fill=(20, 20, 20), font_size=w / 4)
    image = image.filter(ImageFilter.GaussianBlur(1))
    noise = Image.effect_noise((width, height), 24)
    return Image.blend(image, Image.merge("RGB", (noise, noise, noise)), 0.12)


# -- bombs: small files that say they are huge


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(width: int, height: int) -> bytes:
    """A whole PNG of one black that decodes to `width` x `height`."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif(width: int, height: int, frames: int = 1) -> bytes:
    """A GIF with a screen of that size and frames of one pixel."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame * frames + b";"


def gif_with_large_frame(side: int) -> bytes:
    """A GIF with a screen of one pixel, and a frame that is larger."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame + b";"


def webp_bomb(width: int, height: int) -> bytes:
    """A WebP whose canvas says so, with a frame of one pixel."""
    small = encoded(Image.new("RGB", (1, 1)), "WEBP")[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + small
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header says so, with the data of a small one."""
    data = bytearray(encoded(patch(16, 16), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(extra: int) -> bytes:
    """A JPEG whose last scan, which refines a little, comes so many times more, with a comment before each."""
    data = encoded(patch(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    hidden = b"\xff\xfe\x00\x04\xff\xd9"  # an end of the picture that is none
    return data[:-2] + (hidden + scan) * extra + b"\xff\xd9"


def of_blocks(blocks: int) -> dict[str, bytes]:
    """Small pictures with so many blocks that say nothing."""
    jpeg, png = encoded(patch(), "JPEG"), encoded(patch())
    return {
        "JPEG comments": jpeg[:2] + b"\xff\xfe\x00\x02" * blocks + jpeg[2:],
        "JPEG restarts": jpeg[:2] + b"\xff\xd0" * blocks + jpeg[2:],
        "JPEG filling": jpeg[:2] + b"\xff" * blocks + jpeg[2:],
        "PNG chunks": png[:33] + chunk(b"teSt", b"") * blocks + png[33:],
    }


def avif_of_size(width: int, height: int) -> bytes:
    """An AVIF whose item says so, with the data of a small one."""
    data = bytearray(encoded(patch(16, 16), "AVIF"))
    at = data.index(b"ispe")
    data[at + 8 : at + 16] = struct.pack(">II", width, height)
    return bytes(data)


def apng_frames(frames: int) -> bytes:
    """A PNG that says it has so many frames."""
    data = encoded(patch())
    return data[:33] + chunk(b"acTL", struct.pack(">II", frames, 0)) + data[33:]


def animated(frames: int, kind: str = "GIF") -> bytes:
    """A picture that moves; its first frame is red."""
    rest = [patch(colour=(0, index % 250, 200)) for index in range(frames - 1)]
    lossless = {"lossless": True} if kind == "WEBP" else {}  # else frames that are nearly alike become one
    return encoded(patch(colour=(255, 0, 0)), kind, save_all=True, append_images=rest, duration=40, **lossless)


# -- what is a picture, and something else too


def zipped() -> bytes:
    """A ZIP archive, such as a JAR is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("Applet.class", b"\xca\xfe\xba\xbe" + bytes(64))
    return out.getvalue()


def polyglots() -> dict[str, bytes]:
    """Pictures that others take for something else."""
    jpeg, png, web = encoded(patch(), "JPEG"), encoded(patch()), encoded(patch(), "WEBP")
    html = b"<!DOCTYPE html><script>alert(1)</script>"
    text = chunk(b"tEXt", b"Comment\x00<script>alert(1)</script>")
    return {
        "JPEG and HTML in a comment": encoded(patch(), "JPEG", comment=html),
        "JPEG and HTML behind it": jpeg + html,
        "JPEG and ZIP": jpeg + zipped(),
        "JPEG and PDF": jpeg + b"%PDF-1.7\n%%EOF",
        "GIF and JAR (GIFAR)": encoded(patch(), "GIF") + zipped(),
        "PNG and script in a text": png[:33] + text + png[33:],
        "PNG and PHP": png + b"<?php system($_GET['c']); ?>",
        "WebP and SVG": web + b"<svg onload='alert(1)'></svg>",
        "GIF and HTML": encoded(patch(), "GIF", comment=html),
    }


def no_pictures() -> dict[str, tuple[bytes, str]]:
    """What is no picture of a kind that is taken, and what the refusal calls it."""
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    heic = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(400)
    return {
        "svg": (svg, "SVG"),
        "svg behind a declaration": (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n" + svg, "SVG"),
        "html named .png": (b"\n <HTML><script>alert(1)</script>", "HTML"),
        "pdf": (b"%PDF-1.4\n", "PDF"),
        "zip": (zipped(), "ZIP"),
        "heic": (heic, "HEIC"),
        "bmp": (encoded(patch(), "BMP"), "BMP"),
        "tiff": (encoded(patch(), "TIFF"), "TIFF"),
        "icon": (encoded(patch(32, 32), "ICO"), "icon"),
        "text": (b"hello", "no picture"),
        "zeros": (bytes(64), "no picture"),
    }
