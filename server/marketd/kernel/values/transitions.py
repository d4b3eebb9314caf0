"""Which state of an aggregate may follow which: one table, and the one refusal of what is not in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Generic, TypeVar

from marketd.kernel.call.refusals import IllegalTransition

S = TypeVar("S", bound=StrEnum)


class Transitions(Generic[S]):
    """The legal steps of one kind of aggregate. table: every state with those that may follow it, in their order."""

    def __init__(self, resource: str, table: Mapping[S, Sequence[S]]) -> None:
        self._resource = resource
        self._table = table

    def allowed(self, current: S) -> list[str]:
        """The states that may follow."""
        return [state.value for state in self._table[current]]

    def sources(self, wanted: S) -> frozenset[S]:
        """The states that this one may follow."""
        return frozenset(state for state, after in self._table.items() if wanted in after)

    def check(self, current: S, wanted: S) -> None:
        """Raises IllegalTransition, naming what is allowed, unless the table has the step."""
        if wanted not in self._table[current]:
            raise self.refusal(current)

    def refusal(self, current: S) -> IllegalTransition:
        """That what was asked cannot be done in this state."""
        return IllegalTransition(self._resource, current.value, self.allowed(current))
