"""What becomes of files in a child: bombs, polyglots and damaged files are refused, pictures come out right (T23)."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from marketd.kernel.call.refusals import Overloaded
from marketd.media.errors import MediaCorrupt, MediaTooLarge, MediaTypeUnsupported
from marketd.media.rendering.child import answer
from marketd.media.rendering.judge import MAX_BLOCKS, MAX_PIXELS, MAX_SCANS
from marketd.media.rendering.pool import RenderPool, read_answer
from marketd.media.values import RENDITIONS, Rendered
from PIL import Image, ImageCms

from tests.worlds import pictures

KINDS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")


@contextmanager
def _opened(data: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        yield file.fileno()


def render(data: bytes) -> Rendered:
    """What a child makes of it, made here."""
    with _opened(data) as file:
        return read_answer(*answer(file, RENDITIONS))


async def _render(pool: RenderPool, data: bytes) -> Rendered:
    with _opened(data) as file:
        return await pool.render(file)


def _full(rendered: Rendered) -> Image.Image:
    image = Image.open(io.BytesIO(rendered.sizes[-1].content))
    assert (image.format, image.size) == ("WEBP", (rendered.sizes[-1].width, rendered.sizes[-1].height))
    return image


def _near(colour: object, wanted: tuple[int, ...], slack: int = 12) -> bool:
    assert isinstance(colour, tuple)
    return len(colour) == len(wanted) and all(abs(a - b) <= slack for a, b in zip(colour, wanted, strict=True))


# -- what is refused


def test_bombs_are_refused_by_their_headers() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    bombs = {
        "PNG": pictures.png_bomb(9_000, 9_000),
        "PNG just too large": pictures.png_bomb(side, side),
        "GIF": pictures.gif(60_000, 60_000),
        "GIF frame": pictures.gif_with_large_frame(30_000),
        "WebP": pictures.webp_bomb(16_383, 16_383),
        "JPEG": pictures.jpeg_of_size(65_000, 65_000),
        "AVIF": pictures.avif_of_size(20_000, 20_000),
    }
    for name, data in bombs.items():
        assert len(data) < 20_000, name
        with pytest.raises(MediaTooLarge, match="24000000 pixels"):
            render(data)
    for data in (
        pictures.gif(4, 4, 201),
        pictures.apng_frames(201),
        pictures.animated(230, "WEBP"),
        pictures.animated(201, "AVIF"),
    ):
        with pytest.raises(MediaTooLarge, match="200 frames"):
            render(data)


def test_small_files_do_not_make_a_decoder_work_for_long() -> None:
    assert render(pictures.jpeg_of_scans(MAX_SCANS - 10)).media_type == "image/jpeg"
    with pytest.raises(MediaTooLarge, match="40 scans"):
        render(pictures.jpeg_of_scans(MAX_SCANS))
    film = b"\xff\xda\x00\x02" * MAX_SCANS  # behind the picture it is none of it
    assert render(pictures.encoded(pictures.patch(), "JPEG") + film).media_type == "image/jpeg"
    for name, data in pictures.of_blocks(200).items():
        assert render(data).width == 60, name
    for data in pictures.of_blocks(MAX_BLOCKS).values():
        with pytest.raises(MediaTooLarge, match="50000 blocks"):
            render(data)


def test_what_is_no_picture_is_refused_and_named() -> None:
    for data, name in pictures.no_pictures().values():
        with pytest.raises(MediaTypeUnsupported, match=f"This is (an? )?{name}"):
            render(data)
    for name, data in pictures.polyglots().items():
        with pytest.raises(MediaTypeUnsupported, match="as well, and is not taken"):
            render(data)
        assert name


def test_a_telephone_may_write_films_behind_its_pictures() -> None:
    film = b"\x00\x00\x00\x18ftypmp42" + os.urandom(5_000)
    assert render(pictures.encoded(pictures.patch(), "JPEG") + film).media_type == "image/jpeg"


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_are_cut_anywhere_are_refused(kind: str) -> None:
    data = pictures.encoded(pictures.corners(), kind)
    assert render(data).media_type == f"image/{kind.lower()}"
    for cut in [*range(12, len(data), max(1, len(data) // 40)), len(data) - 1]:
        with pytest.raises(MediaCorrupt):
            render(data[:cut])
    with pytest.raises(MediaCorrupt):
        render(b"")


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_flipped_bytes_are_refused_or_shown(kind: str) -> None:
    data = pictures.encoded(pictures.corners(), kind)
    for at in range(0, len(data), max(1, len(data) // 60)):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        try:
            render(bytes(broken))
        except (MediaCorrupt, MediaTooLarge, MediaTypeUnsupported):
            continue


# -- what comes out


def test_orientations_come_out_upright() -> None:
    for orientation in range(1, 9):
        # What a camera has stored that was held so: the way back of what EXIF says is the way to upright.
        stored = pictures.corners()
        for step in _BACK[orientation]:
            stored = stored.transpose(step)
        rendered = render(pictures.with_metadata(stored, orientation))
        assert (rendered.width, rendered.height) == (80, 40), orientation
        assert pictures.colours_of_corners(_full(rendered)) == "RGBW", orientation


_BACK = {
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}


def test_no_rendition_carries_metadata() -> None:
    data = pictures.with_metadata(pictures.corners(900, 600), 6)
    secrets = (b"Exif", b"XMP", pictures.PLACE.encode(), pictures.CAMERA.encode(), b"of the tests", b"ICCP")
    assert all(secret in data for secret in secrets[2:5])
    for size in render(data).sizes:
        assert not any(secret in size.content for secret in secrets)
        assert not {"exif", "xmp", "icc_profile"} & Image.open(io.BytesIO(size.content)).info.keys()


def test_sizes_are_never_larger_than_the_upload_and_equal_ones_are_one_file() -> None:
    sizes = render(pictures.encoded(pictures.corners(300, 100))).sizes
    assert [(one.name, one.width, one.height) for one in sizes] == [
        ("thumb", 160, 53),
        ("card", 300, 100),
        ("full", 300, 100),
    ]
    assert sizes[1].content == sizes[2].content
    line = render(pictures.encoded(pictures.patch(3_000, 1)))
    assert [(one.width, one.height) for one in line.sizes] == [(160, 1), (480, 1), (1600, 1)]


def test_transparency_stays() -> None:
    clear = pictures.patch(colour=(200, 20, 20, 0), mode="RGBA")
    clear.paste((20, 200, 20, 255), (0, 0, 30, 40))
    palette = clear.convert("P")
    palette.info["transparency"] = palette.getpixel((50, 20))
    grey = Image.new("LA", (60, 40), (90, 0))
    for data in (
        pictures.encoded(clear),
        pictures.encoded(palette),
        pictures.encoded(palette, "GIF"),
        pictures.encoded(clear, "WEBP", lossless=True),
        pictures.encoded(clear, "AVIF"),
    ):
        image = _full(render(data))
        assert image.mode == "RGBA"
        assert image.getpixel((50, 20))[3] < 10  # type: ignore[index]
        assert _near(image.getpixel((5, 20)), (20, 200, 20, 255), 24)
    assert _full(render(pictures.encoded(grey))).getpixel((5, 5))[3] == 0  # type: ignore[index]
    opaque = pictures.patch(colour=(20, 200, 20, 255), mode="RGBA")
    assert _full(render(pictures.encoded(opaque))).mode == "RGB"


def test_uncommon_ways_to_write_pixels_are_read() -> None:
    deep = Image.new("I;16", (60, 40), 30_000)
    for data, wanted in (
        (pictures.encoded(deep), (117, 117, 117)),
        (pictures.encoded(Image.new("CMYK", (60, 40), (255, 0, 0, 0)), "JPEG", quality=95), (0, 255, 255)),
        (pictures.encoded(Image.new("L", (60, 40), 90), "JPEG"), (90, 90, 90)),
        (pictures.encoded(Image.new("1", (60, 40), 1)), (255, 255, 255)),
        (pictures.encoded(pictures.patch(colour=(9, 99, 199)).convert("P")), (0, 102, 204)),
        (pictures.encoded(pictures.patch(colour=(9, 99, 199)), "JPEG", progressive=True, quality=95), (9, 99, 199)),
    ):
        assert _near(_full(render(data)).convert("RGB").getpixel((30, 20)), wanted)


def test_colours_are_converted_to_srgb() -> None:
    """A profile whose red and blue are swapped shows whether it is followed."""
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    profile = bytearray(swapped)
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    data = pictures.encoded(pictures.patch(colour=(250, 0, 0)), icc_profile=bytes(profile))
    assert _near(_full(render(data)).getpixel((5, 5)), (0, 0, 250), 30)
    # One that does not fit says nothing, and a broken one neither.
    grey = pictures.encoded(Image.new("L", (60, 40), 90), icc_profile=bytes(profile))
    assert _near(_full(render(grey)).getpixel((5, 5)), (90, 90, 90))
    broken = pictures.encoded(pictures.patch(colour=(250, 0, 0)), icc_profile=b"no profile")
    assert _near(_full(render(broken)).getpixel((5, 5)), (250, 0, 0), 16)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_of_what_moves_the_first_frame_is_taken(kind: str) -> None:
    assert _near(_full(render(pictures.animated(3, kind))).convert("RGB").getpixel((20, 20)), (255, 0, 0), 16)


# -- the children


async def test_bombs_take_no_memory_of_a_child() -> None:
    pool = RenderPool(1)
    await _render(pool, pictures.unlike(1))
    for bomb in (pictures.png_bomb(9_000, 9_000), pictures.webp_bomb(16_383, 16_383), pictures.gif(60_000, 60_000)):
        with pytest.raises(MediaTooLarge):
            await _render(pool, bomb)
    status = Path(f"/proc/{pool.pids[0]}/status").read_text()
    await pool.close()
    assert int(status.split("VmHWM:")[1].split()[0]) < 150 * 1024


async def test_children_die_hang_and_are_replaced() -> None:
    pool = RenderPool(1, deadline_seconds=15)
    data = pictures.unlike(1)
    assert (await _render(pool, data)).width == 64
    (first,) = pool.pids
    os.kill(first, signal.SIGKILL)
    assert (await _render(pool, data)).width == 64  # nobody is refused because an idle one has died
    (second,) = pool.pids
    os.kill(second, signal.SIGSTOP)
    pool.deadline_seconds = 0.2
    with pytest.raises(MediaCorrupt, match="too long"):
        await _render(pool, data)
    assert pool.pids == []
    pool.deadline_seconds = 15
    killed = asyncio.ensure_future(_render(pool, data))
    while not pool.pids:  # noqa: ASYNC110 - a process that begins sets no event
        await asyncio.sleep(0)
    os.kill(pool.pids[0], signal.SIGKILL)
    with pytest.raises(MediaCorrupt, match="cannot be decoded"):
        await killed
    assert (await _render(pool, data)).width == 64
    await pool.close()
    assert pool.pids == []


async def test_a_full_queue_is_overload_and_what_waits_may_leave() -> None:
    pool = RenderPool(1, max_waiting=1)
    data = pictures.unlike(1)
    await _render(pool, data)
    os.kill(pool.pids[0], signal.SIGSTOP)
    working = asyncio.ensure_future(_render(pool, data))
    waiting = asyncio.ensure_future(_render(pool, data))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await _render(pool, data)
    waiting.cancel()
    await asyncio.wait([waiting])
    other = asyncio.ensure_future(_render(pool, data))
    await asyncio.sleep(0)
    os.kill(pool.pids[0], signal.SIGCONT)
    assert (await working).width == (await other).width == 64
    await pool.close()


def test_a_child_knows_pillow_and_nothing_of_ours() -> None:
    program = "import json, sys, marketd.media.rendering.child; print(json.dumps(sorted(sys.modules)))"
    found = subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, env={})
    modules = json.loads(found.stdout)
    ours = {name for name in modules if name.startswith("marketd.")}
    assert ours == {"marketd.media"} | {f"marketd.media.rendering{name}" for name in ("", ".child", ".draw", ".judge")}
    assert not {"grpc", "pydantic", "google", "sqlalchemy", "structlog", "numpy"} & set(modules)
