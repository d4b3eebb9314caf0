"""What a status says beside its code: its details, read as the client's machine would."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The google.rpc.Status of a refusal."""
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    return status_pb2.Status.FromString(bytes(details))


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason in its one ErrorInfo."""
    infos = []
    for detail in status_of(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            infos.append(info)
    assert len(infos) == 1
    return str(infos[0].reason)


def retry_seconds(error: grpc.aio.AioRpcError) -> float:
    """The delay in its RetryInfo; 0.0 when there is none."""
    for detail in status_of(error).details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return 0.0
