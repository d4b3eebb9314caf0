"""An rpc as operations of HTTP: one for each of its bindings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from marketd.gateway.openapi.comments import MethodWords
from marketd.gateway.openapi.refusals import OF_BODIES, OF_HEADERS, Refusals
from marketd.gateway.openapi.schemas import REQUEST_ID, Schemas, Way, is_required
from marketd.kernel.masks import is_ours
from marketd.transport.rules import Idempotency, Kind, Open, RateClass, Rule

_VARIABLE = re.compile(r"\{([^}=]+)(?:=[^}]*)?\}")
_WHOLE = "*"
_HTTP_BODY = "google.api.HttpBody"
_CALLERS = {Open.PUBLIC: "everybody, with or without a token", Open.AUTHENTICATED: "whoever is signed in"}
_IF_NONE_MATCH = "if_none_match"
_LAST_LINE = {
    "type": "object",
    "description": "The last line of a stream that something ended.",
    "required": ["error"],
    "properties": {"error": {"$ref": "#/components/schemas/Error"}},
}
_SUMMARY = 60
_NOT_READ = "A path must have something here."


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to call an rpc: `/v1/orders/{orderId}`, `get`, and the operation object."""

    path: str
    verb: str
    content: dict[str, Any]


class Operations:
    """Makes the operations of each rpc."""

    def __init__(self, schemas: Schemas, refusals: Refusals) -> None:
        self._schemas = schemas
        self._refusals = refusals

    def of_method(self, method: MethodDescriptor, rule: Rule, words: MethodWords) -> Iterator[Operation]:
        """All bindings of the rpc; none where the contract has none, as for streams of requests."""
        for number, (verb, template, body) in enumerate(bindings(method)):
            variables = _VARIABLE.findall(template)
            content: dict[str, Any] = {
                "tags": [method.containing_service.name],
                "operationId": self._operation_id(method, variables if number else ()),
                "summary": _summary(words.text),
                "description": f"{words.text}\n\n{_about(rule)}",
                "parameters": [*self._in_path(method, variables), *self._in_query(method, variables, body)],
            }
            content["parameters"] += list(_headers(rule))
            if body:
                content["requestBody"] = self._body(method, verb, variables, body)
            content["responses"] = self._responses(method, rule, words, body)
            content["security"] = [{}, {"bearer": []}] if rule.access is Open.PUBLIC else [{"bearer": []}]
            if method.GetOptions().deprecated:
                content["deprecated"] = True
            content |= _extensions(rule)
            yield Operation(
                _VARIABLE.sub(lambda found: f"{{{_last(method, found[1]).json_name}}}", template), verb, content
            )

    def _operation_id(self, method: MethodDescriptor, variables: Iterable[str]) -> str:
        ends = [_last(method, variable).name.title().replace("_", "") for variable in variables]
        return f"{method.containing_service.name}_{method.name}" + (f"By{'And'.join(ends)}" if ends else "")

    def _in_path(self, method: MethodDescriptor, variables: Iterable[str]) -> Iterator[dict[str, Any]]:
        for variable in variables:
            field = _last(method, variable)
            schema = self._schemas.field(field, Way.INPUT)
            words = schema.pop("description", "")
            for keyword in ("readOnly", "writeOnly"):
                schema.pop(keyword, None)
            if schema == {"type": "string"}:
                schema = _id_schema(field)
            yield {
                "name": field.json_name,
                "in": "path",
                "required": True,
                "description": words or _NOT_READ,
                "schema": schema,
            }

    def _in_query(self, method: MethodDescriptor, variables: Iterable[str], body: str) -> Iterator[dict[str, Any]]:
        if body == _WHOLE:
            return
        for field in method.input_type.fields:
            if field.name != body:
                yield from self._query(field, "", "", frozenset(variables))

    def _query(
        self, field: FieldDescriptor, place: str, names: str, variables: frozenset[str]
    ) -> Iterator[dict[str, Any]]:
        """The parameters of a field: of a message in it one for each field inside."""
        path, name = f"{place}{field.name}", f"{names}{field.json_name}"
        if path in variables:
            return
        message = field.message_type
        if message is not None and (is_ours(field) or message.full_name.startswith("google.type.")):
            for inner in message.fields:
                yield from self._query(inner, f"{path}.", f"{name}.", variables)
            return
        schema = self._schemas.field(field, Way.INPUT)
        yield {
            "name": name,
            "in": "query",
            **({"required": True} if is_required(field) and field.name != REQUEST_ID and not place else {}),
            "description": schema.pop("description", name),
            "schema": schema,
            **({"style": "form", "explode": True} if field.is_repeated else {}),
        }

    def _body(self, method: MethodDescriptor, verb: str, variables: Iterable[str], body: str) -> dict[str, Any]:
        request = method.input_type
        top = {variable for variable in variables if "." not in variable}
        if body == _WHOLE:
            schema, needed = self._schemas.body(request, top), self._schemas.is_needed(request, top)
            words = ""
        else:
            field = request.fields_by_name[body]
            resource = _message(field)
            schema = self._schemas.patch(resource) if verb == "patch" else self._schemas.resource(resource)
            needed, words = True, self._schemas.words(field)
        return {
            **({"description": words} if words else {}),
            "required": needed,
            "content": {"application/json": {"schema": schema}},
        }

    def _responses(self, method: MethodDescriptor, rule: Rule, words: MethodWords, body: str) -> dict[str, Any]:
        answers: dict[str, Any] = {"200": self._answer(method, rule)}
        if method.output_type.full_name == _HTTP_BODY and _IF_NONE_MATCH in method.input_type.fields_by_name:
            headers = {"etag": {"$ref": "#/components/headers/Etag"}}
            answers["304"] = {"description": "The reader has these bytes already.", "headers": headers}
        causes = self._refusals.of_method(rule, words, method.input_type)
        causes |= OF_HEADERS
        if body:
            causes |= OF_BODIES
        for status in sorted(causes):
            answers[str(status)] = self._refusals.response(status, causes[status])
        return answers

    def _answer(self, method: MethodDescriptor, rule: Rule) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "description": "The answer.",
            "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
        }
        if rule.idempotency is not Idempotency.NONE:
            answer["headers"]["replayed"] = {"$ref": "#/components/headers/Replayed"}
        if method.output_type.full_name == _HTTP_BODY:
            answer["description"] = "The bytes."
            answer["headers"]["etag"] = {"$ref": "#/components/headers/Etag"}
            answer["content"] = {"image/*": {}}
            return answer
        schema = self._schemas.answer(method.output_type)
        if rule.kind is Kind.SERVER_STREAM:
            answer["description"] = (
                "A stream: one JSON object a line, as it comes. When something goes wrong on the way, the last line is"
                ' `{"error": …}`.'
            )
            answer["content"] = {"application/x-ndjson": {"schema": {"anyOf": [schema, _LAST_LINE]}}}
        else:
            answer["content"] = {"application/json": {"schema": schema}}
        return answer


