"""The contract of services as one set of descriptors, for tools of other languages."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default


def descriptor_set(services: Iterable[str]) -> FileDescriptorSet:
    """The files of these services and all that they import, what is imported first."""
    found: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in found:
            return
        for imported in file.dependencies:
            add(imported)
        found[file.name] = FileDescriptorProto.FromString(file.serialized_pb)

    for name in services:
        add(Default().FindServiceByName(name).file)
    return FileDescriptorSet(file=found.values())
