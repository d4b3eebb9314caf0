"""The contract as descriptors, comments and JSON names included: for reflection, and as one file for other languages.

What protoc makes of a file for Python has neither, so the whole contract lies beside the stubs, written with them. Of
what is not in it (health, channelz) the stubs' own descriptor must do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources

import marketplace
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel has no types
from marketplace.errors.v1 import error_reason_pb2

# What no service imports and every client meets: it is in the metadata of a refusal.
_OF_REFUSALS = (error_reason_pb2, status_pb2, error_details_pb2, code_pb2)


def contract() -> Mapping[str, FileDescriptorProto]:
    """The files of the contract and all that they import, by name, as they were written with the stubs."""
    written = resources.files(marketplace).joinpath("contract.binpb").read_bytes()
    return {file.name: file for file in FileDescriptorSet.FromString(written).file}


def described(file: FileDescriptor, known: Mapping[str, FileDescriptorProto]) -> FileDescriptorProto:
    """The file as the contract has it, or as the stubs do with the JSON names added."""
    found = known.get(file.name)
    if found is not None:
        return found
    plain = FileDescriptorProto.FromString(file.serialized_pb)
    for field in _fields(plain):
        field.json_name = field.json_name or json_name(field.name)
    return plain


def json_name(name: str) -> str:
    """The name of a field in JSON, as protoc makes it: `order_id` is `orderId`."""
    return re.sub(r"_+(.?)", lambda found: found[1].upper(), name)


def _fields(scope: FileDescriptorProto | DescriptorProto) -> Iterator[FieldDescriptorProto]:
    messages = scope.message_type if isinstance(scope, FileDescriptorProto) else scope.nested_type
    yield from scope.extension
    if isinstance(scope, DescriptorProto):
        yield from scope.field
    for message in messages:
        yield from _fields(message)


def descriptor_set(services: Iterable[str]) -> FileDescriptorSet:
    """The files of these services and of what refusals carry, and all that they import; the imported come first.

    The same services make the same set, in whatever order they are named.
    """
    known = contract()
    found: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in found:
            return
        for imported in file.dependencies:
            add(imported)
        found[file.name] = described(file, known)

    for name in sorted(services):
        add(Default().FindServiceByName(name).file)
    for module in _OF_REFUSALS:
        add(module.DESCRIPTOR)
    return FileDescriptorSet(file=found.values())