def bindings(method: MethodDescriptor) -> Iterator[tuple[str, str, str]]:
    """(verb, path template, body) of each binding."""
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    first: http_pb2.HttpRule = options.Extensions[annotations_pb2.http]
    for rule in (first, *first.additional_bindings):
        verb = rule.WhichOneof("pattern")
        if verb is not None:
            yield verb, getattr(rule, verb), rule.body


def _last(method: MethodDescriptor, variable: str) -> FieldDescriptor:
    """The field that a variable of the path leads to."""
    message = method.input_type
    *steps, last = variable.split(".")
    for step in steps:
        message = _message(message.fields_by_name[step])
    return message.fields_by_name[last]


def _path(method: MethodDescriptor, template: str) -> str:
    return _VARIABLE.sub(lambda found: f"{{{_last(method, found[1]).json_name}}}", template)


def _message(field: FieldDescriptor) -> Descriptor:
    message = field.message_type
    if message is None:
        raise TypeError(f"{field.full_name} is no message")
    return message


def _id_schema(field: FieldDescriptor) -> dict[str, Any]:
    """The resource's own id has no rule where the server owns it."""
    if field.name.endswith("_id"):
        return {"type": "string", "format": "uuid"}
    return {"type": "string", "minLength": 1}


def _headers(rule: Rule) -> Iterator[dict[str, Any]]:
    if rule.idempotency is Idempotency.KEY_REQUIRED:
        yield {"$ref": "#/components/parameters/IdempotencyKeyRequired"}
    elif rule.idempotency is Idempotency.KEY_OPTIONAL:
        yield {"$ref": "#/components/parameters/IdempotencyKey"}
    yield {"$ref": "#/components/parameters/RequestId"}


def _summary(text: str) -> str:
    """The first clause of a comment; of a long one what comes before its first comma."""
    first = re.split(r"[:;.](?:\s|$)", text, maxsplit=1)[0].strip()
    return first.split(", ")[0] if len(first) > _SUMMARY else first


def _about(rule: Rule) -> str:
    """The method's rule in words."""
    callers = _CALLERS[rule.access] if isinstance(rule.access, Open) else ", ".join(rule.access_names)
    keys = {
        Idempotency.NONE: "takes none" + (f" ({rule.unrepeatable})" if rule.unrepeatable else ""),
        Idempotency.KEY_OPTIONAL: "may be given; with one, a repeat gets the first answer",
        Idempotency.KEY_REQUIRED: "must be given; a repeat gets the first answer",
    }
    lines = [f"- Callers: {callers}", f"- Limit: {rule.rate_class}"]
    if rule.idempotency is not Idempotency.NONE or rule.rate_class not in (RateClass.READ, RateClass.STREAM):
        lines.append(f"- Idempotency-Key: {keys[rule.idempotency]}")
    if rule.audit:
        lines.append("- Each call leaves an audit entry")
    lines.append(f"- Stability: {rule.stability}")
    if rule.replacement:
        lines.append(f"- Deprecated: call {rule.replacement}")
    lines.append(f"- gRPC: `{rule.method.removeprefix('/')}`")
    return "\n".join(lines)


def _extensions(rule: Rule) -> Mapping[str, Any]:
    """The method's rule for programs, in the words of `marketd policy --json`."""
    return {
        "x-grpc-method": rule.method,
        "x-access": rule.access_names,
        "x-idempotency": str(rule.idempotency),
        "x-rate-class": str(rule.rate_class),
        "x-audit": rule.audit,
        "x-stability": str(rule.stability),
        **({"x-replacement": rule.replacement} if rule.replacement else {}),
    }
