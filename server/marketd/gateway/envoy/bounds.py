"""What one client, and all of them together, may take of the gateway."""

from __future__ import annotations

from typing import Any, Final

from marketd.gateway.envoy.names import extension, seconds
from marketd.gateway.gateway import Gateway

HEADER_BYTES: Final = 16 * 1024
HEADER_SECONDS: Final = 10.0
STREAMS_OF_CONNECTION: Final = 128
BUFFER_BYTES: Final = 64 * 1024


def overload_manager(gateway: Gateway) -> dict[str, Any]:
    """At most so many connections of clients: a further one is closed at once, before it costs anything."""
    return {
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=gateway.max_connections,
            )
        ]
    }


def connection_options() -> dict[str, Any]:
    """Of each connection of a client: how long it may rest and live, and how many headers a request may have."""
    return {
        "idle_timeout": "300s",
        # With jitter, so that clients that came together do not come back together; streams get half a minute to end.
        "max_connection_duration": "3600s",
        "max_headers_count": 100,
        "headers_with_underscores_action": "ALLOW",
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
        # A frozen client is found as quickly as the workers find one.
        "connection_keepalive": {"interval": "10s", "timeout": "5s"},
    }


def stream_times(gateway: Gateway) -> dict[str, Any]:
    """Times of each request. None bounds a whole stream: watches last, and the workers bound the other calls."""
    return {
        "request_headers_timeout": seconds(HEADER_SECONDS),
        # Above the heartbeat of the watches (10 s), so that only a stream that is stuck is ended.
        "stream_idle_timeout": seconds(gateway.idle_seconds),
        "max_request_headers_kb": HEADER_BYTES // 1024,
        "drain_timeout": "5s",
        "delayed_close_timeout": "1s",
    }
