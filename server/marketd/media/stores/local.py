"""A Store in a directory of this machine, or in one that several machines mount.

A file gets its name by a hard link when all of it is on disk: a link never replaces what has the name already, so of
many who put the same name one is first and the others find it done. What is being written lies in `.incoming`, where
no name can lead, and a start removes what a crash left there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiofiles
import structlog

from marketd.media.store import (
    PIECE_BYTES,
    StoredFile,
    StoredFileMissing,
    StoreUnavailable,
    StoreUnfit,
    checked,
)

_log = structlog.get_logger(__name__)

_INCOMING: Final = ".incoming"
# Nobody writes for so long: what is older was left by a process that has ended.
_LEFT_BEHIND_SECONDS: Final = 3_600.0
_COPY_BYTES: Final = 1024 * 1024
_LISTED_AT_ONCE: Final = 1_000
# Another may remove a folder that has become empty between our making it and our using it.
_TRIES: Final = 5
# Its owner and the group, such as a web server's that hands out public files.
_FOLDER_MODE: Final = 0o750
_FILE_MODE: Final = 0o640


class LocalStore:
    """Files under `root`, each part of a name but the last a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._incoming = self._root / _INCOMING

    async def check(self) -> None:
        """Whether the directory takes files and links; removes what crashes left. Raises StoreUnfit."""
        try:
            await asyncio.to_thread(self._try_out)
        except OSError as error:
            raise StoreUnfit(
                f"The pictures' directory {self._root} cannot be used ({error.strerror}); let the server's account "
                "write there, or set MARKETD_MEDIA_DIR to a directory on a file system that has hard links."
            ) from None

    async def put(self, name: str, content: bytes | Path, media_type: str) -> None:
        """Keep it; a directory has no place for the media type."""
        target = self._root / checked(name)
        partial = self._incoming / f"{uuid4().hex}.part"
        with self._told("put"):
            if await asyncio.to_thread(target.is_file):
                return
            try:
                await asyncio.to_thread(self._incoming.mkdir, mode=_FOLDER_MODE, parents=True, exist_ok=True)
                await _write(partial, content)
                await asyncio.to_thread(self._publish, partial, target)
            finally:
                _remove(partial)

    async def read(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes; a file that is deleted while it is read is read to its end."""
        path = self._root / checked(name)
        left = length
        with self._told("read"):
            try:
                file = await aiofiles.open(path, "rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise StoredFileMissing(name) from None
        try:
            if offset:
                with self._told("read"):
                    await file.seek(offset)
            while left is None or left > 0:
                with self._told("read"):
                    piece = await file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
                if not piece:
                    return
                if left is not None:
                    left -= len(piece)
                yield piece
        finally:
            await file.close()

    async def size(self, name: str) -> int:
        """The file's bytes."""
        path = self._root / checked(name)
        with self._told("size"):
            try:
                found = await asyncio.to_thread(path.stat)
            except (FileNotFoundError, NotADirectoryError):
                raise StoredFileMissing(name) from None
        if not stat.S_ISREG(found.st_mode):
            raise StoredFileMissing(name)
        return found.st_size

    async def delete(self, name: str) -> None:
        """Remove the file, and the folders that are empty without it."""
        path = self._root / checked(name)
        with self._told("delete"):
            await asyncio.to_thread(self._delete, path)

    async def files(self, prefix: str = "") -> AsyncIterator[StoredFile]:
        """Every file whose name this store could have given."""
        top = self._root / checked(prefix) if prefix else self._root
        walk = self._walk(top)
        while True:
            with self._told("list"):
                batch = await asyncio.to_thread(_next_of, walk)
            if not batch:
                return
            for each in batch:
                yield each

    def _try_out(self) -> None:
        self._incoming.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        probe, linked = (self._incoming / f"{uuid4().hex}.part" for _ in range(2))
        try:
            probe.touch(_FILE_MODE)
            os.link(probe, linked)
        finally:
            _remove(probe)
            _remove(linked)
        now = time.time()
        for left in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another worker that starts as well
                if now - left.stat().st_mtime > _LEFT_BEHIND_SECONDS:
                    left.unlink()

    def _publish(self, partial: Path, target: Path) -> None:
        """Give the whole file its name, unless one has it, and have the folders know it after a power cut."""
        for attempt in range(_TRIES):
            made = [folder for folder in target.parents if folder.is_relative_to(self._root) and not folder.exists()]
            target.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            try:
                os.link(partial, target)
            except FileExistsError:
                return
            except FileNotFoundError:
                if attempt == _TRIES - 1 or not partial.exists():
                    raise
                continue
            for folder in [target.parent, *(folder.parent for folder in made)]:
                with contextlib.suppress(FileNotFoundError):
                    _sync_folder(folder)
            return

    def _delete(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone
                return

    def _walk(self, folder: Path) -> Iterator[StoredFile]:
        """Small folders and large ones alike without holding all their names."""
        folders = [folder]
        while folders:
            try:
                entries = os.scandir(folders.pop())
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                        continue
                    with contextlib.suppress(FileNotFoundError, ValueError):
                        name = checked(Path(entry.path).relative_to(self._root).as_posix())
                        found = entry.stat(follow_symlinks=False)
                        yield StoredFile(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    @contextlib.contextmanager
    def _told(self, operation: str) -> Iterator[None]:
        """What goes wrong below is the operator's to know, and for the caller a reason to come again."""
        try:
            yield
        except OSError as error:
            _log.error("media_store_failed", store="directory", operation=operation, error=error.strerror)
            raise StoreUnavailable from None


async def _write(path: Path, content: bytes | Path) -> None:
    async with aiofiles.open(path, "xb", opener=_private) as file:
        if isinstance(content, bytes):
            await file.write(content)
        else:
            async with aiofiles.open(content, "rb") as source:
                while piece := await source.read(_COPY_BYTES):
                    await file.write(piece)
        await file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _FILE_MODE)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # what stays goes at a later start
        path.unlink()


def _next_of(walk: Iterator[StoredFile]) -> list[StoredFile]:
    return list(islice(walk, _LISTED_AT_ONCE))
