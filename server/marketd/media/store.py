"""The port to where files are kept: the Store, its names, and what goes wrong. `stores/` has the two that exist.

A store knows nothing of media, owners or who may read: it keeps bytes under names, and a name's bytes never change.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final, Protocol

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.slice import CannotStart

PIECE_BYTES: Final = 64 * 1024
"""No piece of a read is longer."""
LONGEST_NAME: Final = 200
RETRY_SECONDS: Final = 2.0
# Each part begins with a letter or a digit, so there is neither `..` nor a hidden file, and no part is empty.
_NAME: Final = re.compile(r"[0-9a-z][0-9a-z.-]*(?:/[0-9a-z][0-9a-z.-]*)*")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a listing has it: its size in bytes, and since when it is there."""

    name: str
    size: int
    write_time: datetime


class StoredFileMissing(Exception):
    """The store has no file of that name; of one that a row names, somebody else took it away."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The store has no file {name}.")
        self.name = name


class StoreUnavailable(Refusal):
    """The store does not answer, has no room or does not let us in. What was under way did not happen, or will be found
    done when it is repeated.

    For the caller it is one more way of coming too early, so it has no reason of its own; the log says what it was.
    """

    code: ClassVar[Code] = Code.UNAVAILABLE
    reason: ClassVar[Reason] = Reason.OVERLOADED

    def __init__(self) -> None:
        super().__init__("The pictures' store does not answer; repeat the call.", retry_after_seconds=RETRY_SECONDS)


class StoreUnfit(CannotStart):
    """The settings name a store that cannot be used; the message says what to change."""


class Store(Protocol):
    """Keeps files. Names are those of `checked`; other names are a ValueError, a bug of ours.

    Every method raises StoreUnavailable when the store cannot do its work now.
    """

    async def check(self) -> None:
        """At the start: whether files can be kept here. Raises StoreUnfit.

        A store that is only away for now lets the server start: pictures wait, the shops do not.
        """
        ...

    async def put(self, name: str, content: bytes | Path, media_type: str) -> None:
        """Keep the bytes, or the file's bytes, under the name, whole and on disk when this returns.

        A name that is there already stays as it is, and that is no error.
        """
        ...

    def read(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from the offset, all or `length` of them, in pieces of at most PIECE_BYTES; past the end, none.

        Raises StoredFileMissing with the first piece.
        """
        ...

    async def size(self, name: str) -> int:
        """The file's bytes. Raises StoredFileMissing."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the file; one that is not there is gone already."""
        ...

    def files(self, prefix: str = "") -> AsyncIterator[StoredFile]:
        """Every file, or those in the folder `prefix` (`private`), in no promised order."""
        ...


def checked(name: str) -> str:
    """The name, when it is one: of digits, small letters, `.`, `-` and `/`. Raises ValueError."""
    if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a stored file")
    return name
