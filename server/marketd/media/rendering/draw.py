"""Renditions of a judged file, with Pillow: upright, in sRGB, without metadata, never larger than the upload.

Runs in a child; Pillow and the standard library only.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import AvifImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from marketd.media.rendering import judge

_PLUGINS = (AvifImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)
_QUALITY = 82
# 6 halves the speed for two percent of the bytes.
_METHOD = 4
_MAX_PROFILE = 4 << 20
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


@dataclass(frozen=True, slots=True)
class Drawn:
    """Width and height of the upload, upright; and name, width, height and bytes of each size."""

    width: int
    height: int
    sizes: tuple[tuple[str, int, int, bytes], ...]


def prepare() -> None:
    """Set Pillow up for files of strangers: the five kinds only, damaged files refused, no threads of its own."""
    Image._initialized = 2  # the plugins that were imported are all that there are
    Image.MAX_IMAGE_PIXELS = judge.MAX_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.simplefilter("ignore")
    assert _PLUGINS  # noqa: S101 - their import is what registers them


def draw(data: bytes, kind: str, sides: dict[str, int]) -> Drawn:
    """Make the sizes whose longest side is at most `sides[name]`. Raises judge.Refused."""
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            judge.check_size(*image.size)
            judge.check_frames(getattr(image, "n_frames", 1) if kind == judge.AVIF else 1)
            return _draw(image, sides)
    except judge.Refused:
        raise
    except MemoryError:
        raise judge.Refused("large", "pixels", judge.MAX_PIXELS) from None
    # Decoders raise whatever comes to their mind, and whatever it is, this file cannot be shown.
    except Exception as error:
        raise judge.Refused("corrupt", "it cannot be decoded") from error


def _draw(image: Image.Image, sides: dict[str, int]) -> Drawn:
    width, height = image.size
    orientation = _orientation(image)
    profile = image.info.get("icc_profile")
    largest = _fit(width, height, max(sides.values()))
    # A JPEG can be decoded at a half or a quarter of its size, which saves most of the time.
    image.draft(None, largest)
    image.load()
    small: Image.Image = _plain(image)
    if small.size != largest:
        small = small.resize(largest, Image.Resampling.LANCZOS, reducing_gap=3.0)
    small = _in_srgb(small, profile)
    if orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[orientation])
        if orientation >= 5:
            width, height = height, width
    small.info = {}
    made: dict[tuple[int, int], bytes] = {}
    sizes: list[tuple[str, int, int, bytes]] = []
    for name, side in sorted(sides.items(), key=lambda one: -one[1]):
        fitting = _fit(*small.size, side)
        if fitting != small.size:
            small = small.resize(fitting, Image.Resampling.LANCZOS, reducing_gap=3.0)
        if fitting not in made:
            made[fitting] = _webp(small)
        sizes.append((name, *fitting, made[fitting]))
    return Drawn(width, height, tuple(reversed(sizes)))


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= side:
        return width, height
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken metadata are no reason to refuse a picture that can be seen
        return 1


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized: L, RGB, RGBA or CMYK."""
    if image.mode.startswith("I") or image.mode == "F":
        # 16 bits of grey; `convert` alone would cut off what is above 255.
        image = image.convert("I").point(lambda value: value / 257).convert("L") if image.mode != "F" else image
    if image.mode in _ALPHA or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or RGBA in the colours that browsers expect of files that say nothing of it."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    if image.mode == "RGBA":
        image = image.convert("RGB")
    if profile and len(profile) <= _MAX_PROFILE:
        image = _by_profile(image, profile)
    image = image if image.mode == "RGB" else image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return image


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms  # noqa: PLC0415 - few pictures need it, and it takes memory of every child

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        made: Any = ImageCms.profileToProfile(
            image,
            source,
            target,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a profile that does not fit the picture says nothing about it
    return image if made is None else made


def _webp(image: Image.Image) -> bytes:
    out: BinaryIO = io.BytesIO()
    image.save(out, "WEBP", quality=_QUALITY, method=_METHOD, exif=b"", xmp=b"", icc_profile=b"")
    return out.getvalue()  # type: ignore[attr-defined,no-any-return]
