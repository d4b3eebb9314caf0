"""Envoy's long names, each written once."""

from __future__ import annotations

from typing import Any, Final

CLUSTER: Final = "workers"

CORS: Final = "envoy.filters.http.cors"
GRPC_WEB: Final = "envoy.filters.http.grpc_web"
TRANSCODER: Final = "envoy.filters.http.grpc_json_transcoder"
FILES: Final = "files"
"""Of our own: Envoy finds a filter by its type, and its name here sets it apart from the other script."""
FILE_SERVER: Final = "envoy.filters.http.file_server"
BUFFER: Final = "envoy.filters.http.buffer"
METADATA: Final = "envoy.filters.http.header_mutation"
LUA: Final = "envoy.filters.http.lua"
HEALTH: Final = "envoy.filters.http.health_check"
COMPRESSOR: Final = "envoy.filters.http.compressor"
ABORT: Final = "envoy.filters.http.fault"
ROUTER: Final = "envoy.filters.http.router"

_TYPES: Final = "type.googleapis.com/"


def typed(message: str, /, **fields: Any) -> dict[str, Any]:
    """A message in an Any: its type's name and its fields."""
    return {"@type": _TYPES + message, **fields}


def extension(name: str, message: str, /, **fields: Any) -> dict[str, Any]:
    """An extension with its configuration."""
    return {"name": name, "typed_config": typed(message, **fields)}


def off() -> dict[str, Any]:
    """For a route: the filter does nothing there."""
    return typed("envoy.config.route.v3.FilterConfig", disabled=True)


def seconds(value: float) -> str:
    """A duration as Envoy writes it."""
    return f"{value:g}s"
