"""What the transcoder leaves to be done for REST, in a script that every request at a REST path passes (rest.lua).

Of a request: its content type, a body where none belongs, OPTIONS. Of an answer: what gRPC says in trailers becomes
headers, streams are called NDJSON, and what the transcoder says of requests that it cannot read becomes an error like
all others, with the field's path; a path that takes other methods says which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from marketplace.policy.v1 import policy_pb2

from marketd.gateway.envoy.names import BUFFER, LUA, extension, typed
from marketd.gateway.envoy.replies import REPLIES
from marketd.gateway.gateway import Gateway
from marketd.kernel.call.reasons import Reason
from marketd.transport.descriptors import contract

_VARIABLE: Final = re.compile(r"\{[^}]*\}")
# By the code of google.rpc.Code: why a call ended of which no code of ours has heard.
_REASONS: Final = {
    1: Reason.DEADLINE_EXCEEDED,
    3: Reason.MALFORMED_REQUEST,
    4: Reason.DEADLINE_EXCEEDED,
    8: Reason.OVERLOADED,
    12: Reason.METHOD_UNKNOWN,
    14: Reason.OVERLOADED,
}


def rest_script(services: Sequence[str]) -> dict[str, Any]:
    """The filter, for the methods of these services."""
    bindings = sorted({(verb, lua_pattern(path)) for verb, path in http_bindings(services)})
    tables = {
        "BINDINGS": _lua([list(binding) for binding in bindings]),
        "REPLIES": _lua({str(status): _json(reply.json()) for status, reply in REPLIES.items()}),
        "REASONS": _lua({str(code): reason.value for code, reason in _REASONS.items()}),
    }
    head = "".join(f"local {name} = {table}\n" for name, table in tables.items())
    body = resources.files(__package__).joinpath("rest.lua").read_text()
    return extension(
        LUA,
        "envoy.extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": head + body},
    )


def whole_requests(gateway: Gateway) -> dict[str, Any]:
    """The filter that lets no request through before it has all of it, and none that is longer than its path takes.

    Whoever is slow to send, or never does, so costs the workers nothing.
    """
    return extension(
        BUFFER,
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        max_request_bytes=gateway.body_bytes,
    )


def takes(most_bytes: int) -> dict[str, Any]:
    """For a route: it takes so long a body."""
    buffer = {"max_request_bytes": most_bytes}
    per_route = typed("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", buffer=buffer)
    return {"typed_per_filter_config": {BUFFER: per_route}}


def upload_paths() -> list[str]:
    """The paths at which a file comes in one message."""
    found = set()
    for file in contract().values():
        for service in file.service:
            for method in service.method:
                is_upload = method.options.Extensions[policy_pb2.rule].rate_class == policy_pb2.RATE_CLASS_UPLOAD
                path = method.options.Extensions[annotations_pb2.http].post
                if is_upload and path and not method.client_streaming:
                    found.add(path)
    return sorted(found)


def http_bindings(services: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Method and path template of every way by HTTP to a method of these services."""
    for file in contract().values():
        yield from _templates(file, services)


def lua_pattern(template: str) -> str:
    """The Lua pattern of the paths that a template takes."""
    parts = _VARIABLE.split(template)
    return "^" + "[^/:]+".join(re.sub(r"([^\w/:])", r"%\1", part) for part in parts) + "$"


def _templates(file: FileDescriptorProto, services: Sequence[str]) -> Iterator[tuple[str, str]]:
    for service in file.service:
        if f"{file.package}.{service.name}" not in services:
            continue
        for method in service.method:
            rule = method.options.Extensions[annotations_pb2.http]
            for binding in (rule, *rule.additional_bindings):
                verb = binding.WhichOneof("pattern")
                if verb is not None:
                    yield verb.upper(), getattr(binding, verb)


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _lua(content: Any) -> str:
    """Lists, dicts and texts as Lua writes them."""
    if isinstance(content, str):
        return json.dumps(content)  # what JSON escapes in plain ASCII, Lua escapes alike
    if isinstance(content, dict):
        return "{" + ", ".join(f"[{_lua(key)}] = {_lua(value)}" for key, value in content.items()) + "}"
    return "{" + ", ".join(_lua(value) for value in content) + "}"
