"""The pictures of a product: each address once, in the order to show them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.catalog.imports.parsed import ParsedImage

MAX_PICTURES = 250
MAX_ALT_TEXT = 512


class Pictures:
    """The pictures found so far; those that only a variant names come last."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, url: str, position: int, alt_text: str) -> None:
        """One more; position 0: behind those before it. The first text of an address that has one stays."""
        known = self._found.setdefault(url, (position or len(self._found) + 1, alt_text))
        if alt_text and not known[1]:
            self._found[url] = (known[0], alt_text)

    def in_order(self, variant_urls: Sequence[str]) -> list[ParsedImage]:
        """All of them, however many."""
        ordered = sorted(self._found.items(), key=lambda item: item[1][0])
        images = [ParsedImage(url, alt_text) for url, (_, alt_text) in ordered]
        images += [ParsedImage(url, "") for url in dict.fromkeys(variant_urls) if url and url not in self._found]
        return images
