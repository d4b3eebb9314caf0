"""A line of JSON for each request on standard error, as the workers write one for each rpc.

It has neither the query, which may hold what nobody else is to read, nor any header with a token.
"""

from __future__ import annotations

from typing import Any

from marketd.gateway.envoy.names import extension
from marketd.gateway.gateway import Gateway

_FIELDS = {
    "event": "request",
    "timestamp": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS_NUMBER%",
    "seconds": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "request_id": "%RESP(X-REQUEST-ID):128%",
    "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
}


def access_log(gateway: Gateway) -> list[dict[str, Any]]:
    """The access loggers of a gateway."""
    if not gateway.access_log:
        return []
    line = extension(
        "envoy.access_loggers.stderr",
        "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        log_format={"json_format": _FIELDS, "omit_empty_values": True},
    )
    # Balancers ask for health every few seconds.
    return [{**line, "filter": {"not_health_check_filter": {}}}]
