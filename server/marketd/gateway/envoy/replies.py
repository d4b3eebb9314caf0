"""What Envoy answers by itself: the same errors as the workers', as JSON for HTTP and as a status for gRPC."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]  # the wheel has no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from marketd.kernel.call.reasons import Reason
from marketd.transport.last_words import STREAM_ERRORS

DOMAIN: Final = "marketplace.dev"
HEALTH_PATH: Final = "/healthz"

_INVALID_ARGUMENT, _DEADLINE_EXCEEDED, _NOT_FOUND, _RESOURCE_EXHAUSTED = 3, 4, 5, 8
_UNIMPLEMENTED, _INTERNAL, _UNAVAILABLE = 12, 13, 14
_RETRY_SECONDS: Final = 1

NATIVE: Final = r"application/grpc(?:[+;].*)?"
"""The content types of gRPC that a worker takes."""
WEB: Final = r"application/grpc-web(?:-text)?(?:\+proto)?"
"""Those that the filter for gRPC-Web knows; it has made gRPC of them by the time that another one answers."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An error of Envoy's own: the code of google.rpc.Code, the reason, and what the person can do."""

    code: int
    reason: Reason
    message: str

    def json(self) -> dict[str, Any]:
        """google.rpc.Status in JSON."""
        info: dict[str, Any] = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.reason.value,
            "domain": DOMAIN,
            "metadata": {},
        }
        return {"code": self.code, "message": self.message, "details": [info]}

    def details(self) -> str:
        """The same as gRPC carries it in `grpc-status-details-bin`; with when to come again, for HTTP a header."""
        status = Status(code=self.code, message=self.message)
        status.details.add().Pack(ErrorInfo(reason=self.reason.value, domain=DOMAIN))
        if self.code in (_RESOURCE_EXHAUSTED, _UNAVAILABLE):
            retry = RetryInfo()
            retry.retry_delay.seconds = _RETRY_SECONDS
            status.details.add().Pack(retry)
        return base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")


REPLIES: Final[Mapping[int, Reply]] = {
    400: Reply(
        _INVALID_ARGUMENT,
        Reason.MALFORMED_REQUEST,
        "The request cannot be read; send what /openapi.json says, as JSON.",
    ),
    403: Reply(
        _INVALID_ARGUMENT, Reason.MALFORMED_REQUEST, "No other protocol is spoken here; send no header 'upgrade'."
    ),
    404: Reply(_NOT_FOUND, Reason.NOT_FOUND, "There is nothing at this path; /openapi.json lists what can be called."),
    405: Reply(
        _UNIMPLEMENTED, Reason.METHOD_UNKNOWN, "This path does not take that method; /openapi.json says which it takes."
    ),
    408: Reply(
        _DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, "Nothing was sent or read for too long; send the request again."
    ),
    413: Reply(
        _INVALID_ARGUMENT, Reason.VALIDATION_FAILED, "The body is larger than this path takes; send less at a time."
    ),
    415: Reply(
        _INVALID_ARGUMENT,
        Reason.MALFORMED_REQUEST,
        "This path does not take that content type, or compressed bodies; send application/json to /v1/ as it is, and "
        "gRPC or gRPC-Web to methods.",
    ),
    416: Reply(
        _INVALID_ARGUMENT,
        Reason.VALIDATION_FAILED,
        "The range lies behind the file's end; content-range says how long it is.",
    ),
    426: Reply(_INVALID_ARGUMENT, Reason.MALFORMED_REQUEST, "HTTP/1.0 is not spoken here; send HTTP/1.1 or HTTP/2."),
    429: Reply(_RESOURCE_EXHAUSTED, Reason.RATE_LIMITED, "Too many requests; wait a second before the next one."),
    431: Reply(
        _INVALID_ARGUMENT,
        Reason.MALFORMED_REQUEST,
        "The headers are larger than 12 KiB, the query among them; send less.",
    ),
    500: Reply(_INTERNAL, Reason.INTERNAL, "Something went wrong on our side; try again."),
    501: Reply(
        _INVALID_ARGUMENT,
        Reason.MALFORMED_REQUEST,
        "That transfer-encoding is not read; send chunked or a length.",
    ),
    502: Reply(_UNAVAILABLE, Reason.OVERLOADED, "No server answered as it should; try again in a second."),
    503: Reply(_UNAVAILABLE, Reason.OVERLOADED, "No server takes the call now; try again in a second."),
    504: Reply(_DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, "No server answered in time; try again."),
}
"""By HTTP status. Whoever sends 503 or 504 has not had an answer, so writes are sent again with the same request_id."""

