"""Failpoints: named places inside a unit of work where a test may end this process the way `kill -9` does.

They prove what survives a crash between an effect and its answer. They exist only where the settings name a folder,
and production refuses to start with one; everywhere else a unit of work pays one comparison with None.

A point is armed by a file in that folder, `<point>@<unit of work>` (such as `after_commit@order.place`), and disarmed
by whoever reaches it: removing a file succeeds once, so one process dies and the one started in its place does not.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from pathlib import Path


class Failpoint(StrEnum):
    """Where in a unit of work."""

    BEGUN = "begun"
    """The transaction is open and nothing is done."""
    BEFORE_COMMIT = "before_commit"
    """Everything is written, the stored answer and the events included."""
    AFTER_COMMIT = "after_commit"
    """Everything is durable; nobody has been told: no hook has run, no answer is sent."""


class Failpoints:
    """The failpoints of this process, armed through files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, point: Failpoint, unit: str) -> Path:
        """The file that arms the point in the unit of work of that name."""
        return self._folder / f"{point}@{unit}"

    def arm(self, point: Failpoint, unit: str) -> Path:
        """End whichever process comes there next; the file is gone once one has."""
        path = self.path(point, unit)
        path.touch()
        return path

    def reach(self, point: Failpoint, unit: str) -> None:
        """Die here if the point is armed: no handler, no `finally`, no flush."""
        try:
            self.path(point, unit).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
