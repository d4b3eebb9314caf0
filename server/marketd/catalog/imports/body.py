"""The description of a product of a file. Pure."""

from __future__ import annotations

from marketd.catalog.descriptions import clean_html
from marketd.catalog.imports.findings import Findings, Record
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.model import MAX_DESCRIPTION
from marketd.kernel.values.texts import mended_text, text_problem

# Word processors wrap little text in much markup, so more is looked at than is kept.
_MAX_RAW = 8 * MAX_DESCRIPTION
# Room for the ends of the elements that a cut leaves open.
_ROOM = 2048


def read_body(findings: Findings, record: Record, column: str) -> str:
    """What is kept of a description, safe to show."""
    return body(findings, record, column, record[column])


def body(findings: Findings, record: Record, column: str, text: str) -> str:
    """What is kept of a text that came from `column`."""
    if not text:
        return ""
    length = len(text)
    cleaned = clean_html(text[:_MAX_RAW])
    kept = cleaned.text
    if text_problem(kept, lines=True) and kept:
        mended = mended_text(kept, lines=True)
        if mended:
            message = "characters that no text may hold are taken out"
            findings.warn(record, column, RowReason.TEXT_CLEANED, message)
        kept = mended
    if length > _MAX_RAW or len(kept) > MAX_DESCRIPTION:
        kept = clean_html(kept[: MAX_DESCRIPTION - _ROOM]).text[:MAX_DESCRIPTION]
        findings.warn(record, column, RowReason.TOO_LONG, f"has {length} characters and is cut to {len(kept)}")
    if cleaned.dropped:
        message = f"left out of the description: {', '.join(cleaned.dropped)}"
        findings.warn(record, column, RowReason.CONTENT_DROPPED, message)
    return kept
