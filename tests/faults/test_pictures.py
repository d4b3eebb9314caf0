"""The long form of the pictures' tests: many at once, large ones, and children whose parent is killed."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from marketd.kernel.db.transactor import Transactor
from marketd.media.rendering.pool import RenderPool
from PIL import Image, ImageChops, ImageStat

from tests.worlds import pictures, processes
from tests.worlds.loops import longest_callback
from tests.worlds.media import Uploads

pytestmark = pytest.mark.faults

RENDERS_UNTIL_IT_IS_KILLED = """
import asyncio, os
from marketd.media.rendering.pool import RenderPool

async def main():
    pool, file = RenderPool(2), os.open(__import__("sys").argv[1], os.O_RDONLY)
    await asyncio.gather(pool.render(file), pool.render(file))
    print(*pool.pids, flush=True)
    while True:
        await asyncio.gather(pool.render(file), pool.render(file))

asyncio.run(main())
"""


def _peak_mebibytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.alone
async def test_a_hundred_uploads_at_once_hold_nobody_up(tx: Transactor, tmp_path: Path) -> None:
    photo = pictures.encoded(pictures.photo(1_000, 750), "JPEG", quality=92)
    async with Uploads(tx, tmp_path / "media", children=True) as uploads:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with longest_callback() as held:
            made = await asyncio.gather(*(uploads.upload(photo + os.urandom(16), step=65_536) for _ in range(100)))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert len({media.media_id for media in made}) == 100
        assert held.seconds < 0.05
        assert grown < 150
        assert len(uploads.children.pids) <= 2
        assert all(_peak_mebibytes(pid) < 200 for pid in uploads.children.pids)
        assert await uploads.built.violations() == []


@pytest.mark.alone
async def test_a_photo_of_twelve_megapixels_looks_as_it_did(tmp_path: Path) -> None:
    original = pictures.photo()
    path = tmp_path / "photo.jpg"
    path.write_bytes(pictures.encoded(original, "JPEG", quality=92))
    pool = RenderPool(1)
    with path.open("rb") as file:
        rendered = await pool.render(file.fileno())
    assert _peak_mebibytes(pool.pids[0]) < 150
    await pool.close()
    assert (rendered.width, rendered.height) == (4_000, 3_000)
    for size, wanted in zip(rendered.sizes, ((160, 120), (480, 360), (1_600, 1_200)), strict=True):
        image = Image.open(io.BytesIO(size.content)).convert("RGB")
        assert image.size == wanted
        difference = ImageChops.difference(image, original.resize(wanted, Image.Resampling.LANCZOS))
        # Half the resolution of colours is what most of it is, and the smallest has least of it.
        assert max(ImageStat.Stat(difference).mean) < {"thumb": 12, "card": 7, "full": 4}[size.name]
    assert len(rendered.sizes[2].content) < 300_000


@pytest.mark.alone
async def test_the_largest_pictures_that_are_taken_fit_into_a_child(tmp_path: Path) -> None:
    noise = Image.effect_noise((1_500, 1_000), 90).resize((6_000, 4_000), Image.Resampling.NEAREST)
    clear = Image.merge("RGBA", (noise, noise, noise, Image.linear_gradient("L").resize(noise.size)))
    pool = RenderPool(1, deadline_seconds=60)
    path = tmp_path / "large"
    for image, kind, options in ((clear, "PNG", {"compress_level": 1}), (clear, "WEBP", {"method": 0, "quality": 50})):
        path.write_bytes(pictures.encoded(image, kind, **options))
        with path.open("rb") as file:
            assert (await pool.render(file.fileno())).width == 6_000
    assert _peak_mebibytes(pool.pids[0]) < 600
    await pool.close()


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(pictures.encoded(pictures.photo(3_000, 2_000), "JPEG"))
    parent = subprocess.Popen(
        [sys.executable, "-c", RENDERS_UNTIL_IT_IS_KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    family = processes.tree(parent.pid)
    assert {process.pid for process in family} >= set(children)
    time.sleep(0.1)  # into the middle of a picture
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert processes.wait_until_ended(family, 10) == []
