"""How admin is put together."""

from __future__ import annotations

from typing import Final

from marketd.admin.servicer import AdminServicer
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.slice import Parts, Slice

SERVICERS: Final = (AdminServicer,)
INVARIANTS: Final[tuple[Invariant, ...]] = ()


def build(parts: Parts) -> Slice:
    """Admin's part of a process."""
    return Slice(servicers=[AdminServicer(pager=parts.pager)])
