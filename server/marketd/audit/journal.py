"""The journal: writes the audit entries that come from the edge, many in one transaction, one transaction at a time.

A flood of refused calls must not become a flood of transactions. What comes in while one commits goes into the next,
and beyond a bound entries are dropped and counted. Nor may one address fill the log with refusals, which cost it
nothing: beyond a burst they are only counted, and the access log has them. Effects never come this way (log.record).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque

import structlog

from marketd.audit import repository
from marketd.audit.call import AuditedCall
from marketd.audit.values import AuditEntry
from marketd.kernel.call.network import network_of
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import Clock

_log = structlog.get_logger(__name__)

CAPACITY = 10_000
# Refused calls of one address (of IPv6 its /64) that leave entries: a burst, and then one in this time.
REFUSALS_SECONDS = 1.0
ADDRESSES = 10_000
BATCH = 500
WRITE_SECONDS = 2.0
RETRY_SECONDS = 0.5


class AuditJournal:
    """The edge's AuditSink; `run` writes. Give it a pool that full servers leave alone."""

    def __init__(self, tx: Transactor, clock: Clock, *, capacity: int = CAPACITY, refusals_burst: int = 1_000) -> None:
        self._tx = tx
        self._clock = clock
        self._capacity = capacity
        self._refusals_burst = refusals_burst
        self._waiting: deque[tuple[AuditEntry, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._dropped = 0
        # By network: when its bucket will be full again, on the monotonic clock.
        self._refused: OrderedDict[str, float] = OrderedDict()

    def note(self, call: AuditedCall) -> asyncio.Future[None]:
        """Take what became of a call. The future is done once the entry is committed, or was dropped."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= self._capacity or (call.code != "OK" and self._is_flood(call.caller.address)):
            self._dropped += 1
            written.set_result(None)
        else:
            self._waiting.append((AuditEntry.of_call(call, self._clock.now()), written))
            self._wake.set()
        return written

    def _is_flood(self, address: str) -> bool:
        network, now = network_of(address), time.monotonic()
        full_at = max(self._refused.pop(network, now), now)
        is_flood = full_at - now > (self._refusals_burst - 1) * REFUSALS_SECONDS
        self._refused[network] = full_at if is_flood else full_at + REFUSALS_SECONDS
        if len(self._refused) > ADDRESSES:
            self._refused.popitem(last=False)
        return is_flood

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    if not await self._write():
                        await asyncio.sleep(RETRY_SECONDS)
        finally:
            while self._waiting and await self._write():
                pass

    async def _write(self) -> bool:
        """Write one batch; False when the database does not take it now."""
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        entries = [entry for entry, _ in batch]
        try:
            await self._tx.run(
                "audit.write", lambda uow: repository.insert(uow.connection, entries), seconds=WRITE_SECONDS
            )
        except Refusal as refusal:
            # Also when the outcome is unknown: an entry's id keeps it from standing twice.
            _log.warning("audit_not_written", entries=len(batch), reason=refusal.reason.value)
            self._waiting.extendleft(reversed(batch))
            return False
        except Exception:  # noqa: BLE001 - a bug in one entry must not end the journal; the trace is in the log
            _log.exception("audit_entries_lost", entries=len(batch))
        if self._dropped:
            _log.error("audit_entries_dropped", entries=self._dropped)
            self._dropped = 0
        for _, written in batch:
            if not written.done():
                written.set_result(None)
        return True
