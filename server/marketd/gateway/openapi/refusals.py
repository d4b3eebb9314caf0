"""What a call may be answered instead of its result: HTTP statuses, and the reasons behind each.

The reasons with their codes are read from errors.v1, those of one rpc from its comment; every call can be given those
of the chain around it, and those that the gateway writes itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from marketplace.errors.v1 import error_reason_pb2

from marketd.gateway.openapi.comments import MethodWords
from marketd.transport.rules import Idempotency, Open, RateClass, Rule

_PREFIX = "ERROR_REASON_"
_CODE = re.compile(r"\s*Code: (?P<code>\w+)\. Metadata: (?P<keys>.+)\.$")

STATUSES: Final[Mapping[str, int]] = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "ABORTED": 409,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""The HTTP status of each code, as google.rpc.Code has them."""

TITLES: Final[Mapping[int, str]] = {
    400: "The request is not in order, or what it asks for is not possible now.",
    401: "There is no token, or it does not count.",
    403: "The caller may not do this.",
    404: "There is no such thing, or it is not the caller's to see.",
    409: "Somebody else was there first; read and try again.",
    413: "The request's body is too large.",
    415: "The body is of another kind than JSON.",
    431: "The headers are too large.",
    429: "Too many calls; `retry-after` says when to come again.",
    500: "Something broke that should not; the correlation id finds it in the logs.",
    503: "The server cannot take the call now; come again.",
    504: "The call took longer than it may.",
}
OF_HEADERS: Final[Mapping[int, dict[str, str]]] = {
    431: {"MALFORMED_REQUEST": "the headers are larger than 12 KiB, the query among them"},
}
"""What the gateway answers before anybody reads a request."""
OF_BODIES: Final[Mapping[int, dict[str, str]]] = {
    413: {"VALIDATION_FAILED": "the body is larger than this path takes"},
    415: {"MALFORMED_REQUEST": "the content type is not application/json"},
}
"""What the gateway answers before anybody reads a body."""
_ANY_CALL = ("TOKEN_EXPIRED", "TOKEN_INVALID", "SESSION_REVOKED", "ACCOUNT_BLOCKED", "MALFORMED_REQUEST")
_OF_THE_SERVER = ("RATE_LIMITED", "INTERNAL", "OVERLOADED", "DATABASE_UNAVAILABLE", "DRAINING", "DEADLINE_EXCEEDED")
_READING = (RateClass.READ, RateClass.STREAM)


class Refusals:
    """The reasons of errors.v1, and which of them a method can give."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        enum = error_reason_pb2.ErrorReason.DESCRIPTOR
        package = enum.full_name.rpartition(".")[0]
        self._words: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._statuses: dict[str, int] = {}
        for value in enum.values:
            comment = comments.get(f"{package}.{value.name}", "")
            found = _CODE.search(comment)
            if found is not None:
                name = value.name.removeprefix(_PREFIX)
                self._words[name] = comment[: found.start()]
                self._keys[name] = found["keys"]
                self._statuses[name] = STATUSES[found["code"]]

    def __iter__(self) -> Any:
        return iter(self._words)

    def of_method(self, rule: Rule, words: MethodWords, request: Descriptor) -> dict[int, dict[str, str]]:
        """By status and reason, the cause; empty where the reason's own comment says it."""
        found: dict[int, dict[str, str]] = {}
        for reason, cause in [*words.reasons.items(), *((each, "") for each in _common(rule, request))]:
            found.setdefault(self._statuses[reason], {}).setdefault(reason, cause)
        return {status: dict(sorted(found[status].items())) for status in sorted(found)}

    def response(self, status: int, causes: Mapping[str, str]) -> dict[str, Any]:
        """The response object of a status: its words, the reasons in them, and the shape of all refusals."""
        lines = [f"- `{reason}`: {cause or self._words[reason]}" for reason, cause in causes.items()]
        headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
        if status in (429, 503):
            headers["retry-after"] = {"$ref": "#/components/headers/RetryAfter"}
        return {
            "description": "\n".join([TITLES[status], "", *lines]),
            "headers": headers,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            "x-reasons": sorted(causes),
        }

    def schema(self) -> dict[str, Any]:
        """The one shape of all refusals."""
        reasons = "\n".join(
            f"- `{reason}` ({self._statuses[reason]}): {words}" + _metadata(self._keys[reason])
            for reason, words in self._words.items()
        )
        info = {
            "type": "object",
            "title": "ErrorInfo",
            "required": ["@type", "reason", "domain"],
            "properties": {
                "@type": {"const": "type.googleapis.com/google.rpc.ErrorInfo"},
                "reason": {"$ref": "#/components/schemas/Reason"},
                "domain": {"const": "marketplace.dev"},
                "metadata": {
                    "type": "object",
                    "description": "What belongs to the reason, such as the etag of now.",
                    "additionalProperties": {"type": "string"},
                },
            },
        }
        return {
            "Reason": {
                "type": "string",
                "description": f"Why a call was refused, for programs; people read the message.\n\n{reasons}",
                "enum": list(self._words),
            },
            "Error": {
                "type": "object",
                "description": (
                    "A refusal. `details` always holds one `google.rpc.ErrorInfo`, whose `reason` programs read; where "
                    "they apply also `BadRequest` with the fields that are wrong, `PreconditionFailure`, `RetryInfo` "
                    "and `LocalizedMessage`."
                ),
                "required": ["code", "message", "details"],
                "properties": {
                    "code": {
                        "type": "integer",
                        "description": "The number of the gRPC code (google.rpc.Code).",
                        "minimum": 1,
                        "maximum": 16,
                    },
                    "message": {"type": "string", "description": "What is wrong and what helps, in English."},
                    "details": {
                        "type": "array",
                        "minItems": 1,
                        "contains": info,
                        "minContains": 1,
                        "maxContains": 1,
                        "items": {
                            "type": "object",
                            "required": ["@type"],
                            "properties": {"@type": {"type": "string", "description": "The detail's type."}},
                            "additionalProperties": True,
                        },
                    },
                },
                "examples": [_EXAMPLE],
            },
        }


_EXAMPLE = {
    "code": 3,
    "message": "quantity: must be at least 1",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "VALIDATION_FAILED",
            "domain": "marketplace.dev",
            "metadata": {},
        },
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "quantity", "description": "must be at least 1"}],
        },
    ],
}


def _metadata(keys: str) -> str:
    return "" if keys == "none" else f" Metadata: {keys.removeprefix('none; ')}."


def _common(rule: Rule, request: Descriptor) -> Iterable[str]:
    """What every call like this one can be told, whatever its comment names."""
    yield from _ANY_CALL
    yield from _OF_THE_SERVER
    if rule.access is not Open.PUBLIC:
        yield "UNAUTHENTICATED"
        yield "ROLE_REQUIRED"
    if request.fields:
        yield "VALIDATION_FAILED"
    if rule.rate_class not in _READING or rule.idempotency is not Idempotency.NONE:
        yield "CONCURRENT_UPDATE"
