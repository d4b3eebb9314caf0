"""Where descriptions are cleaned; what becomes of them is said by the unit tests of the same name."""

from __future__ import annotations

import threading

import pytest
from marketd.catalog import products
from marketd.catalog.descriptions import safe_html
from marketd.kernel.db.transactor import Transactor

from tests.integration.test_catalog_products import Shop


async def test_a_long_description_is_cleaned_beside_the_event_loop(
    tx: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, where = await Shop(tx).open(), list[threading.Thread]()

    def clean(text: str) -> str:
        where.append(threading.current_thread())
        return safe_html(text)

    monkeypatch.setattr(products, "safe_html", clean)
    nested = "<li><dd>" * 2_000
    made = await shop.make(description=nested)
    await shop.change(made, description=f"<p>{nested}")
    assert len(where) == 2
    assert threading.main_thread() not in where
