"""How the gateway reaches the workers: one endpoint a worker, asked for its health, and nothing executed twice."""

from __future__ import annotations

from typing import Any, Final

from marketd.gateway.envoy.names import CLUSTER, typed
from marketd.gateway.envoy.tls import upstream_tls
from marketd.gateway.gateway import Gateway, Upstream

_UNBOUNDED: Final = 1_000_000
_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster(gateway: Gateway) -> dict[str, Any]:
    """The workers as one cluster."""
    made: dict[str, Any] = {
        "name": CLUSTER,
        "connect_timeout": "1s",
        "type": "STATIC" if gateway.beside_workers else "STRICT_DNS",
        # The one of two that has fewer calls: streams last long, so turns would not share them out evenly.
        "lb_policy": "LEAST_REQUEST",
        # With half of the workers gone the others take all: never send calls to one that is known to be away.
        # What changes twice within a second is told to the threads at once all the same: /healthz said of a worker that
        # it is well again, and calls were refused for want of one.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [_endpoint(upstream) for upstream in gateway.upstreams]}],
        },
        "health_checks": [_health_check()],
        "ignore_health_on_host_removal": True,
        # The workers bound what they take by account and address; a bound in front of them would refuse blindly.
        "circuit_breakers": {
            "thresholds": [
                {
                    "priority": "DEFAULT",
                    "max_connections": _UNBOUNDED,
                    "max_pending_requests": _UNBOUNDED,
                    "max_requests": _UNBOUNDED,
                    "max_retries": 64,
                }
            ]
        },
        # What a client does not read waits here; then the worker waits, and ends its stream as one of a slow consumer.
        "per_connection_buffer_limit_bytes": 65_536,
        "typed_extension_protocol_options": {_OPTIONS: _http2()},
    }
    if gateway.upstream_ca_file is not None:
        made["transport_socket"] = upstream_tls(gateway)
    return made


def _endpoint(upstream: Upstream) -> dict[str, Any]:
    if upstream.socket is not None:
        address: dict[str, Any] = {"pipe": {"path": str(upstream.socket)}}
    else:
        address = {"socket_address": {"address": upstream.host, "port_value": upstream.port}}
    return {"endpoint": {"address": address}}


def _health_check() -> dict[str, Any]:
    return {
        # A worker that computes may be late; after so long without an answer the supervisor replaces it anyway.
        "timeout": "5s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        # A worker that was started anew is called as soon as it says so.
        "unhealthy_interval": "0.25s",
        "no_traffic_healthy_interval": "1s",
        # One that drains says so once, and is sent nothing more.
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "always_log_health_check_failures": False,
        "grpc_health_check": {},
    }


def _http2() -> dict[str, Any]:
    return typed(
        _OPTIONS,
        explicit_http_config={
            "http2_protocol_options": {
                "max_concurrent_streams": 1024,
                # Small for a stream, so that its worker soon feels a slow reader; large for the connection, which all
                # readers share.
                "initial_stream_window_size": 65_536,
                "initial_connection_window_size": 64 * 1024 * 1024,
                "connection_keepalive": {"interval": "30s", "timeout": "5s"},
            }
        },
    )
