"""How things of the catalog are named: slugs, keys that compare names, and the key of a variant's options. Pure."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata

MAX_SLUG = 255
# Room for a suffix such as -k3x9q2 that makes a slug unique.
_MAX_STEM = MAX_SLUG - 15
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
# Letters that NFKD does not take apart.
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "Ø": "o", "đ": "d", "ł": "l", "Ł": "l", "æ": "ae", "Æ": "ae", "œ": "oe"})

Options = tuple[tuple[str, str], ...]
"""What was chosen: (name, value) pairs in the order to show them."""


def slugify(name: str, otherwise: str) -> str:
    """A slug (`^[a-z0-9]+(-[a-z0-9]+)*$`, at most 240 characters) made from a name.

    Names without a single Latin letter or digit get `otherwise` and a digest of the name: the same name, the same slug.
    """
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS)).encode("ascii", "ignore").decode().lower()
    stem = _NOT_SLUG.sub("-", plain.replace("'", ""))[:_MAX_STEM].strip("-")
    return stem or f"{otherwise}-{hashlib.sha256(name_key(name).encode()).hexdigest()[:10]}"


def name_key(name: str) -> str:
    """Equal for names that differ only in case, accents' encoding or spaces.

    NFC and not NFKC, whose longest expansions would be too long for an index.
    """
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def title_key(title: str) -> str:
    """What a title sorts by: without case and accents, at most 120 characters, so that an index holds it."""
    apart = unicodedata.normalize("NFKD", name_key(title))
    return "".join(char for char in apart if not unicodedata.combining(char))[:120]


def options_key(options: Options) -> str:
    """A digest that is equal for equal choices, whatever their order."""
    return hashlib.sha256(json.dumps(sorted(options)).encode()).hexdigest()[:32]
