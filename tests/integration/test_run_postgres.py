"""The PostgreSQL of a run: whoever needs it finds the migrated template, whatever became of an earlier cluster."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from tests.run_postgres import MADE_BEFORE, TEMPLATE, Place


async def _tables(place: Place) -> int:
    connection = await asyncpg.connect(place.server.dsn(TEMPLATE))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        await connection.close()


@pytest.mark.faults
def test_the_template_is_there_also_when_the_cluster_was_removed(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, folder = scratch / "a", scratch / "b"
    for each in (before, folder):
        each.mkdir()
        each.chmod(0o755)
    monkeypatch.delenv(MADE_BEFORE, raising=False)
    first = Place(before)
    first.start()
    found = asyncio.run(_tables(first))
    assert found > 50
    first.leave()
    # From here on nothing is migrated any more: each begins with a copy.
    monkeypatch.setenv(MADE_BEFORE, str(before))
    monkeypatch.setattr("marketd.schema.migrate.upgrade", None)
    for _ in range(2):
        place = Place(folder)
        place.start()
        assert asyncio.run(_tables(place)) == found
        place.leave()
        shutil.rmtree(folder / "pg")
