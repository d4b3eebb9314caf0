"""The long form of the stores' tests: services that die, crashes, and many who put one name."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from marketd.media.store import Store, StoreUnavailable
from marketd.media.stores.choose import choose_store
from marketd.media.stores.local import LocalStore

from tests.worlds.buckets import Weed, weed
from tests.worlds.stores import WEBP, content, names

pytestmark = pytest.mark.faults
__all__ = ["weed"]

MEGABYTE = 1024 * 1024

PUTS_UNTIL_IT_IS_KILLED = """
import asyncio, os, sys
from pathlib import Path
from marketd.media.stores.local import LocalStore

async def main():
    store, number = LocalStore(Path(sys.argv[1])), 0
    print("begins", flush=True)
    while True:
        await store.put(f"private/{number}/full.webp", bytes([number % 256]) * 3_000_000, "image/webp")
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


async def put_fifty(store: Store, other: Store) -> None:
    """Fifty at once from two processes, as it were, each of them told that the name is kept."""
    given = [bytes([number]) * (500 + number) for number in range(50)]
    puts = ((store, other)[number % 2].put("one.webp", each, WEBP) for number, each in enumerate(given))
    await asyncio.gather(*puts)
    assert await names(store) == {"one.webp"}
    assert await content(store, "one.webp") in given


async def test_fifty_who_put_one_name_leave_one_file(weed: Weed, tmp_path: Path) -> None:
    await put_fifty(*(choose_store(weed.settings("fifty")) for _ in range(2)))
    await put_fifty(LocalStore(tmp_path), LocalStore(tmp_path))


async def test_a_service_that_dies_leaves_whole_files_or_none(weed: Weed) -> None:
    store = choose_store(weed.settings("dies"))
    failed = 0
    for number in range(2):
        name, given = f"{number}.webp", os.urandom(20 * MEGABYTE)
        put = asyncio.create_task(store.put(name, given, WEBP))
        await asyncio.sleep(0.04 * number)
        weed.kill()
        try:
            await put
        except StoreUnavailable:
            failed += 1
        await asyncio.to_thread(weed.start)
        if name in await names(store):
            assert await content(store, name) == given
        await store.put(name, given, WEBP)
        assert await content(store, name) == given
    assert failed


async def test_a_read_that_breaks_off_does_not_look_like_an_end(weed: Weed) -> None:
    store, given = choose_store(weed.settings("breaks")), os.urandom(40 * MEGABYTE)
    await store.put("a.webp", given, WEBP)
    pieces = store.read("a.webp")
    got = len(await anext(pieces))
    weed.kill()
    with pytest.raises(StoreUnavailable):
        got += sum([len(piece) async for piece in pieces])
    assert got < len(given)
    await asyncio.to_thread(weed.start)
    assert await content(store, "a.webp") == given


async def test_a_crash_leaves_whole_files_only(tmp_path: Path) -> None:
    for number in range(3):
        root = tmp_path / str(number)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PUTS_UNTIL_IT_IS_KILLED, str(root), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(3 + number):
            await process.stdout.readline()
        await asyncio.sleep(0.003 * number)
        process.kill()
        await process.wait()
        store = LocalStore(root)
        found = await names(store)
        assert found
        for name in found:
            assert await content(store, name) == bytes([int(name.split("/")[1])]) * 3_000_000
        for left in (root / ".incoming").iterdir():
            os.utime(left, (0, 0))
        await store.check()
        assert list((root / ".incoming").iterdir()) == []
