"""The two stores: what both promise, and what is each one's own."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from marketd.config import Settings
from marketd.media.store import StoreUnavailable, StoreUnfit
from marketd.media.stores import local
from marketd.media.stores.choose import choose_store
from marketd.media.stores.local import LocalStore
from pydantic import SecretStr

from tests.worlds.buckets import BUCKET, KEY, KEY_ID, Weed
from tests.worlds.stores import BEHAVIOURS, WEBP, Behaviour, content, names


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def directory(root: Path) -> LocalStore:
    return LocalStore(root)


def left(root: Path) -> list[Path]:
    """What lies in the folder of what is being written."""
    return list((root / ".incoming").glob("*"))


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.__name__)
async def test_a_directory(behaviour: Behaviour, directory: LocalStore, root: Path, tmp_path: Path) -> None:
    await behaviour(directory, tmp_path)
    assert left(root) == []


async def test_a_bucket(weed: Weed, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All of it in one test, so that the service starts once."""
    for behaviour in BEHAVIOURS:
        store = choose_store(weed.settings(f"shop/{behaviour.__name__}"))
        await store.check()
        await behaviour(store, tmp_path)
    with pytest.raises(StoreUnfit, match="MARKETD_MEDIA_BUCKET_KEY"):
        await choose_store(weed.settings(media_bucket_key=SecretStr("another"))).check()
    with pytest.raises(StoreUnfit, match="no such bucket"):
        await choose_store(weed.settings(media_bucket_url="s3://others")).check()
    other = choose_store(weed.settings("shop/another"))
    await choose_store(weed.settings("shop/one")).put("a.webp", b"x", WEBP)
    assert await names(other) == set()
    weed.kill()
    began = time.monotonic()
    for attempt in (other.put("b.webp", b"x", WEBP), content(other, "b.webp"), other.size("b.webp"), names(other)):
        with pytest.raises(StoreUnavailable) as refused:
            await attempt
        assert refused.value.retry_after_seconds
    await other.check()  # an outage keeps nobody from starting
    assert time.monotonic() - began < 20
    said = capfd.readouterr()
    assert said.err + said.out
    assert KEY not in said.err + said.out


async def test_what_crashes_left_goes_when_it_is_old(directory: LocalStore, root: Path) -> None:
    await directory.put("a.webp", b"x", WEBP)
    old, fresh = (root / ".incoming" / f"{name}.part" for name in ("old", "fresh"))
    for each in (old, fresh):
        each.write_bytes(b"half")
    os.utime(old, (time.time() - 7_200,) * 2)
    await directory.check()
    assert left(root) == [fresh]
    assert await names(directory) == {"a.webp"}


async def test_bytes_are_on_disk_before_they_have_a_name(
    directory: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, link = os.fsync, os.link

    def synced(descriptor: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    def linked(source: Path, target: Path) -> None:
        done.append(str(target))
        link(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    await directory.put("private/a/full.webp", b"x", WEBP)
    file = f"{root}/private/a/full.webp"
    assert Path(done[0]).parent == root / ".incoming"
    assert done[1] == file
    assert {f"{root}/private/a", f"{root}/private", str(root)} <= set(done[2:])


@pytest.mark.parametrize("broken", ["fsync", "link"])
async def test_a_full_disk_leaves_neither_name_nor_rest(
    broken: str, directory: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(StoreUnavailable):
        await directory.put("a.webp", b"x" * 100_000, WEBP)
    monkeypatch.undo()
    assert left(root) == []
    assert await names(directory) == set()
    await directory.put("a.webp", b"again", WEBP)
    assert await content(directory, "a.webp") == b"again"


async def test_a_put_that_is_given_up_leaves_nothing(
    directory: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, goes_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(_: int) -> None:
        loop.call_soon_threadsafe(writing.set)
        goes_on.wait(10)

    monkeypatch.setattr(os, "fsync", slow)
    put = asyncio.create_task(directory.put("a.webp", b"x", WEBP))
    await writing.wait()
    put.cancel()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert left(root) == []
    assert await names(directory) == set()


async def test_a_folder_may_go_while_a_file_comes(directory: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    link, times = os.link, iter(range(2))

    def late(source: Path, target: Path) -> None:
        if next(times, None) is not None:
            target.parent.rmdir()  # as the deletion of the last file in it does
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    await directory.put("private/a/full.webp", b"x", WEBP)
    assert await content(directory, "private/a/full.webp") == b"x"


async def test_empty_folders_go_with_their_last_file(directory: LocalStore, root: Path) -> None:
    for name in ("private/a/full.webp", "private/b/full.webp"):
        await directory.put(name, b"x", WEBP)
    await directory.delete("private/a/full.webp")
    assert [path.name for path in (root / "private").iterdir()] == ["b"]
    await directory.delete("private/b/full.webp")
    assert not (root / "private").exists()


async def test_long_folders_are_listed_whole(
    directory: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_LISTED_AT_ONCE", 3)
    given = {f"{number}.webp" for number in range(10)}
    for name in given:
        await directory.put(name, b"x", WEBP)
    assert await names(directory) == given


async def test_a_directory_that_cannot_be_used_says_what_to_do(
    tmp_path: Path, directory: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnfit, match="MARKETD_MEDIA_DIR"):
        await LocalStore(tmp_path / "file" / "media").check()

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(StoreUnfit, match="hard links"):
        await directory.check()


@pytest.mark.parametrize(
    "url",
    [
        "https://pictures",
        "s3://",
        "s3:///folder",
        "s3://Pictures",
        "s3://key:secret@bucket",
        "s3://b/../c",
        "s3://b?c=d",
    ],
)
def test_a_bucket_needs_an_address(url: str) -> None:
    with pytest.raises(StoreUnfit, match="s3://bucket") as unfit:
        choose_store(Settings(media_bucket_url=url))
    assert "secret" not in str(unfit.value)


def test_without_obstore_a_bucket_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "marketd.media.stores.s3", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreUnfit, match=r"marketd\[s3\]"):
        choose_store(Settings(media_bucket_url=f"s3://{BUCKET}"))


def test_keys_are_shown_nowhere() -> None:
    settings = Settings(
        media_bucket_url=f"s3://{BUCKET}", media_bucket_key_id=SecretStr(KEY_ID), media_bucket_key=SecretStr(KEY)
    )
    store: Any = choose_store(settings)
    for shown in (repr(settings), repr(store), repr(store._bucket), repr(store._objects)):
        assert KEY not in shown
        assert KEY_ID not in shown