_SERVING: Final = {"status": "SERVING"}


def local_replies() -> dict[str, Any]:
    """The replies as Envoy takes them; any other status of its own is an internal error."""
    mappers = [_healthy(), _no_error(), _for_rest()]
    for status, reply in REPLIES.items():
        mappers += [_for_grpc(status, reply), _for_http(status, reply)]
    return {"mappers": mappers, "body_format": {"json_format": REPLIES[500].json()}}


def _for_grpc(status: int, reply: Reply) -> dict[str, Any]:
    headers = {
        "grpc-status": str(reply.code),
        "grpc-message": reply.message,
        "grpc-status-details-bin": reply.details(),
    }
    return {
        "filter": {"and_filter": {"filters": [_has_status(status), _is_grpc(), _is_not_rest()]}},
        "headers_to_add": [_header(key, value) for key, value in headers.items()],
        # What HTTP says is for proxies; clients of gRPC-Web read nothing further where it is not 200.
        "status_code": 200,
        # All of it is in the headers; of another content type than this the filter for gRPC-Web would make its own.
        "body_format_override": {
            "text_format_source": {"inline_string": ""},
            "content_type": "application/grpc-web+proto",
        },
    }


def _for_rest() -> dict[str, Any]:
    """What rest.lua, which knows the request, makes an error of; the header says that no worker wrote it."""
    body = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}
    came_by_rest = {"header_filter": {"header": {"name": STREAM_ERRORS, "present_match": True}}}
    return {
        "filter": {"and_filter": {"filters": [came_by_rest, _is_error()]}},
        "headers_to_add": [_header("x-gateway-reply", "1")],
        "body_format_override": body,
    }


def _is_error() -> dict[str, Any]:
    value = {"default_value": 400, "runtime_key": "gateway.reply.errors"}
    return {"status_code_filter": {"comparison": {"op": "GE", "value": value}}}


def _for_http(status: int, reply: Reply) -> dict[str, Any]:
    return {
        "filter": _has_status(status),
        "headers_to_add": [_header("cache-control", "no-store"), _header("x-content-type-options", "nosniff")],
        "body_format_override": {"json_format": reply.json()},
    }


def _healthy() -> dict[str, Any]:
    path = {"header_filter": {"header": {"name": ":path", "string_match": {"exact": HEALTH_PATH}}}}
    return {
        "filter": {"and_filter": {"filters": [_has_status(200), path]}},
        "body_format_override": {"json_format": _SERVING},
    }


def _no_error() -> dict[str, Any]:
    """Pages and redirects keep what they have; what a file's script answers (304, 308) has no body and needs none."""
    value = {"default_value": 399, "runtime_key": "gateway.reply.no_error"}
    return {
        "filter": {"status_code_filter": {"comparison": {"op": "LE", "value": value}}},
        "body_format_override": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}},
    }


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _has_status(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"gateway.reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _is_grpc() -> dict[str, Any]:
    content_type = {"safe_regex": {"regex": f"{NATIVE}|{WEB}"}}
    return {"header_filter": {"header": {"name": "content-type", "string_match": content_type}}}


def _is_not_rest() -> dict[str, Any]:
    # A request that was transcoded has become gRPC, and its sender still reads JSON; it keeps the path that it came by.
    header = {"name": "x-envoy-original-path", "present_match": True, "invert_match": True}
    return {"header_filter": {"header": header}}
