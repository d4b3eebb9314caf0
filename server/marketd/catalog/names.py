"""How things of the catalog are named: slugs, keys that sort, and the key of a variant's options. Pure."""

from __future__ import annotations

import hashlib
import json
import unicodedata

from marketd.kernel.values.texts import name_key, slug_of

MAX_SLUG = 255
# Room for a suffix such as -k3x9q2 that makes a slug unique.
_MAX_STEM = MAX_SLUG - 15

Options = tuple[tuple[str, str], ...]
"""What was chosen: (name, value) pairs in the order to show them."""


def slugify(name: str, otherwise: str) -> str:
    """A slug (`^[a-z0-9]+(-[a-z0-9]+)*$`, at most 240 characters) made from a name.

    Names without letters and digits get `otherwise` and a digest of the name: the same name, the same slug.
    """
    stem = slug_of(name, _MAX_STEM)
    return stem or f"{otherwise}-{hashlib.sha256(name_key(name).encode()).hexdigest()[:10]}"


def title_key(title: str) -> str:
    """What a title sorts by: without case and accents, at most 120 characters, so that an index holds it."""
    apart = unicodedata.normalize("NFKD", name_key(title))
    return "".join(char for char in apart if not unicodedata.combining(char))[:120]


def options_key(options: Options) -> str:
    """A digest that is equal for choices that read the same, whatever their order."""
    same = sorted((name_key(name), name_key(value)) for name, value in options)
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:32]
