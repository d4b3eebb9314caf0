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
    "ms": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "request_id": "%RESP(X-REQUEST-ID):128%",
    "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
}

_OF_REST = {
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    # What Envoy itself would write here it makes of the HTTP status, when the transcoder has taken the true one away.
    "grpc_status": "%DYNAMIC_METADATA(marketd.rest:grpc_status)%",
    "rpc": "%REQ(:PATH)%",
}


def access_log(gateway: Gateway) -> list[dict[str, Any]]:
    """The access loggers of a gateway: one for calls that were transcoded, one for all others."""
    if not gateway.access_log:
        return []
    return [_lines(_FIELDS, is_rest=False), _lines({**_FIELDS, **_OF_REST}, is_rest=True)]


def _lines(fields: dict[str, str], *, is_rest: bool) -> dict[str, Any]:
    line = extension(
        "envoy.access_loggers.stderr",
        "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        log_format={"json_format": fields, "omit_empty_values": True},
    )
    transcoded = {"name": "x-envoy-original-path", "present_match": True, "invert_match": not is_rest}
    # Balancers ask for health every few seconds.
    which = [{"not_health_check_filter": {}}, {"header_filter": {"header": transcoded}}]
    return {**line, "filter": {"and_filter": {"filters": which}}}
