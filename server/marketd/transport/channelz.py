"""Channelz, for administrators with grpcdebug; it can be switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_channelz.v1._servicer import ChannelzServicer as SyncChannelzServicer

from marketd.kernel.call.refusals import NotFound
from marketd.transport.collector import Collector
from marketd.transport.own_rules import CHANNELZ


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
