"""What one client, and all of them together, may take of the gateway.

Connections of one address are counted in addresses.py; its calls and streams by the workers.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from marketd.gateway.envoy.names import extension, seconds, typed
from marketd.gateway.gateway import Gateway

HEADER_BYTES: Final = 12 * 1024
"""The workers take 16 KiB, in which every header counts 32 bytes more than it has, and the gateway adds some: what
passes here must not be refused there, by the core of gRPC and in its words."""
HEADER_SECONDS: Final = 10.0
FIRST_BYTE_SECONDS: Final = 5.0
STREAMS_OF_CONNECTION: Final = 128
BUFFER_BYTES: Final = 64 * 1024
SEND_BYTES: Final = 128 * 1024
"""Of each connection in the kernel, which doubles it; by itself it would take several MiB for a client that is slow or
does not read. A client a tenth of a second away still gets 20 Mbit/s on one connection."""
REQUESTS_AT_ONCE: Final = 8
"""Of what one connection sends in one go; then the others have their turn."""
ACCEPTED_AT_ONCE: Final = 16
RELEASED_BYTES: Final = 32 * 1024 * 1024
"""A second, of memory that a burst has left free."""
HEAP_BYTES: Final = 1024 * 1024 * 1024

_HEAP: Final = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS: Final = "envoy.resource_monitors.global_downstream_max_connections"


def overload_manager(gateway: Gateway) -> dict[str, Any]:
    """At most so many connections of clients, of which a further one is closed at once; and what is done for memory."""
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            extension(
                _CONNECTIONS,
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=gateway.max_connections,
            ),
            extension(
                _HEAP,
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=HEAP_BYTES,
            ),
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.reduce_timeouts",
                "triggers": [{"name": _HEAP, "scaled": {"scaling_threshold": 0.7, "saturation_threshold": 0.9}}],
                "typed_config": typed(
                    "envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
                    timer_scale_factors=[
                        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"},
                        # Above the heartbeat of the watches.
                        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": "12s"},
                    ],
                ),
            },
            _action("shrink_heap", 0.9),
            _action("stop_accepting_requests", 0.95),
        ],
    }


def _action(name: str, of_heap: float) -> dict[str, Any]:
    return {
        "name": f"envoy.overload_actions.{name}",
        "triggers": [{"name": _HEAP, "threshold": {"value": of_heap}}],
    }


def allocator() -> dict[str, Any]:
    """What is free goes back to the system bit by bit, so that a burst does not hold its memory for ever."""
    return {"bytes_to_release": RELEASED_BYTES, "memory_release_interval": "1s"}


def connection_options() -> dict[str, Any]:
    """Of each connection of a client: how long it may rest and live, and how many headers a request may have."""
    return {
        "idle_timeout": "300s",
        # So that clients move to a gateway that was added; jitter, so that they do not all move at once. Streams get
        # `drain_timeout` to end, and whoever watches resumes.
        "max_connection_duration": "3600s",
        "max_connection_duration_jitter": {"value": 10},
        "max_headers_count": 100,
    }


def http2_options() -> dict[str, Any]:
    """HTTP/2 with clients: streams, windows, and the floods that its frames make possible."""
    return {
        "max_concurrent_streams": STREAMS_OF_CONNECTION,
        "initial_stream_window_size": 65_536,
        "initial_connection_window_size": 1024 * 1024,
        # Frames that wait to be sent to a client that does not read.
        "max_outbound_frames": 10_000,
        "max_outbound_control_frames": 1_000,
        "max_consecutive_inbound_frames_with_empty_payload": 1,
        "max_inbound_priority_frames_per_stream": 100,
        "max_inbound_window_update_frames_per_data_frame_sent": 10,
        "stream_reset_burst": 500,
        "stream_reset_rate": 100,
        # A frozen client is found as quickly as the workers find one.
        "connection_keepalive": {"interval": "10s", "timeout": "5s"},
        # A request that cannot be read ends itself, not the others on its connection.
        "override_stream_error_on_invalid_http_message": True,
    }


def stream_times(gateway: Gateway) -> dict[str, Any]:
    """Times of each request. None bounds a whole stream: watches last, and the workers bound the other calls."""
    return {
        "request_headers_timeout": seconds(HEADER_SECONDS),
        # Above the heartbeat of the watches (10 s), so that only a stream that is stuck is ended.
        "stream_idle_timeout": seconds(gateway.idle_seconds),
        "max_request_headers_kb": HEADER_BYTES // 1024,
        "http1_safe_max_connection_duration": True,
        "drain_timeout": "30s",
        "delayed_close_timeout": "1s",
    }


def listener_bounds(gateway: Gateway) -> dict[str, Any]:
    """Of each connection before and besides HTTP: a client that says nothing, and one that does not read."""
    if gateway.tls_cert_file is None:
        first = "http_inspector", "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"
    else:
        first = "tls_inspector", "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
    return {
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "max_connections_to_accept_per_socket_event": ACCEPTED_AT_ONCE,
        "socket_options": [
            {
                "description": "bytes that wait in the kernel for a client to read them",
                "level": socket.SOL_SOCKET,
                "name": socket.SO_SNDBUF,
                "int_value": SEND_BYTES,
            }
        ],
        # A client that reads nothing for so long holds memory for nothing.
        "per_connection_buffer_high_watermark_timeout": seconds(gateway.idle_seconds),
        # They wait for the first bytes; who sends none in time is closed. HTTP itself would wait for five minutes.
        "listener_filters": [extension(f"envoy.filters.listener.{first[0]}", first[1])],
        "listener_filters_timeout": seconds(FIRST_BYTE_SECONDS),
    }
