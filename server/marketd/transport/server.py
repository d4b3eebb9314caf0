"""The server: its options, how it is built from collected servicers, and how it starts and drains.

Everything it needs is handed in; nothing here reads settings or the environment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
from grpc_health.v1 import health_pb2_grpc

from marketd.config.forms import with_port
from marketd.kernel.slice import Authenticator
from marketd.transport.access import AccessTable
from marketd.transport.audit_trail import AuditSink
from marketd.transport.chain import Chain
from marketd.transport.channelz import add_channelz
from marketd.transport.collector import Collector
from marketd.transport.edge.accounting import Accounting, WriteLines
from marketd.transport.edge.admission import Admission, Bounds
from marketd.transport.edge.answers import AnswerCache
from marketd.transport.edge.calls import DRAIN_CLEANUP_SECONDS, Calls
from marketd.transport.edge.rates import LocalRates, Rates
from marketd.transport.edge.tls import PeerServices
from marketd.transport.edge.unread import UnreadBounds
from marketd.transport.health import Health, HealthServicer
from marketd.transport.links.common import Edge
from marketd.transport.reflection import add_reflection
from marketd.transport.rules import RateClass
from marketd.transport.start_errors import PortUnavailable
from marketd.transport.validation import Validation

# Between the soft and the absolute limit the core refuses at random; equal limits leave no such band.
MAX_METADATA_BYTES = 16_384
_FLUSH_SECONDS = 0.5
# A bit for each of grpc's algorithms: identity, deflate, gzip.
_IDENTITY_ONLY, _ALL_ALGORITHMS = 0b1, 0b111
_NEVER = 2**31 - 1  # the core's word for it, in milliseconds
_TURN_SECONDS, _MIN_TURNS, _MAX_TURNS = 0.01, 5, 15


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server listens and what it allows. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    reuse_port: bool = False
    credentials: grpc.ServerCredentials | None = None
    internal_port: int | None = None
    """A second port, for services that show a certificate; None for none."""
    internal_compression: bool = False
    """Whether that port takes compressed messages; the other never does."""
    internal_credentials: grpc.ServerCredentials | None = None
    gateway_socket: Path | None = None
    """A Unix socket on which the gateway beside us calls, and nobody else; None for none."""
    gateway_hops: int = 0
    """How many proxies' `x-forwarded-for` is believed on that socket: the gateway's own, and those in front of it."""
    services: Mapping[str, str] = field(default_factory=dict)
    """Internal services by a name in their certificate; see tls.PeerServices."""
    reflection: bool = False
    channelz: bool = False
    trusted_proxy_hops: int = 0
    rate_limits: Mapping[RateClass, tuple[float, float]] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    message_seconds: float = 8.0
    slow_write_seconds: float = 5.0
    unread: UnreadBounds = field(default_factory=UnreadBounds)
    answer_ttl_seconds: float = 1.0
    answer_entries: int = 10_000
    answer_bytes: int = 32 * 1024 * 1024
    max_receive_bytes: int = 4 * 1024 * 1024
    max_streams_per_connection: int = 128
    """A little more than an account may have; what a client has beyond it waits at the client. A call that has begun
    costs the core 16 KiB before anything of ours runs, so this bounds what a few connections can do at once.
    """
    max_streams_per_internal_connection: int = 1_024
    max_streams_per_gateway_connection: int = 16_384
    """All clients of the gateway share a few connections; what each may have open is bounded by account and address."""
    max_connections: int = 8_192
    max_pending: int = 16_384
    """Calls that wait in the core for the loop to come to them; it drops what is beyond that, without a reason."""
    ping_interval_seconds: float = 5.0
    """Who pings more often than this without a call is cut off."""
    connection_age_seconds: float = 600.0
    connection_age_grace_seconds: float = 30.0
    connection_idle_seconds: float = 300.0

    def gateway_arguments(self) -> list[tuple[str, Any]]:
        """The options of the gateway's socket: like the public port's, but its connections are for everybody.

        None is ended for its age or its rest, which would end every watch on it at once.
        """
        changed: dict[str, Any] = {
            "grpc.so_reuseport": 0,
            "grpc.max_concurrent_streams": self.max_streams_per_gateway_connection,
            "grpc.max_connection_idle_ms": _NEVER,
            "grpc.max_connection_age_ms": _NEVER,
            "grpc.http2.min_ping_interval_without_data_ms": 1_000,
        }
        return [(name, changed.get(name, value)) for name, value in self.channel_arguments()]

    def channel_arguments(self, *, internal: bool = False) -> list[tuple[str, Any]]:
        """The options as the core takes them, of the public port or of the internal one."""
        compression = internal and self.internal_compression
        streams = self.max_streams_per_internal_connection if internal else self.max_streams_per_connection
        # Workers are started together; without jitter their clients would all come back together.
        age = self.connection_age_seconds * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, hides nothing
        return [
            ("grpc.so_reuseport", int(self.reuse_port)),
            ("grpc.max_receive_message_length", self.max_receive_bytes),
            ("grpc.max_concurrent_streams", streams),
            # A frozen peer is reaped after keepalive_time + ping_timeout; grpc.keepalive_timeout_ms does nothing.
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.http2.ping_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Many clients ping every 10 s, and some of those pings come a little early.
            ("grpc.http2.min_ping_interval_without_data_ms", int(self.ping_interval_seconds * 1000)),
            ("grpc.max_connection_idle_ms", int(self.connection_idle_seconds * 1000)),
            ("grpc.max_connection_age_ms", int(age * 1000)),
            ("grpc.max_connection_age_grace_ms", int(self.connection_age_grace_seconds * 1000)),
            # Connections that never say anything would use up the file descriptors.
            ("grpc.server_handshake_timeout_ms", 5_000),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.enable_channelz", int(self.channelz)),
            ("grpc.max_allowed_incoming_connections", self.max_connections),
            # By default it drops calls at random from 1,000 on. They cost it little; ours to refuse is what comes out.
            ("grpc.server.max_pending_requests", self.max_pending),
            ("grpc.server.max_pending_requests_hard_limit", self.max_pending),
            # The core inflates before anything of ours knows who calls: 4 KiB become 4 MiB.
            ("grpc.compression_enabled_algorithms_bitset", _ALL_ALGORITHMS if compression else _IDENTITY_ONLY),
        ]


class BuiltServer:
    """A server that is bound to its port. `start` it once and `stop` it once, in the loop it was built in."""

    def __init__(
        self,
        servers: Sequence[grpc.aio.Server],
        port: int,
        edge: Edge,
        health: Health,
        table: AccessTable,
        internal_port: int = 0,
    ) -> None:
        self.port = port
        self.internal_port = internal_port
        self.health = health
        self.table = table
        self.calls = edge.calls
        self.answers = edge.answers
        self.accounting = edge.accounting
        self._edge = edge
        self._servers = servers
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, serving: bool = True) -> None:
        """Take calls, and say SERVING unless told to wait for `health.set_serving()`."""
        self._tasks = [
            asyncio.create_task(self.calls.run(), name="transport-sweep"),
            asyncio.create_task(self.accounting.run(), name="transport-accounting"),
        ]
        for server in self._servers:
            await server.start()
        if serving:
            self.health.set_serving()

    async def stop(self, grace: float) -> None:
        """Drain: say NOT_SERVING, take no new calls, end streams, let unary calls finish within `grace` seconds.

        With a grace of 0 nobody is waited for: open calls end at once, and those on their way are not refused first.
        Returns when every handler, its `finally` blocks included, is done, so the engine may go.
        """
        self.health.drain()
        self._edge.admission.draining = True
        draining = asyncio.create_task(self.calls.drain(grace))
        if grace > 0:
            await self._turn_away()
        # The core's grace is longer than the drain's: at its end it cancels handlers once more, in the middle of their
        # `finally` blocks.
        stopping = asyncio.gather(*(server.stop(grace + DRAIN_CLEANUP_SECONDS) for server in self._servers))
        await draining
        # What is left are answers that nobody reads, and unbegun calls.
        await asyncio.gather(*(server.stop(_FLUSH_SECONDS) for server in self._servers))
        await stopping
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.accounting.flush()

    async def _turn_away(self) -> None:
        """Only refuse new calls for a moment, until none comes any more.

        Stopping the core closes the port and sends GOAWAY, so that clients retry on another connection. But calls that
        wait in the core then, or reach it later, are not ours to answer: clients would see them CANCELLED. Those that
        are refused first wait for as long as DRAINING tells them to, which is longer than this takes. It counts turns
        of the loop, not time: a loop that was held up has calls to refuse.
        """
        admission = self._edge.admission
        for turn in range(_MAX_TURNS):
            before = admission.turned_away
            await asyncio.sleep(_TURN_SECONDS)
            if turn >= _MIN_TURNS and admission.turned_away == before:
                return

    async def wait(self) -> None:
        """Wait until the server has been stopped."""
        for server in self._servers:
            await server.wait_for_termination()


def _no_guest(_token: str) -> None:
    """No token is a guest's."""


