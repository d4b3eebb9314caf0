"""One rpc on its way through the chain: what the links learn of it and hand to the next. Nothing outlives the rpc."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf.message import Message

from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import Refusal
from marketd.transport.rules import Rule

DETAILS: ContextVar[grpc.HandlerCallDetails] = ContextVar("marketd_call_details")
"""Path and metadata as grpcio decoded them to find the handler; reading them from the context decodes them again."""


class Passage:
    """The state of one rpc, written by the links in their order.

    `raw` is the request's bytes, None when requests stream. `ending` is why the server ended the call from outside, set
    before the task is cancelled. `writing_since` is when the write that waits began (monotonic), 0.0 between writes.
    While `holding`, nothing may cancel the task; whoever set it looks at `ending` afterwards.
    `code` and `reason` are what the log and the metrics count. `is_audited` says that the audit entry was left.
    """

    __slots__ = (
        "_address",
        "answer",
        "call",
        "code",
        "context",
        "ending",
        "expiry",
        "headers",
        "holding",
        "is_audited",
        "message",
        "proxy_hops",
        "raw",
        "reason",
        "rule",
        "since",
        "started",
        "task",
        "writing_since",
    )

    def __init__(self, rule: Rule, raw: bytes | None, context: Any) -> None:
        self.started = time.monotonic()
        self.rule = rule
        self.raw = raw
        self.context = context
        self.call = Call(rule.method)
        self.task = asyncio.current_task()
        self.headers: dict[str, Any] = {}
        self.proxy_hops = 0
        self.message: Message | None = None
        self.answer: bytes | None = None
        self.since = 0
        self.ending: Refusal | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.writing_since = 0.0
        self.holding = False
        self.code = "OK"
        self.reason = ""
        self.is_audited = False
        self._address: str | None = None

    @property
    def address(self) -> str:
        """The address of whoever called: the peer's, or what the outermost trusted proxy saw."""
        if self._address is None:
            forwarded = self.headers.get("x-forwarded-for") if self.proxy_hops else None
            self._address = (
                forwarded_address(forwarded, self.proxy_hops) if forwarded else peer_address(self.context.peer())
            )
        return self._address

    def end(self, refusal: Refusal) -> None:
        """End the call from outside with this status; the first reason given stays."""
        if self.ending is None and self.task is not None:
            self.ending = refusal
            if not self.holding:
                self.task.cancel()

    def trailing(self) -> list[tuple[str, str | bytes]]:
        """The metadata that every answer carries."""
        call = self.call
        pairs: list[tuple[str, str | bytes]] = [("x-request-id", call.correlation_id)]
        if call.replayed:
            pairs.append(("replayed", "true"))
        if call.trailing:
            pairs.extend(call.trailing)
        return pairs


def forwarded_address(header: str, hops: int) -> str:
    """The address in `x-forwarded-for` that the outermost of `hops` trusted proxies wrote.

    Each proxy appends whom it saw, so what a client forges stands to the left and is never read.
    """
    addresses = header.split(",")
    return addresses[-min(hops, len(addresses))].strip()[:64]


def peer_address(peer: str) -> str:
    """The host of a grpc peer such as `ipv4:10.0.0.1:4711` or `ipv6:%5B::1%5D:4711`; other kinds stay as they are."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    return rest.rpartition(":")[0].removeprefix("%5B").removesuffix("%5D")
