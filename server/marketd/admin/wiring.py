"""How admin is put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from marketd.admin.servicer import AdminServicer
from marketd.audit.call import AuditedWords
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.slice import Parts, Slice

SERVICERS: Final = (AdminServicer,)
INVARIANTS: Final[tuple[Invariant, ...]] = ()


def build(parts: Parts, *, audited: Callable[[], AuditedWords]) -> Slice:
    """Admin's part of a process. `audited` gives what entries of the audit log can name."""
    return Slice(servicers=[AdminServicer(pager=parts.pager, audited=audited())])
