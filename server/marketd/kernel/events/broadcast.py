"""Broadcast between workers: best effort, coalesced, never inside a transaction. Subscribers re-read what may not be
lost; a message is a hint, and `on_gap` says that hints may have been missed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import asyncpg
import structlog

from marketd.kernel.db.database import DATABASE_ERRORS, Connection
from marketd.kernel.values.ids import new_id

_log = structlog.get_logger(__name__)

Receiver: TypeAlias = Callable[[bytes], None]
GapReceiver: TypeAlias = Callable[[], None]

CHANNEL = "marketd"
# Postgres takes payloads below 8,000 bytes.
MAX_PAYLOAD = 7_900
# Overflow rule: the oldest hints go first; every subscriber re-reads by itself within seconds.
MAX_PENDING = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """What `subscribe` gives back; hand it to `unsubscribe`."""

    topic: str
    receiver: Receiver
    on_gap: GapReceiver | None


class Broadcast(Protocol):
    """The port: topics are short texts, payloads at most 5,000 bytes. Receivers run on the loop and must not block."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Give the payload to this process' subscribers at once and to the other workers soon."""

    def subscribe(self, topic: str, receiver: Receiver, on_gap: GapReceiver | None = None) -> Subscription:
        """Call `receiver` for each payload of the topic, `on_gap` when some may have been missed."""

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop calling."""


class LocalBroadcast:
    """Broadcast within one process; also the local half of the others."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, list[Subscription]] = defaultdict(list)

    def publish(self, topic: str, payload: bytes) -> None:
        self.deliver(topic, payload)

    def subscribe(self, topic: str, receiver: Receiver, on_gap: GapReceiver | None = None) -> Subscription:
        subscription = Subscription(topic, receiver, on_gap)
        self._subscriptions[topic].append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with contextlib.suppress(ValueError):
            self._subscriptions[subscription.topic].remove(subscription)

    def deliver(self, topic: str, payload: bytes) -> None:
        """Call this process' subscribers of the topic."""
        for subscription in tuple(self._subscriptions.get(topic, ())):
            subscription.receiver(payload)

    def announce_gap(self) -> None:
        """Tell every subscriber that messages may have been missed."""
        for subscriptions in tuple(self._subscriptions.values()):
            for subscription in tuple(subscriptions):
                if subscription.on_gap is not None:
                    subscription.on_gap()


class PostgresBroadcast(LocalBroadcast):
    """Broadcast over LISTEN/NOTIFY on one dedicated connection (not through a transaction-mode pooler).

    Messages are gathered for `flush_seconds` and sent as few payloads. A heartbeat to ourselves proves that the
    listener lives; without it for `heartbeat_seconds * 2.5` the connection is made anew and a gap announced.
    """

    def __init__(self, dsn: str, *, flush_seconds: float = 0.04, heartbeat_seconds: float = 2.0) -> None:
        super().__init__()
        self._dsn = dsn
        self._flush_seconds = flush_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._sender = new_id().hex[-12:]
        self._pending: list[str] = []
        self._wake = asyncio.Event()
        self._counter = 0
        self._heard = 0.0
        self.connected = asyncio.Event()

    def publish(self, topic: str, payload: bytes) -> None:
        self.deliver(topic, payload)
        line = f"{topic} {base64.b64encode(payload).decode()}"
        if len(line) > MAX_PAYLOAD - 64:
            raise ValueError(f"a broadcast on {topic} of {len(payload)} bytes is too long")
        if len(self._pending) >= MAX_PENDING:
            del self._pending[: MAX_PENDING // 10]
        self._pending.append(line)
        self._wake.set()

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        pause = 0.1
        while True:
            try:
                connection: Connection = await asyncpg.connect(self._dsn, timeout=2, command_timeout=5)
            except DATABASE_ERRORS as error:
                _log.warning("broadcast_unreachable", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
                continue
            pause = 0.1
            try:
                await self._serve(connection)
            except DATABASE_ERRORS as error:
                _log.warning("broadcast_lost", error=type(error).__name__)
            finally:
                self.connected.clear()
                connection.terminate()

    async def _serve(self, connection: Connection) -> None:
        await connection.add_listener(CHANNEL, self._receive)
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        self.connected.set()
        self.announce_gap()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_seconds):
                    await self._wake.wait()
                    # Gather what comes in this moment, so a burst is one statement.
                    await asyncio.sleep(self._flush_seconds)
            self._wake.clear()
            lines, self._pending = self._pending, []
            try:
                await connection.execute(
                    "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", CHANNEL, self._payloads(lines)
                )
            except Exception:
                # Sent again by the next connection, and at once: only we know that they were lost, the others are told
                # of no gap. Whatever it is: the driver has errors of its own for a server that dies while it speaks.
                self._pending = lines + self._pending
                self._wake.set()
                raise
            if loop.time() - self._heard > self._heartbeat_seconds * 2.5:
                raise TimeoutError("no heartbeat of our own came back")

    def _payloads(self, lines: list[str]) -> list[str]:
        """Join lines into payloads; the counter keeps equal ones apart, which Postgres would collapse into one.

        With no lines the one payload is the heartbeat.
        """
        payloads: list[str] = []
        body: list[str] = []
        size = 0
        for line in lines:
            if size + len(line) + 1 > MAX_PAYLOAD - 64:
                payloads.append(self._frame(body))
                body, size = [], 0
            body.append(line)
            size += len(line) + 1
        payloads.append(self._frame(body))
        return payloads

    def _frame(self, body: list[str]) -> str:
        self._counter += 1
        return "\n".join([f"{self._sender} {self._counter}", *body])

    def _receive(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        head, *lines = str(payload).split("\n")
        if head.split(" ", 1)[0] == self._sender:
            self._heard = asyncio.get_running_loop().time()
            return
        for line in lines:
            topic, _, encoded = line.partition(" ")
            self.deliver(topic, base64.b64decode(encoded))
