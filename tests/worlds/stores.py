"""How every store behaves: one list, run against the directory and against the real S3."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from marketd.media.store import PIECE_BYTES, Store, StoredFileMissing

WEBP = "image/webp"
Behaviour: TypeAlias = Callable[[Store, Path], Awaitable[None]]


async def content(store: Store, name: str, offset: int = 0, length: int | None = None) -> bytes:
    """What is read, in pieces that are no longer than promised and never empty."""
    pieces = [piece async for piece in store.read(name, offset, length)]
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


async def names(store: Store, prefix: str = "") -> set[str]:
    """The names that a listing has."""
    return {each.name async for each in store.files(prefix)}


async def what_is_put_is_read_back(store: Store, folder: Path) -> None:
    large = os.urandom(PIECE_BYTES * 3 + 17)
    for name, given in {"0a.webp": b"picture", "private/1-a/full.webp": large, "0b.webp": b""}.items():
        await store.put(name, given, WEBP)
        assert await content(store, name) == given
        assert await store.size(name) == len(given)


async def a_file_is_put_as_its_bytes_are(store: Store, folder: Path) -> None:
    source = folder / "spool"
    source.write_bytes(os.urandom(2 * 1024 * 1024 + 1))
    await store.put("f.webp", source, WEBP)
    assert await content(store, "f.webp") == source.read_bytes()


async def a_name_keeps_its_first_bytes(store: Store, folder: Path) -> None:
    await store.put("a.webp", b"first", WEBP)
    await store.put("a.webp", b"second and longer", WEBP)
    assert await content(store, "a.webp") == b"first"


async def of_many_puts_at_once_one_is_there_whole(store: Store, folder: Path) -> None:
    given = [bytes([number]) * (1_000 + number) for number in range(8)]
    await asyncio.gather(*(store.put("private/b/full.webp", each, WEBP) for each in given))
    assert await content(store, "private/b/full.webp") in given
    assert await names(store) == {"private/b/full.webp"}


async def ranges_are_what_they_say(store: Store, folder: Path) -> None:
    whole = os.urandom(PIECE_BYTES * 2 + 5)
    await store.put("r.webp", whole, WEBP)
    for offset, length in [(0, 1), (1, PIECE_BYTES), (PIECE_BYTES, None), (len(whole) - 3, 10), (7, 0)]:
        end = None if length is None else offset + length
        assert await content(store, "r.webp", offset, length) == whole[offset:end], (offset, length)
    for offset in (len(whole), len(whole) + 1_000_000):
        assert await content(store, "r.webp", offset) == b""
        assert await content(store, "r.webp", offset, 5) == b""


async def what_is_missing_says_so(store: Store, folder: Path) -> None:
    await store.put("private/d/full.webp", b"x", WEBP)
    for name in ("none.webp", "private/none/full.webp", "private/d", "private/d/full.webp/more"):
        for offset, length in ((0, None), (3, None), (0, 0)):
            with pytest.raises(StoredFileMissing):
                await content(store, name, offset, length)
        with pytest.raises(StoredFileMissing):
            await store.size(name)


async def what_is_deleted_is_gone_and_its_name_free(store: Store, folder: Path) -> None:
    await store.put("private/c/full.webp", b"old", WEBP)
    await store.put("private/c/card.webp", b"stays", WEBP)
    for _ in range(2):
        await store.delete("private/c/full.webp")
    await store.delete("never.webp")
    with pytest.raises(StoredFileMissing):
        await content(store, "private/c/full.webp")
    assert await content(store, "private/c/card.webp") == b"stays"
    await store.put("private/c/full.webp", b"new", WEBP)
    assert await content(store, "private/c/full.webp") == b"new"


async def listings_have_names_sizes_and_times(store: Store, folder: Path) -> None:
    given = {"1.webp": 3, "2.webp": 0, "private/a/full.webp": 5, "private/b/full.webp": 1}
    for name, size in given.items():
        await store.put(name, b"x" * size, WEBP)
    listed = [each async for each in store.files()]
    assert {each.name: each.size for each in listed} == given
    assert all(abs(datetime.now(UTC) - each.write_time) < timedelta(minutes=5) for each in listed)
    assert await names(store, "private") == {name for name in given if name.startswith("private/")}
    assert await names(store, "priv") == set()


async def names_that_are_none_are_refused(store: Store, folder: Path) -> None:
    await store.put("private/a/full.webp", b"x", WEBP)
    bad = [
        "",
        "/etc/passwd",
        "../x",
        "private/../../x",
        "a//b",
        "a/",
        ".hidden",
        "A.webp",
        "ä",
        "a b",
        "a\0",
        "a" * 201,
    ]
    for name in bad:
        with pytest.raises(ValueError, match="no name of a stored file"):
            await store.put(name, b"x", WEBP)
        with pytest.raises(ValueError, match="no name of a stored file"):
            await content(store, name)
        for verb in (store.size, store.delete):
            with pytest.raises(ValueError, match="no name of a stored file"):
                await verb(name)


async def a_check_leaves_nothing(store: Store, folder: Path) -> None:
    await store.check()
    await store.check()
    assert await names(store) == set()


BEHAVIOURS: tuple[Behaviour, ...] = (
    what_is_put_is_read_back,
    a_file_is_put_as_its_bytes_are,
    a_name_keeps_its_first_bytes,
    of_many_puts_at_once_one_is_there_whole,
    ranges_are_what_they_say,
    what_is_missing_says_so,
    what_is_deleted_is_gone_and_its_name_free,
    listings_have_names_sizes_and_times,
    names_that_are_none_are_refused,
    a_check_leaves_nothing,
)
