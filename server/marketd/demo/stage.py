"""The stage of the story: runs its steps one after the other, keeps their records, and tells the screen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from marketplace_client import MarketplaceError

from marketd.demo.records import CheckFailed, Detail, Progress, StepRecord, Summary
from marketd.demo.traces.points import TraceError


class Screen(Protocol):
    """Shows the story to a person or a machine."""

    def begin(self, step: str, title: str) -> None:
        """A step begins."""

    def finish(self, record: StepRecord) -> None:
        """A step is over."""

    def update(self, progress: Progress) -> None:
        """Something moved."""

    def say(self, text: str) -> None:
        """Something that is no step, such as what is waited for."""

    def still(self, text: str) -> None:
        """Say this too; from here on only finished steps are shown, for the process may be ended at any moment."""

    def close(self, summary: Summary) -> None:
        """The story is over."""


class StoryStopped(Exception):
    """A step did not hold, so those that build on it are not played."""


class Stage:
    """Runs steps. One that does not hold ends the story."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.records: list[StepRecord] = []
        self.progress = Progress()

    def moved(self) -> None:
        """The progress has changed."""
        self.screen.update(self.progress)

    @asynccontextmanager
    async def step(self, name: str, title: str, *, if_held: str = "", if_failed: str = "") -> AsyncIterator[Detail]:
        """A step; what is written into the detail is reported with it. Raises StoryStopped when it does not hold.

        if_held, if_failed: titles for its end, where how it ends is not what it sets out to do.
        """
        self.screen.begin(name, title)
        begun, detail, error = time.monotonic(), Detail(), ""
        try:
            yield detail
        except MarketplaceError as refusal:
            error = str(refusal)
            detail["reason"] = refusal.reason or refusal.code.name
        except (CheckFailed, TraceError) as failed:
            error = str(failed)
        except TimeoutError:
            error = "it took too long"
        if error:
            detail["error"] = error
        title = (if_failed if error else if_held) or title
        record = StepRecord(name, title, not error, round(time.monotonic() - begun, 3), detail, error)
        self.records.append(record)
        self.screen.finish(record)
        if error:
            raise StoryStopped(error)