def build_server(
    collector: Collector,
    options: ServerOptions,
    *,
    authenticator: Authenticator,
    fingerprint_secret: bytes,
    guest_cart: Callable[[str], UUID | None] = _no_guest,
    rates: Rates | None = None,
    audit: AuditSink | None = None,
    access_log: WriteLines | None = None,
) -> BuiltServer:
    """Put the server together and bind its port; nothing is served before `start`.

    `fingerprint_secret`: at least 16 bytes, the same on every worker and across restarts. `guest_cart`: the cart that a
    token is a guest's token of; no token is one by default. `rates`: where calls are
    counted, this process by default. `audit`: where the entries of audited methods go; without it they leave none.
    `access_log` takes whole lines of JSON. Raises StartError (MethodsWithoutRule,
    HandlersUnfit, RulesBroken, PortUnavailable) with a message for the operator. Call it inside the running loop.
    """
    if len(fingerprint_secret) < 16:
        raise ValueError("the fingerprint secret must have at least 16 bytes")
    domain_services = tuple(collector.services)
    health = Health(domain_services)
    collector.add(health_pb2_grpc.add_HealthServicer_to_server, HealthServicer(health))
    if options.channelz:
        add_channelz(collector)
    if options.reflection:
        add_reflection(collector, tuple(collector.services))
    table = AccessTable.from_names(collector.services)
    calls = Calls(
        arriving=options.bounds.arriving,
        vital_arriving=options.bounds.vital_arriving,
        unread=options.unread,
        slow_write_seconds=options.slow_write_seconds,
    )
    edge = Edge(
        authenticator=authenticator,
        guest_cart=guest_cart,
        rates=rates or LocalRates(options.rate_limits),
        answers=AnswerCache(
            max_entries=options.answer_entries,
            max_bytes=options.answer_bytes,
            ttl_seconds=options.answer_ttl_seconds,
        ),
        calls=calls,
        admission=Admission(calls, options.bounds),
        accounting=Accounting(calls, access_log),
        validation=Validation(),
        fingerprint_secret=fingerprint_secret,
        message_seconds=options.message_seconds,
        trusted_proxy_hops=options.trusted_proxy_hops,
        services=PeerServices(options.services) if options.services else None,
        audit=audit,
    )
    chain = Chain(edge, table, collector.methods)
    public = grpc.aio.server(interceptors=[chain], options=options.channel_arguments())
    port = _bind(public, options.host, options.port, options.credentials)
    servers, internal_port = [public], 0
    # Servers of their own, since the core's options are a server's, not a port's.
    if options.internal_port is not None:
        internal = grpc.aio.server(interceptors=[chain], options=options.channel_arguments(internal=True))
        internal_port = _bind(internal, options.host, options.internal_port, options.internal_credentials)
        servers.append(internal)
    if options.gateway_socket is not None:
        # A chain of its own, since whose word counts for a caller's address is settled by where a call comes in: no
        # header of a call to another port can make it one of the gateway's.
        trusting = replace(edge, trusted_proxy_hops=options.gateway_hops, services=None)
        gateway = grpc.aio.server(
            interceptors=[Chain(trusting, table, collector.methods)], options=options.gateway_arguments()
        )
        _bind_socket(gateway, options.gateway_socket)
        servers.append(gateway)
    return BuiltServer(servers, port, edge, health, table, internal_port)


def _bind_socket(server: grpc.aio.Server, path: Path) -> None:
    # Of a worker that was killed; the folder is ours alone, and one worker has this place in it.
    path.unlink(missing_ok=True)
    address = f"unix:{path.absolute()}"
    try:
        server.add_insecure_port(address)
    except RuntimeError as problem:
        raise PortUnavailable(address) from problem
    path.chmod(0o600)


def _bind(server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
    address = with_port(host, port)
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as problem:
        raise PortUnavailable(address) from problem
