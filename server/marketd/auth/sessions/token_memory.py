"""What a worker remembers of tokens: those that were verified with their callers, and for a moment those refused."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from marketd.auth.sessions.access_tokens import Claims
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import Refusal

# Refused tokens in memory, and how long: an account may be unblocked, which is known everywhere in 2 s.
REFUSED = 10_000
REFUSED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that was verified, and its caller."""

    claims: Claims
    caller: Caller


class TokenMemory:
    """At most `capacity` tokens; the one not used for longest goes first. Each costs some 2 KiB."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[str, KnownToken] = OrderedDict()
        self._by_account: dict[UUID, set[str]] = {}
        self._refused: OrderedDict[str, tuple[type[Refusal], float]] = OrderedDict()

    def find(self, token: str) -> KnownToken | None:
        """What is known of the token."""
        return self._known.get(token)

    def all(self) -> Sequence[tuple[str, KnownToken]]:
        """Every token that is known now."""
        return tuple(self._known.items())

    def note_use(self, token: str) -> None:
        """The token, which is known, was used just now."""
        self._known.move_to_end(token)

    def remember(self, token: str, known: KnownToken) -> None:
        """The token was verified just now."""
        self._known[token] = known
        self._known.move_to_end(token)
        self._by_account.setdefault(known.claims.user_id, set()).add(token)
        if len(self._known) > self._capacity:
            self.forget(next(iter(self._known)))

    def forget(self, token: str) -> None:
        """Know the token no more."""
        known = self._known.pop(token, None)
        if known is None:
            return
        tokens = self._by_account[known.claims.user_id]
        tokens.discard(token)
        if not tokens:
            del self._by_account[known.claims.user_id]

    def forget_account(self, user_id: UUID) -> None:
        """Know none of the account's tokens any more."""
        for token in tuple(self._by_account.get(user_id, ())):
            self.forget(token)

    def refuse(self, token: str, refusal: type[Refusal]) -> None:
        """Remember it for a moment: whoever goes on calling with an ended session must not cost a read each time."""
        self._refused[token] = (refusal, time.monotonic() + REFUSED_SECONDS)
        if len(self._refused) > REFUSED:
            self._refused.popitem(last=False)

    def refusal_of(self, token: str) -> type[Refusal] | None:
        """Why the token was refused a moment ago."""
        refused = self._refused.get(token)
        return refused[0] if refused is not None and time.monotonic() < refused[1] else None

    def forget_refusals(self) -> None:
        """Somebody may be let in again."""
        self._refused.clear()
