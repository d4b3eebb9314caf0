"""An upload that is being received: counted and hashed against what was announced, on disk and nowhere else.

The file has no name, so it is gone with the process, however that ends. A client that goes away ends its stream
normally, so only the announced size and hash say that a file is whole.
"""

from __future__ import annotations

import hashlib
import tempfile
from types import TracebackType

import structlog

from marketd.media.errors import MediaCorrupt, MediaTooLarge
from marketd.media.store import StoreUnavailable

_log = structlog.get_logger(__name__)


class Spool:
    """A file as it arrives; leave the `with` block and it is gone."""

    def __init__(self, limit: int, size: int = 0, sha256: str = "") -> None:
        """limit: in bytes. size, sha256: in bytes and lower-case hex, as announced; 0 and empty when they were not.

        Raises MediaTooLarge.
        """
        if size > limit:
            raise MediaTooLarge(limit, "bytes")
        self._limit = limit
        self._size = size
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        # Unbuffered: a child reads it through the descriptor.
        self._file = tempfile.TemporaryFile(buffering=0, prefix="upload-")  # noqa: SIM115 - closed by __exit__
        self.received = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file up."""
        self._file.close()

    def take(self, chunk: bytes) -> None:
        """The next bytes.

        Raises MediaCorrupt when there are more than announced, MediaTooLarge beyond the limit, and StoreUnavailable.
        """
        self.received += len(chunk)
        if self._size and self.received > self._size:
            raise MediaCorrupt(f"more than the announced {self._size} bytes arrived")
        if self.received > self._limit:
            raise MediaTooLarge(self._limit, "bytes")
        self._digest.update(chunk)
        view = memoryview(chunk)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:  # the disk is full: with others' uploads, which will be gone again
            _log.error("upload_not_spooled", error=error.strerror)
            raise StoreUnavailable from None

    def whole(self) -> int:
        """The descriptor of the whole file. Raises MediaCorrupt when size or hash are not as announced."""
        if self._size and self.received != self._size:
            raise MediaCorrupt(f"{self.received} of the announced {self._size} bytes arrived")
        if self._sha256 and self.sha256 != self._sha256:
            raise MediaCorrupt("its SHA-256 is not the announced one")
        return self._file.fileno()

    @property
    def sha256(self) -> str:
        """Of what has come, in lower-case hex."""
        return self._digest.hexdigest()
