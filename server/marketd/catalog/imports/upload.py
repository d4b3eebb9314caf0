"""An upload that is being received: counted and hashed against what was announced, in memory or on disk when large.

A client that goes away ends its stream normally, so only the announced size and hash say that a file is whole.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import BinaryIO, cast

from marketd.catalog.errors import UploadCorrupt, UploadTooLarge

_IN_MEMORY = 4 * 1024 * 1024


class Upload:
    """A file as it arrives; leave the `with` block and it is gone."""

    def __init__(self, size: int, sha256: str, limit: int) -> None:
        """`size` in bytes and `sha256` in hex, as announced; `limit` in bytes. Raises UploadTooLarge."""
        if size > limit:
            raise UploadTooLarge(limit)
        self._size = size
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self.received = 0

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    async def receive(self, chunks: AsyncIterator[bytes], tick_seconds: float) -> AsyncGenerator[int, None]:
        """Take all chunks; gives the bytes received, at most once in `tick_seconds`. Raises what `take` raises."""
        told = time.monotonic()
        async for chunk in chunks:
            self.take(chunk)
            if time.monotonic() - told > tick_seconds:
                told = time.monotonic()
                yield self.received

    def take(self, chunk: bytes) -> None:
        """The next bytes. Raises UploadCorrupt when there are more than announced."""
        self.received += len(chunk)
        if self.received > self._size:
            raise UploadCorrupt(f"more than the announced {self._size} bytes arrived")
        self._digest.update(chunk)
        self._file.write(chunk)

    def whole(self) -> BinaryIO:
        """The file from its beginning. Raises UploadCorrupt when size or hash are not as announced."""
        if self.received != self._size:
            raise UploadCorrupt(f"{self.received} of the announced {self._size} bytes arrived")
        if self._digest.hexdigest() != self._sha256:
            raise UploadCorrupt("its SHA-256 is not the announced one")
        self._file.seek(0)
        return cast("BinaryIO", self._file)


def check_inline(data: bytes, size: int, sha256: str) -> None:
    """Hold a file that came in one piece against what was announced; 0 and empty mean nothing was."""
    if size and size != len(data):
        raise UploadCorrupt(f"{len(data)} of the announced {size} bytes arrived")
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise UploadCorrupt("its SHA-256 is not the announced one")
