"""Reflection over the wire, under both names: all that `grpcurl describe` may ask for, as the contract has it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2
from marketd import app as composition
from marketd.transport.own_rules import CHANNELZ, HEALTH, REFLECTION

from tests.worlds.matrix import Market
from tests.worlds.observed import RULES


def symbols(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    """The full names of what a file declares at its top, and of what is inside of that; values stand beside enums."""
    yield from (f"{file.package}.{extension.name}" for extension in file.extension)
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}"
        yield from (f"{file.package}.{value.name}" for value in enum.value)
    for message in file.message_type:
        yield f"{file.package}.{message.name}"
        yield from (f"{file.package}.{message.name}.{field.name}" for field in message.field)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", REFLECTION)
async def test_reflection_shows_every_service_with_all_its_methods(market: Market, name: str) -> None:
    path = f"/{name}/ServerReflectionInfo"
    ask = reflection_pb2.ServerReflectionRequest
    outcome = await market.send(path, ask(list_services=""))
    answer = reflection_pb2.ServerReflectionResponse.FromString(outcome.answers[0])
    listed = {service.name for service in answer.list_services_response.service}
    assert listed == {*composition.SERVICES, HEALTH, CHANNELZ, *REFLECTION}
    asked = [ask(file_containing_symbol=service) for service in sorted(listed)]
    outcome = await market.send(path, *asked)
    shown = set()
    for raw in outcome.answers:
        found = reflection_pb2.ServerReflectionResponse.FromString(raw).file_descriptor_response
        for proto in found.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(proto)
            shown |= {f"/{file.package}.{one.name}/{rpc.name}" for one in file.service for rpc in one.method}
    assert shown == set(RULES)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", REFLECTION)
async def test_reflection_knows_every_symbol_of_the_contract_and_says_it_as_it_is_written(
    market: Market, name: str
) -> None:
    """Whatever `describe` is asked about: services, methods, messages, fields, enums and their values, options."""
    written = {file.name: file for file in composition.descriptor_set().file}
    of = {symbol: file.name for file in written.values() for symbol in symbols(file)}
    assert {
        "marketplace.order.v1.OrderService.PlaceOrder",
        "marketplace.errors.v1.ErrorReason",
        "google.rpc.ErrorInfo",
        "google.rpc.Code",
    } <= set(of)
    ask = reflection_pb2.ServerReflectionRequest
    path = f"/{name}/ServerReflectionInfo"
    own = [symbol for symbol in of if symbol.startswith("marketplace.")]
    others = ["google.rpc.ErrorInfo", "google.rpc.Status", "google.rpc.Code", "google.rpc.NOT_FOUND"]
    outcome = await market.send(path, *(ask(file_containing_symbol=symbol) for symbol in (*own, *others)))
    for symbol, raw in zip((*own, *others), outcome.answers, strict=True):
        answer = reflection_pb2.ServerReflectionResponse.FromString(raw)
        assert answer.original_request.file_containing_symbol == symbol
        [shown] = answer.file_descriptor_response.file_descriptor_proto
        assert shown == written[of[symbol]].SerializeToString(deterministic=True), symbol
    assert len(own) > 1_000


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", REFLECTION)
async def test_reflection_finds_files_and_extensions_and_says_what_it_does_not_know(market: Market, name: str) -> None:
    ask = reflection_pb2.ServerReflectionRequest
    extension = reflection_pb2.ExtensionRequest(containing_type="google.protobuf.MethodOptions", extension_number=77201)
    outcome = await market.send(
        f"/{name}/ServerReflectionInfo",
        ask(file_by_filename="marketplace/errors/v1/error_reason.proto"),
        ask(file_containing_extension=extension),
        ask(all_extension_numbers_of_type="google.protobuf.MethodOptions"),
        ask(file_containing_symbol="marketplace.order.v1.OrderService.GiveAway"),
        ask(file_by_filename="no/such.proto"),
        ask(),
    )
    found, policy, numbers, *wrong = [
        reflection_pb2.ServerReflectionResponse.FromString(raw) for raw in outcome.answers
    ]
    for answer, file in ((found, "errors/v1/error_reason"), (policy, "policy/v1/policy")):
        [shown] = answer.file_descriptor_response.file_descriptor_proto
        assert descriptor_pb2.FileDescriptorProto.FromString(shown).name == f"marketplace/{file}.proto"
    assert {77201, 72295728} <= set(numbers.all_extension_numbers_response.extension_number)  # ours, google.api.http
    refused = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    assert [answer.error_response.error_code for answer in wrong] == [code.value[0] for code in refused]
