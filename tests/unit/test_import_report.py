"""What `marketd import-products` says behind the counts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.values import ImportOptions, ImportSummary
from marketd.commands.import_report import hints, many

COUNTS: dict[str, Any] = {one.name: 0 for one in fields(ImportSummary)}
NOTHING = ImportSummary(
    **(COUNTS | {"format": FileFormat.SHOPIFY, "dry_run": False, "reasons": (), "unused_columns": ()})
)


def test_what_looks_as_if_nothing_had_happened_is_explained() -> None:
    there = replace(NOTHING, rows=3, products_unchanged=3)
    assert "--update-existing" in "".join(hints(there, ImportOptions(publish=True)))
    assert hints(there, ImportOptions(publish=True, update_existing=True)) == []
    made = replace(NOTHING, rows=3, products_created=3)
    assert hints(made, ImportOptions()) == [
        "New products are drafts; --publish --update-existing puts on sale what the file has on sale."
    ]
    assert hints(made, ImportOptions(publish=True)) == []
    (rehearsed,) = hints(replace(made, dry_run=True), ImportOptions(dry_run=True))
    assert "would be drafts" in rehearsed
    assert hints(NOTHING, ImportOptions()) == ["The file has a header and no rows."]


def test_one_is_no_many() -> None:
    said = [many(1, "variant"), many(2, "variant"), many(0, "category"), many(1, "category")]
    assert said == ["1 variant", "2 variants", "0 categories", "1 category"]
