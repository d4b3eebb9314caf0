"""Canaries (T30): how a secret is known wherever it turns up, and the list of where one did.

Everything random that proves who somebody is has a shape of its own: access tokens, refresh tokens, reset tokens and
service secrets, TOTP secrets, recovery codes. They are found by it, also in what other processes wrote. What people
choose has no shape, so every password and setting of the tests has MARK inside (tests/contract/test_canaries.py sees
to that). Six digits are no shape either: whoever reads a code in a test says so with `WATCH.code`.

canary_taps.py brings what is said while a test runs; canary_looks.py goes and reads metrics, tables and files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

MARK: Final = "kanarie7"
"""Stands inside every password, pepper and database password of the tests; in small letters, so that it survives
what makes names alike."""

PLANTED: Final = "planted to prove that this is read"
"""Beside a secret that a test wrote on purpose into a file which the run's last check reads too."""

# Lengths are not exact where bytes of a protobuf message can be letters too: the length before a text, the tag after.
_SHAPES: Final = {
    "password or setting": re.compile(MARK, re.IGNORECASE),
    "access token": re.compile(r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}", re.ASCII),
    # A key's id is as long, and public; the command that makes keys says which of them "signs".
    "opaque token": re.compile(r"(?<![\w-])(?:[\w-]{43,44}|[\w-]{86,88})(?![\w-]| signs)", re.ASCII),
    "password hash": re.compile(r"\$2[aby]\$\d\d\$[./\w]{53}", re.ASCII),
    "TOTP secret": re.compile(r"(?<![A-Z0-9])[A-Z2-7]{32,33}(?![A-Z0-9])"),
    "recovery code": re.compile(r"(?<![\w-])[2-9BCDFGHJKMNPQRSTVWXZ]{5}-[2-9BCDFGHJKMNPQRSTVWXZ]{5}", re.ASCII),
    "code": re.compile(r"(?<![a-z])code[\"']?\s{0,2}(?:[:=]|is)\s{0,2}[\"']?\d{6}(?!\w)", re.IGNORECASE),
}
# Part of every one of these in small letters, and cheaper to look for: every line that is said is looked through.
_SIGNS: Final = {
    "password or setting": re.compile(MARK),
    "code": re.compile(r"code[\"']?\s{0,2}(?:[:=]|is)\s{0,2}[\"']?\d{6}"),
}
_MIXED: Final = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
_EXCERPT: Final = 60


@dataclass(frozen=True)
class Found:
    """A secret in a text."""

    kind: str
    begin: int
    end: int


@dataclass(frozen=True)
class Hit:
    """A secret that was somewhere it must not be; `excerpt` shows what stood around it."""

    kind: str
    where: str
    excerpt: str

    def __str__(self) -> str:
        return f"{self.where} gives a secret away: {self.excerpt}"


class Watch:
    """Takes every text that must not hold secrets, and keeps what was found until a report asks."""

    def __init__(self) -> None:
        self._hits: list[Hit] = []
        self._codes: set[str] = set()

    def code(self, code: str) -> str:
        """From now to the end of this test the code is a secret; returns it."""
        assert re.fullmatch(r"\d{6}", code), "six digits"
        self._codes.add(code)
        return code

    def forget_codes(self) -> None:
        """The test is over: by chance a later one may count up to the same six digits."""
        self._codes.clear()

    def find(self, text: str) -> list[Found]:
        """Every secret in the text, in order; where two shapes fit, the one that begins first."""
        small = text.lower()
        found = [
            Found(kind, match.start(), match.end())
            for kind, shape in _SHAPES.items()
            if kind not in _SIGNS or _SIGNS[kind].search(small)
            for match in shape.finditer(text)
            if _is_random(kind, match[0])
        ]
        if self._codes:
            codes = re.compile(rf"(?<![\w.])(?:{'|'.join(self._codes)})(?!\w)")
            found += [Found("code", match.start(), match.end()) for match in codes.finditer(text)]
        apart: list[Found] = []
        for one in sorted(found, key=lambda one: one.begin):
            if not apart or one.begin >= apart[-1].end:
                apart.append(one)
        return apart

    def masked(self, text: str) -> str:
        """The text with the name of each secret in its place."""
        return "".join(_masked(text, self.find(text)))

    def notice(self, text: str, where: str) -> None:
        """Look for secrets in the text; what is found is reported with the test that runs."""
        found = self.find(text)
        parts = _masked(text, found) if found else []
        for number, one in enumerate(found):
            # Before, name, between, name, …, after: cut after masking, or half a secret would be shown.
            before, name, after = parts[2 * number : 2 * number + 3]
            self._hits.append(Hit(one.kind, where, repr(f"{before[-_EXCERPT:]}{name}{after[:_EXCERPT]}")))

    def drain(self) -> list[Hit]:
        """What was found since the last time."""
        hits = self._hits[:]
        del self._hits[: len(hits)]
        return hits

    @contextmanager
    def planted(self) -> Iterator[list[Hit]]:
        """Around a leak that a test makes to prove that it is found: the hits end up in the list."""
        before, hits = self.drain(), list[Hit]()
        try:
            yield hits
        finally:
            hits += self.drain()
            self._hits += before


def status_text(details: str | None, pairs: Iterable[tuple[str, str | bytes]]) -> str:
    """A status as one text to look through: its message and its metadata, packed details as the bytes that they are."""
    values = (value if isinstance(value, str) else value.decode("latin-1") for _, value in pairs)
    return "\n".join([details or "", *values])


def _masked(text: str, found: list[Found]) -> list[str]:
    """The text in parts, with the kind of each secret in its place: every second part is one."""
    parts, at = [], 0
    for one in found:
        parts += [text[at : one.begin], f"<{one.kind}>"]
        at = one.end
    return [*parts, text[at:]]


def _is_random(kind: str, text: str) -> bool:
    """Whether a text of the right length and letters looks drawn, not written by somebody."""
    match kind:
        case "opaque token":
            return all(letters.search(text) for letters in _MIXED)
        case "TOTP secret":
            return all(letters.search(text) for letters in _MIXED[1:])
        case "recovery code":
            return _MIXED[1].search(text) is not None
    return True


WATCH: Final = Watch()
"""The run's one; a process that runs tests has its own."""
