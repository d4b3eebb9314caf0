"""A service with every kind of method and rule, whose contract is built from descriptors here.

So each kind, rule and field that the chain must handle exists, whatever the marketplace's own services happen to use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from marketplace.policy.v1 import policy_pb2

PACKAGE = "transport.probe.v1"
SERVICE = f"{PACKAGE}.ProbeService"
_P = policy_pb2
_ROLES: dict[str, dict[str, Any]] = {
    "public": {"public": _P.Public()},
    "authenticated": {"authenticated": _P.Authenticated()},
    "buyer": {"roles": _P.Roles(any_of=[_P.ROLE_BUYER])},
    "seller": {"roles": _P.Roles(any_of=[_P.ROLE_SELLER, _P.ROLE_ADMIN])},
    "guest": {"roles": _P.Roles(any_of=[_P.ROLE_GUEST])},
}
# name: (access, idempotency, rate class, client streams, server streams)
METHODS: dict[str, tuple[str, int, int, bool, bool]] = {
    "Get": ("public", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_READ, False, False),
    "GetMine": ("authenticated", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_READ, False, False),
    "GetCart": ("guest", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_READ, False, False),
    "Ask": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_WRITE, False, False),
    "Sell": ("seller", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_WRITE, False, False),
    "Login": ("public", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_LOGIN, False, False),
    "Place": ("buyer", _P.IDEMPOTENCY_KEY_REQUIRED, _P.RATE_CLASS_CHECKOUT, False, False),
    "Add": ("buyer", _P.IDEMPOTENCY_KEY_OPTIONAL, _P.RATE_CLASS_WRITE, False, False),
    "Inline": ("public", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_UPLOAD, False, False),
    "Watch": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, False, True),
    "WatchByWrites": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, False, True),
    "Upload": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_UPLOAD, True, False),
    "Chat": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, True, True),
    "ChatByReads": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, True, True),
    "GetOld": ("public", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_READ, False, False),
    "AddOld": ("buyer", _P.IDEMPOTENCY_KEY_OPTIONAL, _P.RATE_CLASS_WRITE, False, False),
    "WatchOld": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, False, True),
    "UploadOld": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_UPLOAD, True, False),
}
# Deprecated methods end in Old, and what to call instead has the name before it.
OLD = "Old"


def _field(message: Any, name: str, kind: int, *, repeated: bool = False, of: str = "", rule: Any = None) -> None:
    field = message.field.add(name=name, number=len(message.field) + 1, type=kind)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if of:
        field.type_name = f".{PACKAGE}.{of}"
    if rule is not None:
        field.options.Extensions[validate_pb2.field].CopyFrom(rule)


def _contract() -> descriptor_pb2.FileDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="transport/probe/v1/probe.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend(["marketplace/policy/v1/policy.proto", "buf/validate/validate.proto"])
    color = file.enum_type.add(name="Color")
    color.value.add(name="COLOR_UNSPECIFIED", number=0)
    color.value.add(name="COLOR_RED", number=1)
    rules = validate_pb2.FieldRules
    item = file.message_type.add(name="Item")
    at_least_one = rules(int32=validate_pb2.Int32Rules(gte=1))
    _field(item, "quantity", field.TYPE_INT32, rule=at_least_one)
    _field(item, "name", field.TYPE_STRING)
    _field(item, "color", field.TYPE_ENUM, of="Color")
    ask = file.message_type.add(name="Question")
    _field(ask, "request_id", field.TYPE_STRING)
    _field(ask, "text", field.TYPE_STRING, rule=rules(string=validate_pb2.StringRules(max_len=100)))
    _field(ask, "items", field.TYPE_MESSAGE, repeated=True, of="Item")
    _field(ask, "color", field.TYPE_ENUM, of="Color")
    _field(ask, "payload", field.TYPE_BYTES)
    told = file.message_type.add(name="Answer")
    _field(told, "text", field.TYPE_STRING)
    _field(told, "payload", field.TYPE_BYTES)
    service = file.service.add(name="ProbeService")
    for name, (access, idempotency, rate_class, up, down) in METHODS.items():
        method = service.method.add(name=name, input_type=f".{PACKAGE}.Question", output_type=f".{PACKAGE}.Answer")
        method.client_streaming, method.server_streaming = up, down
        arguments: dict[str, Any] = {**_ROLES[access], "idempotency": idempotency, "rate_class": rate_class}
        arguments["stability"] = _P.STABILITY_STABLE
        if name.endswith(OLD):
            method.options.deprecated = True
            arguments["replacement"] = f"{SERVICE}/{name.removesuffix(OLD)}"
        method.options.Extensions[policy_pb2.rule].CopyFrom(policy_pb2.Rule(**arguments))
    return file


def _messages() -> tuple[Any, Any]:
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(_contract().SerializeToString())
    find = pool.FindMessageTypeByName
    return GetMessageClass(find(f"{PACKAGE}.Question")), GetMessageClass(find(f"{PACKAGE}.Answer"))


Question, Answer = _messages()


class Servicer:
    """Calls the script of each method; one that has none answers the question's text."""

    def __init__(self) -> None:
        self.on: dict[str, Callable[[Any, Any], Any]] = {}

    def unary(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def method(request: Any, context: Any) -> Any:
            script = self.on.get(name)
            if script is not None:
                return await script(request, context)
            text = request.text if isinstance(request, Question) else "".join([r.text async for r in request])
            return Answer(text=text)

        return method

    def generator(self, name: str) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def method(request: Any, context: Any) -> AsyncIterator[Any]:
            script = self.on.get(name)
            if script is not None:
                async for answer in script(request, context):
                    yield answer
            elif isinstance(request, Question):
                yield Answer(text=request.text)
            else:
                async for question in request:
                    yield Answer(text=question.text)

        return method

    def by_context(self, name: str) -> Callable[[Any, Any], Awaitable[None]]:
        async def method(request: Any, context: Any) -> None:
            script = self.on.get(name)
            if script is not None:
                await script(request, context)
            elif isinstance(request, Question):
                await context.write(Answer(text=request.text))
            else:
                while (question := await context.read()) is not grpc.aio.EOF:
                    await context.write(Answer(text=question.text))

        return method


def add_probe(servicer: Servicer, server: Any) -> None:
    """What generated code does: hand the handlers over twice, registered and generic."""
    handlers = {}
    for name, (_, _, _, up, down) in METHODS.items():
        if not down:
            make = grpc.stream_unary_rpc_method_handler if up else grpc.unary_unary_rpc_method_handler
            behaviour: Any = servicer.unary(name)
        else:
            make = grpc.stream_stream_rpc_method_handler if up else grpc.unary_stream_rpc_method_handler
            behaviour = servicer.by_context(name) if "By" in name else servicer.generator(name)
        handlers[name] = make(behaviour, Question.FromString, Answer.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)
