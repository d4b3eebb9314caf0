"""How the audit log is put together. It has no rpc of its own: admin shows it, and the edge's journal writes to it."""

from __future__ import annotations

from functools import partial
from typing import Final

from marketd.audit import log
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.slice import Parts, Slice, Sweep

SERVICERS: Final[tuple[type, ...]] = ()
INVARIANTS: Final[tuple[Invariant, ...]] = ()


def build(parts: Parts) -> Slice:
    """The audit log's part of a process."""
    return Slice(sweeps=[Sweep("audit.sweep", partial(log.delete_before, keep=parts.settings.audit_retention))])
