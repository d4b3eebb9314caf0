"""The longer texts of a product of a file: its description and its tags. Pure."""

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
MAX_TAGS = 250
MAX_TAG = 255
# Sorting holds everybody up, so of a cell with more than could ever be kept no more is looked at.
_MAX_TEXT = 4 * MAX_TAGS * MAX_TAG


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
