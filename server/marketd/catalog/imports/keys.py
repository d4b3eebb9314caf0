"""What a product of an import file is found by: the seller's own name for it, in a form that compares. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from marketd.kernel.values.texts import mended_text, slug_of

MAX_HANDLE = 255
_STEM = 240
# In a row that cannot be read the cell may be anything; what has blanks or markup in it names no product.
_LIKELY = re.compile(r"[^\s<>\"]{1,255}")


def handle_key(text: str) -> str:
    """The handle in the form that is kept: lower case, composed, blanks collapsed; "" when it says nothing.

    Longer ones than 255 characters are cut and end with a digest of the whole.
    """
    if not (text.isascii() and text.isprintable()):
        # Lower case may compose where capitals do not, and an export has to be found again by it.
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", mended_text(text)).lower())
    handle = " ".join(text.lower().split())
    if len(handle) > MAX_HANDLE:
        return f"{handle[:_STEM].rstrip('-')}-{hashlib.sha256(handle.encode()).hexdigest()[:12]}"
    return handle


def likely_key(text: str) -> str:
    """The handle in a row that cannot be read as a whole, "" where it does not look like one."""
    return handle_key(text) if _LIKELY.fullmatch(text.strip()) else ""


def title_handle(title: str) -> str:
    """The handle of a product that has only a title, as shops make it; "" for a title without letters and digits."""
    return slug_of(mended_text(title), _STEM)
