"""People all of whose personal words are canaries: each is unique, and says of whom it is and where it may stand."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.type import latlng_pb2
from marketplace.type.v1 import address_pb2

TEXTS: Final = ("recipient", "lines", "city", "region", "postal_code", "entrance", "floor", "notes")
"""The fields of an address that are free texts."""
KEPT: Final = ("city", "region", "postal_code")
"""What an order keeps of the address of somebody who is gone."""
ON_RECEIPTS: Final = ("recipient", "lines", "city", "region", "postal_code")
PRINTED: Final = (r"receipt\.text", r"receipt\.html")


@dataclass(frozen=True)
class Canary:
    """One word: whose it is, what of theirs, and the ends of the paths at which an answer may say it."""

    text: str
    owner: str
    name: str
    homes: tuple[str, ...]

    def __str__(self) -> str:
        return f"the {self.owner}'s {self.name}"

    def is_in(self, text: str) -> bool:
        """Whether the text has it; six digits only by themselves, which ids have by chance."""
        if len(self.text) > 6:
            return self.text.removeprefix("+") in text
        return re.search(rf"(?<![\w.]){self.text}(?!\w)", text) is not None

    @property
    def is_gone(self) -> bool:
        """Whether it goes with the account of its owner."""
        what, _, of = self.name.partition(" of ")
        return what != "code" and not (of in ("home", "door") and what in KEPT)

    def may_stand(self, path: str) -> bool:
        """Whether this is one of its places; who sees that place at all is for the page to say."""
        return any(re.search(rf"(^|\.){home}$", path) for home in self.homes)


@dataclass
class Aviary:
    """All canaries of a walk."""

    canaries: list[Canary] = field(default_factory=list)

    def word(self, owner: str, name: str, *homes: str) -> str:
        """A new word of somebody's."""
        text = f"{name[:4].strip()}-{secrets.token_hex(5)}"
        return self._keep(text, owner, name, homes)

    def phone(self, owner: str, name: str, *homes: str) -> str:
        """A new phone."""
        return self._keep(f"+4930{secrets.randbelow(10**9):09}", owner, name, homes)

    def email(self, owner: str, name: str, *homes: str) -> str:
        """A new e-mail address."""
        return self._keep(f"{secrets.token_hex(8)}@example.com", owner, name, homes)

    def address(self, owner: str, name: str, home: str, longitude: float) -> address_pb2.Address:
        """An address of which every word is one; `home` is where addresses of this kind stand."""

        def word(each: str) -> str:
            return self.word(owner, f"{each} of {name}", rf"{home}\.{each}", *PRINTED if each in ON_RECEIPTS else ())

        words: Mapping[str, str] = {each: word(each) for each in TEXTS if each != "lines"}
        return address_pb2.Address(
            **words,
            lines=[word("lines")],
            phone=self.phone(owner, f"phone of {name}", rf"{home}\.phone"),
            region_code="DE",
            point=latlng_pb2.LatLng(latitude=52.53, longitude=longitude),
        )

    def within(self, text: str) -> list[Canary]:
        """Those that the text holds; phones also without their plus."""
        return [each for each in self.canaries if each.is_in(text)]

    def of(self, owner: str) -> list[Canary]:
        """Somebody's."""
        return [each for each in self.canaries if each.owner == owner]

    def _keep(self, text: str, owner: str, name: str, homes: tuple[str, ...]) -> str:
        self.canaries.append(Canary(text, owner, name, homes))
        return text
