"""The contract as the gateway's transcoder reads it: every streamed answer has one field more, for its last line."""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from marketd.transport.descriptors import contract
from marketd.transport.last_words import ERROR_FIELD, ERROR_NUMBER

_STATUS: Final = ".google.rpc.Status"
_STATUS_FILE: Final = "google/rpc/status.proto"
_HTTP_BODY: Final = ".google.api.HttpBody"


def rest_descriptors() -> FileDescriptorSet:
    """The files of the contract; of a method that streams HttpBody nothing is added, since those are no lines."""
    files = {name: _copy(file) for name, file in contract().items()}
    for file in files.values():
        answers = {
            method.output_type.rpartition(".")[2]
            for service in file.service
            for method in service.method
            if method.server_streaming and not method.client_streaming and method.output_type != _HTTP_BODY
        }
        for message in file.message_type:
            if message.name in answers:
                _add_error(message)
        if answers and _STATUS_FILE not in file.dependency:
            file.dependency.append(_STATUS_FILE)
    return FileDescriptorSet(file=_in_order(files))


def _copy(file: FileDescriptorProto) -> FileDescriptorProto:
    copied = FileDescriptorProto()
    copied.CopyFrom(file)
    copied.ClearField("source_code_info")  # comments are two thirds of it all, and Envoy reads none
    return copied


def _add_error(message: DescriptorProto) -> None:
    message.field.add(
        name=ERROR_FIELD,
        number=ERROR_NUMBER,
        json_name=ERROR_FIELD,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=_STATUS,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )


def _in_order(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Each file after those that it imports, as Envoy wants them."""
    placed: dict[str, FileDescriptorProto] = {}

    def place(name: str) -> None:
        if name not in placed:
            for imported in files[name].dependency:
                place(imported)
            placed[name] = files[name]

    for name in files:
        place(name)
    return list(placed.values())
