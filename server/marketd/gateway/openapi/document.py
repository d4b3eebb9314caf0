"""The whole document. The same contract makes the same bytes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from marketd import __version__
from marketd.gateway.openapi.comments import comments, method_words
from marketd.gateway.openapi.operations import Operations, bindings
from marketd.gateway.openapi.refusals import Refusals
from marketd.gateway.openapi.schemas import Schemas
from marketd.transport.access import AccessTable
from marketd.transport.descriptors import contract
from marketd.transport.links.beginning import REQUEST_ID
from marketd.transport.server_info import contract_digest

_REASONS: Final = "x-reasons"
_ABOUT: Final = """The marketplace over HTTP: JSON in and out, the same calls as over gRPC.

**Who calls.** Sign in with `POST /v1/auth:login` and send `authorization: Bearer <accessToken>`. Each call says who may
make it; what belongs to others is answered with 404.

**Refusals.** Every refusal has one shape, Error. Programs read `details[].reason`, whose values are Reason; people
read `message`. Beside what stands at each call the gateway may answer 404 and 405 (no such call), 408 (too slow)
and 502 (the server broke off), in the same shape.

**Repeating.** Send `Idempotency-Key` with a write: when no answer comes, send the same again with the same key, and it
is done once.

**Values.** Names are lowerCamelCase, enums are their names, numbers of 64 bits are strings, instants are RFC 3339,
spans are seconds (`90s`), amounts are `{"currencyCode", "units", "nanos"}`. Empty values are printed; what is unknown
is absent. Texts are not blank and hold no control characters but, in long ones, line breaks. Unknown fields of a body
are ignored. The words below call fields as the contract does: its `order_by` is `orderBy` here.

**Lists.** `pageSize` is at most 100; give `nextPageToken` as `pageToken` with the same query to go on.

**Streams.** A watch answers `application/x-ndjson`, one JSON object a line, and stays open.
"""


def document(services: Iterable[str]) -> dict[str, Any]:
    """The OpenAPI document of these services, by their full names.

    Raises RuleUntold and NamesClash when the contract says what this room cannot.
    """
    names = sorted(services)
    files = contract().values()
    _import_stubs(files, names)
    pool = descriptor_pool.Default()
    found = [pool.FindServiceByName(name) for name in names]
    words = comments(files)
    table = AccessTable.from_services(found)
    rules = {rule.method: rule for rule in table}
    methods = [method for service in found for method in service.methods if any(bindings(method))]
    schemas = Schemas(words, [each.input_type for each in methods], [each.output_type for each in methods])
    refusals = Refusals(words)
    schemas.add(refusals.schema())
    operations = Operations(schemas, refusals)
    paths: dict[str, dict[str, Any]] = {}
    for method in methods:
        rule = rules[f"/{method.containing_service.full_name}/{method.name}"]
        said = method_words(words.get(method.full_name, ""), refusals)
        for operation in operations.of_method(method, rule, said):
            paths.setdefault(operation.path, {})[operation.verb] = operation.content
    shared = _share_responses(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Marketplace",
            "version": __version__,
            "summary": "A marketplace for shops with their own couriers.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "x-contract-digest": contract_digest(names),
        },
        "servers": [{"url": "/", "description": "The address that this document comes from."}],
        "tags": [{"name": service.name, "description": words.get(service.full_name, "")} for service in _tagged(found)],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {"schemas": schemas.components, "responses": shared, **_COMPONENTS},
    }


def written(services: Iterable[str]) -> bytes:
    """The document as it is served: compact JSON."""
    return json.dumps(document(services), ensure_ascii=False, separators=(",", ":")).encode()


def _share_responses(paths: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Put the refusals that several operations have into one place each: they are most of the text."""
    uses: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for verbs in paths.values():
        for operation in verbs.values():
            for status, response in operation["responses"].items():
                if _REASONS in response:
                    uses.setdefault(json.dumps(response), []).append((operation["responses"], status))
    shared: dict[str, Any] = {}
    for places in uses.values():
        if len(places) > 1:
            responses, status = places[0]
            response = responses[status]
            name = f"Refused{status}"
            if name in shared:
                name = ".".join((status, *response[_REASONS]))
            if name in shared:
                continue
            shared[name] = response
            for responses, status in places:
                responses[status] = {"$ref": f"#/components/responses/{name}"}
    return dict(sorted(shared.items()))


def _import_stubs(files: Iterable[FileDescriptorProto], services: Iterable[str]) -> None:
    """Descriptors are known once the stubs of their file are imported; nothing else here needs them."""
    for file in files:
        if any(f"{file.package}.{service.name}" in services for service in file.service):
            importlib.import_module(f"{file.name.removesuffix('.proto').replace('/', '.')}_pb2")


def _tagged(services: Iterable[ServiceDescriptor]) -> Iterable[ServiceDescriptor]:
    return [service for service in services if any(any(bindings(method)) for method in service.methods)]


_KEY: Final[Mapping[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "The id of this request: a UUID, or any other text of at most 128 printable characters. The same caller with"
        " the same key and the same request gets the first answer again."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}

_COMPONENTS: Final[Mapping[str, Any]] = {
    "parameters": {
        "IdempotencyKey": _KEY,
        "IdempotencyKeyRequired": {**_KEY, "required": True},
        "RequestId": {
            "name": "x-request-id",
            "in": "header",
            "description": "A name of this call for logs, which the answer repeats; the server makes one if need be.",
            "schema": {"type": "string", "pattern": f"^{REQUEST_ID.pattern}$"},
        },
    },
    "headers": {
        "RequestId": {"description": "The name of the call in the server's logs.", "schema": {"type": "string"}},
        "Replayed": {
            "description": "`true` when this is the first answer to the same key again.",
            "schema": {"type": "string"},
        },
        "Etag": {"description": "The name of these bytes, for `ifNoneMatch`.", "schema": {"type": "string"}},
        "RetryAfter": {"description": "When to come again, in seconds.", "schema": {"type": "string"}},
    },
    "securitySchemes": {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of Login, Register, RefreshTokens, IssueServiceToken or CreateGuestCart.",
        }
    },
}
