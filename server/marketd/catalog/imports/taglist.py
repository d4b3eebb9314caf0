"""The tags of a product. Pure."""

from __future__ import annotations

from marketd.catalog.imports.findings import Findings, Record
from marketd.catalog.imports.parsed import RowReason

MAX_TAGS = 250
MAX_TAG = 255
# Sorting holds everybody up, so of a cell with more than could ever be kept no more is looked at.
_MAX_TEXT = 4 * MAX_TAGS * MAX_TAG


def read_tags(findings: Findings, record: Record, column: str) -> tuple[str, ...]:
    """The words of a list with commas: each once, in order of the alphabet, at most 250 of at most 255 characters."""
    if not record[column]:
        return ()
    words = {word.strip() for word in findings.clean(record, column)[:_MAX_TEXT].split(",")} - {""}
    long = [word for word in words if len(word) > MAX_TAG]
    if long:
        message = f"a tag has {len(long[0])} characters and may have {MAX_TAG}; it is left out"
        findings.warn(record, column, RowReason.TOO_LONG, message)
    tags = sorted(words.difference(long))
    if len(tags) > MAX_TAGS:
        findings.warn(record, column, RowReason.TOO_LONG, f"there are {len(tags)} tags; the first {MAX_TAGS} come in")
    return tuple(tags[:MAX_TAGS])
