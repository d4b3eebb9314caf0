"""The fixtures of the media's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from marketd.kernel.db.transactor import Transactor

from tests.worlds.media import Uploads


@pytest.fixture
async def uploads(tx: Transactor, tmp_path: Path) -> AsyncIterator[Uploads]:
    async with Uploads(tx, tmp_path / "media") as made:
        yield made
