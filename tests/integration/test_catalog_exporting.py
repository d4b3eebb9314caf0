"""Exports on real Postgres: what leaves is what came in, and comes in again as it was."""

from __future__ import annotations

from importlib import resources

import pytest
from marketd.catalog.imports.values import ImportOptions
from marketd.kernel.db.transactor import Transactor

from tests.worlds.catalog_files import Shop, outcome

UPDATE = ImportOptions(update_existing=True, publish=True)


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


async def test_the_demo_file(shop: Shop) -> None:
    data = resources.files("marketd.demo.data").joinpath("products.csv").read_bytes()
    await shop.bring(data, ImportOptions(publish=True))
    exported = await shop.export()
    open("/tmp/h6/out.csv", "wb").write(exported.data)
    print(exported.header, exported.summary)
    before = await shop.rows()
    report = await shop.bring(exported.data, UPDATE)
    print(outcome(report), report.warnings)
    assert await shop.rows() == before
