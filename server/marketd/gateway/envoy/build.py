"""The whole configuration of one gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marketd.gateway.envoy.bounds import REQUESTS_AT_ONCE, allocator, overload_manager
from marketd.gateway.envoy.files import PROGRAM_SIZE
from marketd.gateway.envoy.listener import listener
from marketd.gateway.envoy.upstream import cluster
from marketd.gateway.gateway import Admin, Gateway


def configuration(gateway: Gateway, services: Sequence[str]) -> dict[str, Any]:
    """Envoy's bootstrap document. `services`: full names of what is called as REST, in the descriptor file."""
    return {
        "node": {"id": "gateway", "cluster": "marketd"},
        "admin": _admin(gateway.admin),
        "static_resources": {"listeners": [listener(gateway, services)], "clusters": [cluster(gateway)]},
        "overload_manager": overload_manager(gateway),
        "memory_allocator_manager": allocator(),
        "layered_runtime": {
            "layers": [
                {
                    "name": "marketd",
                    "static_layer": {
                        "re2.max_program_size.error_level": PROGRAM_SIZE,
                        "http.max_requests_per_io_cycle": REQUESTS_AT_ONCE,
                    },
                }
            ]
        },
    }


def _admin(admin: Admin) -> dict[str, Any]:
    if admin.socket is not None:
        return {"address": {"pipe": {"path": str(admin.socket), "mode": 0o600}}}
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin.port}}}
