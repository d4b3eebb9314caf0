"""The pulse of a worker: its event loop says once a second that it goes round, and the supervisor notes who does not.

A worker that is dead is seen by its end; one that hangs (stopped, or its event loop blocked) looks alive, holds its
share of the connections, and answers nobody.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Final

BEAT_SECONDS: Final = 1.0
STARTING_SECONDS: Final = 120.0
"""Nothing is heard of a worker that still starts; on a busy machine with a cold disk that takes long."""

BUSY_SHARE: Final = 1 / 6
"""What a turn counts in which the worker computed: a thousand calls at once hold an event loop up, and whoever kills a
worker for that sends its calls to the next one."""

_LONGEST_TURN_SECONDS: Final = 0.5


async def beat(fd: int) -> None:
    """Write a byte to the supervisor's pipe every second until cancelled."""
    os.set_blocking(fd, False)
    while True:
        # A supervisor that is stopped itself does not read, and a full pipe is no reason to wait for it.
        with suppress(OSError):
            os.write(fd, b".")
        await asyncio.sleep(BEAT_SECONDS)


class Silence:
    """How long nothing was heard of a worker while the supervisor listened.

    It adds the supervisor's own turns and looks at no clock: whatever the supervisor slept through (Ctrl-Z, a laptop
    that was closed, a machine under strain) its workers may have slept through too, and none is killed for that.
    """

    def __init__(self, patience_seconds: float) -> None:
        """`patience_seconds`: 0 is endless."""
        self._patience = patience_seconds
        self._limit = STARTING_SECONDS
        self.seconds = 0.0

    def heard(self) -> None:
        """It lives, and has started."""
        self.seconds = 0.0
        self._limit = self._patience

    def lasted(self, turn_seconds: float, *, is_busy: bool) -> None:
        """A turn of the supervisor is over in which it listened for so long; a busy worker has six times as long."""
        self.seconds += min(turn_seconds, _LONGEST_TURN_SECONDS) * (BUSY_SHARE if is_busy else 1)

    @property
    def is_too_long(self) -> bool:
        """Whether the worker hangs."""
        return bool(self._patience) and self.seconds > self._limit
