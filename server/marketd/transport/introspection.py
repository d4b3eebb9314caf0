"""Reflection (v1 and v1alpha) and channelz, for people with grpcurl and grpcdebug; both can be switched off.

grpcio ships reflection as v1alpha alone. v1 is the same service under another name, so the same handler serves both,
and the descriptor of v1 is made from the other's so that clients can describe what they found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_channelz.v1._servicer import ChannelzServicer as SyncChannelzServicer
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio as reflection

from marketd.kernel.call.refusals import NotFound
from marketd.transport.collector import Collector
from marketd.transport.own_rules import CHANNELZ, REFLECTION

_V1_FILE = "grpc/reflection/v1/reflection.proto"


def add_reflection(collector: Collector, services: Iterable[str]) -> None:
    """Serve the descriptors of `services` and of reflection itself, under both names."""
    _declare_v1()
    servicer = reflection.ReflectionServicer((*services, *REFLECTION))
    add: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(servicer, _BothNames(collector))


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


def add_channelz(collector: Collector) -> None:
    """Serve channelz; the server needs the option `grpc.enable_channelz` for it to know anything."""
    collector.add(channelz_pb2_grpc.add_ChannelzServicer_to_server, _channelz_servicer())


class _Recorder:
    """Stands in for the context in which grpcio's channelz servicer reports that it found nothing."""

    def __init__(self) -> None:
        self.failed = False

    def set_code(self, code: Any) -> None:
        self.failed = True

    def set_details(self, details: str) -> None:
        """The text is grpcio's and stays here."""


def _channelz_method(name: str) -> Callable[[Any, Any], Any]:
    ask = getattr(SyncChannelzServicer, name)

    async def method(request: Any, context: Any) -> Any:
        recorder = _Recorder()
        answer = ask(request, recorder)
        if recorder.failed:
            raise NotFound("channelz entity", next((value for _, value in request.ListFields()), 0))
        return answer

    return method


def _channelz_servicer() -> channelz_pb2_grpc.ChannelzServicer:
    servicer = channelz_pb2_grpc.ChannelzServicer()
    for name in channelz_pb2.DESCRIPTOR.services_by_name[CHANNELZ.rpartition(".")[2]].methods_by_name:
        setattr(servicer, name, _channelz_method(name))
    return servicer
