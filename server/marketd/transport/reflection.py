"""Reflection (v1 and v1alpha), for people with grpcurl and tools that ask; it can be switched off.

v1 is v1alpha under another name, so the same handler serves both, and the descriptor of v1 is made from the other's so
that clients can describe what they found. grpcio's own servicer knows no methods (`describe pkg.Service.Method`), no
comments and no JSON names, so this one is ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import cached_property
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from marketd.transport.collector import Collector
from marketd.transport.descriptors import contract, described
from marketd.transport.own_rules import REFLECTION

_V1_FILE = "grpc/reflection/v1/reflection.proto"


def add_reflection(collector: Collector, services: Iterable[str]) -> None:
    """Serve the descriptors of `services` and of reflection itself, under both names."""
    _declare_v1()
    add: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(Reflection((*services, *REFLECTION)), _BothNames(collector))


class Reflection(reflection_pb2_grpc.ServerReflectionServicer):
    """Answers from the pool of descriptors: each file by itself, since whoever asks asks for its imports by name."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted(services)
        self._pool = descriptor_pool.Default()

    @cached_property
    def _contract(self) -> dict[str, descriptor_pb2.FileDescriptorProto]:
        return dict(contract())  # read when somebody asks for the first time

    async def ServerReflectionInfo(  # noqa: N802 - grpc's name
        self, requests: AsyncIterable[ServerReflectionRequest], context: Any
    ) -> AsyncIterator[ServerReflectionResponse]:
        async for request in requests:
            answer = ServerReflectionResponse(valid_host=request.host, original_request=request)
            try:
                self._answer(request, answer)
            except KeyError:
                asked = request.WhichOneof("message_request")
                _refuse(answer, grpc.StatusCode.NOT_FOUND, f"{asked}: this server has none of that name or number")
            yield answer

    def _answer(self, request: ServerReflectionRequest, answer: ServerReflectionResponse) -> None:
        """Fill the answer in. Raises KeyError for what there is not."""
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._services:
                    answer.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._show(answer, self._pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                self._show(answer, self._file_of(request.file_containing_symbol))
            case "file_containing_extension":
                asked = request.file_containing_extension
                message = self._pool.FindMessageTypeByName(asked.containing_type)
                extension = self._pool.FindExtensionByNumber(message, asked.extension_number)
                self._show(answer, self._pool.FindFileContainingSymbol(extension.full_name))
            case "all_extension_numbers_of_type":
                message = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                numbers = sorted(extension.number for extension in self._pool.FindAllExtensions(message))
                answer.all_extension_numbers_response.base_type_name = message.full_name
                answer.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                _refuse(answer, grpc.StatusCode.INVALID_ARGUMENT, "the request asks for nothing")

    def _file_of(self, symbol: str) -> FileDescriptor:
        """The file of a type, value, field, service or extension; methods are symbols to reflection.proto as well."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file

    def _show(self, answer: ServerReflectionResponse, file: FileDescriptor) -> None:
        shown = described(file, self._contract).SerializeToString(deterministic=True)
        answer.file_descriptor_response.file_descriptor_proto.append(shown)


def _refuse(answer: ServerReflectionResponse, code: grpc.StatusCode, why: str) -> None:
    """Reflection's refusals stand in an answer of its stream, which goes on."""
    answer.error_response.error_code = code.value[0]
    answer.error_response.error_message = why


class _BothNames:
    """Collects reflection's handlers under v1alpha's name and v1's."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        """Ignored, as by Collector."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None:
        for name in REFLECTION:
            self._collector.add_registered_method_handlers(name, method_handlers)


def _declare_v1() -> None:
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
        old, new = f".{file.package}.", ".grpc.reflection.v1."
        file.name, file.package = _V1_FILE, "grpc.reflection.v1"
        for message in file.message_type:
            for field in message.field:
                if field.type_name:
                    field.type_name = field.type_name.replace(old, new)
        for method in file.service[0].method:
            method.input_type = method.input_type.replace(old, new)
            method.output_type = method.output_type.replace(old, new)
        pool.AddSerializedFile(file.SerializeToString())
