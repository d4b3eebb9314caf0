"""The parts that a slice is built from, made for a test's transactor as process/core.py makes them for a process."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from marketd.config import Environment, Settings
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.broadcast import Broadcast, LocalBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.slice import Parts
from marketd.kernel.values.clock import Clock, SystemClock
from pydantic import SecretStr

from tests.canaries import MARK

_OF_TESTS: Final[dict[str, Any]] = {
    "env": Environment.TEST,
    "secret": SecretStr(f"the secret of the tests {MARK}"),
    "password_pepper": SecretStr(f"the pepper of the tests {MARK}"),
    "access_log": True,
    "port": 0,
    "bcrypt_cost": 4,
    "pool_timeout_seconds": 5,
    # Tests that want it have a web server of their own.
    "fetch_pictures": False,
}


def make_settings(url: str | None = None, **changes: Any) -> Settings:
    """Settings of a test: cheap hashes, a free port, marked secrets; all else as it ships, but for the changes."""
    if url is not None:
        changes["database_url"] = SecretStr(url)
    # The run's own folder: files are named by their bytes, so whoever does not look at them may share it.
    changes.setdefault("media_dir", Path(tempfile.gettempdir()) / "media")
    try:
        return _made(_environment(), tuple(changes.items()))
    except TypeError:  # a value that has no hash
        return Settings(**{**_OF_TESTS, **changes})


def _environment() -> tuple[tuple[str, str], ...]:
    """What settings are read from beside their arguments."""
    return tuple((name, value) for name, value in os.environ.items() if name.startswith("MARKETD_"))


@lru_cache(maxsize=64)
def _made(_: object, changes: tuple[tuple[str, Any], ...]) -> Settings:
    """They are frozen, and to make them takes longer than many a test."""
    return Settings(**{**_OF_TESTS, **dict(changes)})


def make_parts(
    tx: Transactor,
    *,
    clock: Clock | None = None,
    broadcast: Broadcast | None = None,
    settings: Settings | None = None,
) -> Parts:
    """Parts on this transactor, which has its connections to spare as well. The feed listens to its commits."""
    settings, broadcast = settings or make_settings(), broadcast or LocalBroadcast()
    feed = Feed(broadcast)
    tx.listen(feed.committed)
    return Parts(
        settings=settings,
        tx=tx,
        spare=tx,
        pager=Pager(tx, settings.derive("page-tokens")),
        broadcast=broadcast,
        feed=feed,
        clock=clock or SystemClock(),
    )
