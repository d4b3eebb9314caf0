"""One rpc on its way through the chain: what the links learn of it and hand to the next. Nothing outlives the rpc."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf.message import Message

from marketd.kernel.call.call import Call
from marketd.kernel.call.network import network_of
from marketd.kernel.call.refusals import Refusal
from marketd.transport.addresses import address_of, peer_address
from marketd.transport.edge.rooms import Room
from marketd.transport.opening import Opening
from marketd.transport.rules import Rule

DETAILS: ContextVar[grpc.HandlerCallDetails] = ContextVar("marketd_call_details")
"""Path and metadata as grpcio decoded them to find the handler; reading them from the context decodes them again."""


class Passage:
    """The state of one rpc, written by the links in their order.

    `raw` is the bytes of the one request: None until they are read, and where requests stream. `message_due` is the
    time (monotonic) by which the first message must be here, 0.0 once it is. `room` is where the call counts as open,
    None when nowhere. `answer_bytes` is how long the one answer is, None without one. `status` is the sending of a
    stream's status that its reader does not read. `opening` sends the headers of an answer stream, and `has_answered`
    says that an answer of it was written. `ending` is why the server ended the call from outside, set before
    the task is cancelled. `writing_since` is when the write that waits began (monotonic), 0.0 between writes. While
    `holding`, nothing may cancel the task; whoever set it looks at `ending` afterwards. `code` and `reason` are what
    the log and the metrics count. `is_audited` says that the audit entry was left.
    """

    __slots__ = (
        "_address",
        "_network",
        "_peer",
        "answer",
        "answer_bytes",
        "call",
        "code",
        "context",
        "ending",
        "expiry",
        "has_answered",
        "headers",
        "holding",
        "is_audited",
        "message",
        "message_due",
        "opening",
        "proxy_hops",
        "raw",
        "reason",
        "room",
        "rule",
        "since",
        "started",
        "status",
        "task",
        "writing_since",
    )

    def __init__(self, rule: Rule, context: Any) -> None:
        self.started = time.monotonic()
        self.rule = rule
        self.raw: bytes | None = None
        self.message_due = 0.0
        self.room: Room | None = None
        self.context = context
        self.call = Call(rule.method)
        self.task = asyncio.current_task()
        self.headers: dict[str, Any] = {}
        self.proxy_hops = 0
        self.message: Message | None = None
        self.answer: bytes | None = None
        self.answer_bytes: int | None = None
        self.status: asyncio.Future[None] | None = None
        self.since = 0
        self.ending: Refusal | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.writing_since = 0.0
        self.holding = False
        self.opening: Opening | None = None
        self.has_answered = False
        self.code = "OK"
        self.reason = ""
        self.is_audited = False
        self._address: str | None = None
        self._network: str | None = None
        self._peer = ""

    @property
    def address(self) -> str:
        """The address of whoever called: what the outermost trusted proxy saw, or else the peer's."""
        if self._address is None:
            self._peer = self.context.peer()
            forwarded = self.headers.get("x-forwarded-for", "") if self.proxy_hops else ""
            self._address = (
                address_of(self._peer, forwarded, self.proxy_hops) if forwarded else peer_address(self._peer)
            )
        return self._address

    @property
    def network(self) -> str:
        """Whom the address stands for when calls are counted by address; see network_of."""
        if self._network is None:
            self._network = network_of(self.address)
        return self._network

    @property
    def source(self) -> str:
        """The connection of the call, or behind trusted proxies the network of its address."""
        if self.proxy_hops:
            return self.network
        if not self._peer:
            self._peer = self.context.peer()
        return self._peer

    def end(self, refusal: Refusal) -> None:
        """End the call from outside with this status; the first reason given stays."""
        if self.ending is None and self.task is not None:
            self.ending = refusal
            if not self.holding:
                self.task.cancel()

    async def open(self) -> None:
        """See that the headers of an answer stream are out; raises why it was ended meanwhile."""
        if self.opening is None:
            return
        self.holding = True
        try:
            await self.opening.send()
        finally:
            self.holding = False
        if self.ending is not None:
            raise self.ending

    def trailing(self) -> list[tuple[str, str | bytes]]:
        """The metadata that every answer carries."""
        call = self.call
        pairs: list[tuple[str, str | bytes]] = [("x-request-id", call.correlation_id)]
        if call.replayed:
            pairs.append(("replayed", "true"))
        if self.rule.replacement:
            pairs.append(("deprecated", self.rule.replacement))
        if call.trailing:
            pairs.extend(call.trailing)
        return pairs
