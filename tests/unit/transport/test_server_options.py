"""What a server bounds when nobody says otherwise, as the manual promises it, and which setting changes which bound."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest
from marketd.config import Settings
from marketd.transport.deadlines import (
    IMPORT_SECONDS,
    UNARY_SECONDS,
    UPLOAD_MESSAGE_SECONDS,
    UPLOAD_SECONDS,
    limit_seconds,
)
from marketd.transport.edge.admission import Bounds
from marketd.transport.edge.shared_rates import KEEP_LEASE_SECONDS, LEASE_SECONDS, MAX_KEYS, MAX_WAITING
from marketd.transport.edge.unread import STALE_SECONDS, UnreadBounds
from marketd.transport.options import server_options
from marketd.transport.rules import Kind, RateClass
from marketd.transport.server import ServerOptions
from marketd.transport.validation import MAX_INLINE_BYTES, MAX_ITEMS, MAX_LIST_ITEMS, MAX_REQUEST_BYTES

from tests.certificates import Authority

MIB: Final = 1024 * 1024
NEVER: Final = 2_147_483_647

# docs/operations.md, "What the edge bounds", says these to operators.
BY_DEFAULT: Final[dict[str, Any]] = {
    "host": "127.0.0.1",
    "port": 0,
    "reuse_port": False,
    "credentials": None,
    "internal_port": None,
    "internal_compression": False,
    "internal_credentials": None,
    "gateway_socket": None,
    "gateway_hops": 0,
    "services": {},
    "reflection": False,
    "channelz": False,
    "trusted_proxy_hops": 0,
    "rate_limits": {},
    "bounds": Bounds(
        arriving=(512, 64),
        unary=(512, 256),
        streams=(16_000, 8_000),
        vital_arriving=(256, 64),
        health_checks=(256, 64),
        health_watches=(1_000, 100),
        streams_of_account=100,
    ),
    "message_seconds": 8.0,
    "slow_write_seconds": 5.0,
    "unread": UnreadBounds(of_source=2 * MIB, rushing=8 * MIB, of_address=4 * MIB, in_all=32 * MIB),
    "answer_ttl_seconds": 1.0,
    "answer_entries": 10_000,
    "answer_bytes": 32 * MIB,
    "max_receive_bytes": 4 * MIB,
    "max_streams_per_connection": 128,
    "max_streams_per_internal_connection": 1_024,
    "max_streams_per_gateway_connection": 16_384,
    "max_connections": 8_192,
    "max_pending": 16_384,
    "ping_interval_seconds": 5.0,
    "connection_age_seconds": 600.0,
    "connection_age_grace_seconds": 30.0,
    "connection_idle_seconds": 300.0,
}

# What the core of gRPC is told by it. It enforces these by itself: only a wait of minutes would show most of them.
TO_THE_CORE: Final[dict[str, int]] = {
    "grpc.so_reuseport": 0,
    "grpc.max_receive_message_length": 4 * MIB,
    "grpc.max_concurrent_streams": 128,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.http2.ping_timeout_ms": 5_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.min_ping_interval_without_data_ms": 5_000,
    "grpc.max_connection_idle_ms": 300_000,
    "grpc.max_connection_age_grace_ms": 30_000,
    "grpc.server_handshake_timeout_ms": 5_000,
    "grpc.max_metadata_size": 16_384,
    "grpc.absolute_max_metadata_size": 16_384,
    "grpc.enable_channelz": 0,
    "grpc.max_allowed_incoming_connections": 8_192,
    "grpc.server.max_pending_requests": 16_384,
    "grpc.server.max_pending_requests_hard_limit": 16_384,
    "grpc.compression_enabled_algorithms_bitset": 1,
}
AGE: Final = "grpc.max_connection_age_ms"


def of_core(arguments: list[tuple[str, Any]]) -> dict[str, Any]:
    """The options by name; none is given twice."""
    found = dict(arguments)
    assert len(found) == len(arguments)
    return found


def test_a_server_has_the_bounds_that_the_manual_promises() -> None:
    made = ServerOptions()
    assert {each.name: getattr(made, each.name) for each in fields(made)} == BY_DEFAULT
    assert STALE_SECONDS == 0.25
    assert (MAX_REQUEST_BYTES, MAX_INLINE_BYTES, MAX_LIST_ITEMS, MAX_ITEMS) == (MIB, 4 * MIB, 1_000, 10_000)
    assert (LEASE_SECONDS, KEEP_LEASE_SECONDS, MAX_WAITING, MAX_KEYS) == (0.2, 1.0, 2_000, 50_000)


def test_the_core_is_told_all_of_them_and_connections_end_a_tenth_earlier_or_later() -> None:
    ages = set()
    for _ in range(20):
        found = of_core(ServerOptions().channel_arguments())
        ages.add(found.pop(AGE))
        assert found == TO_THE_CORE
    assert all(540_000 <= age <= 660_000 for age in ages)
    assert len(ages) > 1, "their clients would all come back together"


def test_the_internal_port_takes_more_streams_and_compressed_messages_if_told() -> None:
    for told, compression in ((False, 0b1), (True, 0b111)):
        options = ServerOptions(internal_compression=told)
        found = of_core(options.channel_arguments(internal=True))
        found.pop(AGE)
        assert found == {
            **TO_THE_CORE,
            "grpc.max_concurrent_streams": 1_024,
            "grpc.compression_enabled_algorithms_bitset": compression,
        }
        assert of_core(options.channel_arguments())["grpc.compression_enabled_algorithms_bitset"] == 0b1


def test_connections_of_the_gateway_are_for_everybody_and_last() -> None:
    found = of_core(ServerOptions(reuse_port=True).gateway_arguments())
    assert found == {
        **TO_THE_CORE,
        "grpc.max_concurrent_streams": 16_384,
        "grpc.max_connection_idle_ms": NEVER,
        AGE: NEVER,
        "grpc.http2.min_ping_interval_without_data_ms": 1_000,
    }


def test_the_settings_say_how_a_server_listens_and_what_it_allows() -> None:
    settings = Settings(
        host="::1",
        port=7,
        trusted_proxy_hops=2,
        gateway_trusted_hops=3,
        max_calls_of_address=11,
        max_streams_of_address=12,
        max_streams_of_account=13,
        max_connections=14,
        answer_cache_seconds=0.5,
        reflection=True,
        channelz=False,
        rate_limits={"LOGIN": (0.25, 3)},
    )
    socket = Path("worker.sock")
    made = server_options(settings, reuse_port=True, gateway_socket=socket)
    assert (made.host, made.port, made.reuse_port, made.gateway_socket) == ("::1", 7, True, socket)
    assert (made.trusted_proxy_hops, made.gateway_hops) == (2, 4)
    assert made.bounds == Bounds(unary=(512, 11), streams=(16_000, 12), streams_of_account=13)
    assert (made.max_connections, made.answer_ttl_seconds) == (14, 0.5)
    assert (made.reflection, made.channelz) == (True, False)
    assert made.rate_limits.keys() == set(RateClass)
    assert made.rate_limits[RateClass.LOGIN] == (0.25, 3)
    assert (made.credentials, made.internal_port, made.internal_credentials) == (None, None, None)
    assert of_core(made.channel_arguments())["grpc.max_allowed_incoming_connections"] == 14


def test_of_certificates_and_ports_the_settings_say_all(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.server().write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    files: dict[str, Any] = {"tls_cert_file": certificate, "tls_key_file": key}
    made = server_options(Settings(**files), reuse_port=False)
    assert made.credentials is not None
    assert made.internal_credentials is None
    services = {"orders.internal": "orders"}
    inside = Settings(
        **files,
        tls_client_ca_file=tmp_path / "ca.pem",
        internal_port=9,
        internal_compression=True,
        tls_services=services,
    )
    made = server_options(inside, reuse_port=False)
    assert made.credentials is not None
    assert made.internal_credentials is not None
    assert (made.internal_port, made.internal_compression, made.services) == (9, True, services)


@pytest.mark.parametrize(
    ("kind", "rate_class", "seconds"),
    [
        (Kind.UNARY, RateClass.READ, 5.0),
        (Kind.UNARY, RateClass.CHECKOUT, 5.0),
        (Kind.UNARY, RateClass.UPLOAD, 120.0),
        (Kind.CLIENT_STREAM, RateClass.UPLOAD, 120.0),
        (Kind.CLIENT_STREAM, RateClass.WRITE, 120.0),
        (Kind.BIDI, RateClass.UPLOAD, 600.0),
        (Kind.SERVER_STREAM, RateClass.READ, 600.0),
        (Kind.SERVER_STREAM, RateClass.STREAM, None),
        (Kind.BIDI, RateClass.STREAM, None),
    ],
)
def test_how_long_a_call_may_take(kind: Kind, rate_class: RateClass, seconds: float | None) -> None:
    rule: Any = _Rule(kind, rate_class)
    assert limit_seconds(rule) == seconds
    assert (UNARY_SECONDS, UPLOAD_SECONDS, UPLOAD_MESSAGE_SECONDS, IMPORT_SECONDS) == (5.0, 120.0, 30.0, 600.0)


class _Rule:
    """As much of a rule as the time of its calls depends on."""

    def __init__(self, kind: Kind, rate_class: RateClass) -> None:
        self.kind, self.rate_class = kind, rate_class


def test_the_manual_has_the_same_figures() -> None:
    manual = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    table = manual[manual.index("### What the edge bounds") :]
    for words in (
        "512; of an address 64; each for 8 s (inline uploads 30 s)",
        "256 and 1,000; of an address 64 and 100",
        "2 MiB of a connection (behind a proxy: of an address); 4 MiB of an address and 32 MiB in all",
        "5 s for a write",
        "1 MiB, inline uploads 4 MiB",
        "128; on the internal port 1,024",
        "5 min idle, 10 min of age; pings without calls every 5 s or more",
        "16,384",
    ):
        assert re.search(re.escape(words), table), words
