"""`marketd descriptors`: the contract as one file, for tools that cannot ask the server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from marketd.app import SERVICES, descriptor_set
from marketd.cli import application
from marketd.transport.descriptors import contract, json_name
from typer.testing import CliRunner


def test_the_set_stands_by_itself_and_has_every_service_with_its_methods() -> None:
    pool = DescriptorPool()
    for file in descriptor_set().file:  # whatever a file imports came before it
        pool.Add(file)
    for service in SERVICES:
        assert len(pool.FindServiceByName(service).methods) > 0


def test_what_refusals_carry_is_in_it_though_no_service_imports_it() -> None:
    names = {file.name for file in descriptor_set().file}
    assert {f"google/rpc/{name}.proto" for name in ("status", "error_details", "code")} <= names
    assert "marketplace/errors/v1/error_reason.proto" in names


def test_every_element_of_ours_has_its_comment_and_every_field_its_name_in_json() -> None:
    elements = 0
    for file in descriptor_set().file:
        if file.name.startswith("marketplace/"):
            said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
            for path in paths(file):
                assert said[path].strip(), (file.name, path)
                elements += 1
        fields = [field for message in messages(file) for field in message.field]
        assert [field.name for field in fields if not field.json_name] == []
    assert elements > 1_000
    [order] = [file for file in descriptor_set().file if file.name == "marketplace/order/v1/order.proto"]
    field = next(each for message in order.message_type for each in message.field if each.name == "order_number")
    assert field.json_name == "orderNumber"


def messages(scope: FileDescriptorProto | DescriptorProto) -> Iterator[DescriptorProto]:
    """The messages of a file or message, nested ones too."""
    for message in scope.message_type if isinstance(scope, FileDescriptorProto) else scope.nested_type:
        yield message
        yield from messages(message)


def paths(file: FileDescriptorProto) -> Iterator[tuple[int, ...]]:
    """Where the elements of a file stand at its top, in the terms of descriptor.proto, and what is inside of them."""
    for at, service in enumerate(file.service):
        yield (6, at)
        yield from ((6, at, 2, each) for each in range(len(service.method)))
    for at, enum in enumerate(file.enum_type):
        yield (5, at)
        yield from ((5, at, 2, each) for each in range(len(enum.value)))
    for at, message in enumerate(file.message_type):
        yield (4, at)
        yield from ((4, at, 2, each) for each in range(len(message.field)))


def test_a_name_in_json_is_made_as_protoc_makes_it() -> None:
    for field in (field for file in contract().values() for message in messages(file) for field in message.field):
        assert json_name(field.name) == field.json_name


def test_the_set_goes_to_standard_output_where_that_is_asked_for() -> None:
    ran = CliRunner().invoke(application(["descriptors"]), ["descriptors", "-o", "-"])
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert FileDescriptorSet.FromString(ran.stdout_bytes) == descriptor_set()


def test_buf_reads_what_the_command_writes(tmp_path: Path) -> None:
    file = tmp_path / "marketplace.binpb"
    arguments = ["descriptors", "--output", str(file)]
    ran = CliRunner().invoke(application(arguments), arguments)
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert FileDescriptorSet.FromString(file.read_bytes()) == descriptor_set()
    buf = Path(sys.executable).parent / "buf"
    out = tmp_path / "stubs"
    protoc = {"protoc_builtin": "python", "protoc_path": [sys.executable, "-m", "grpc_tools.protoc"], "out": str(out)}
    template = json.dumps({"version": "v2", "plugins": [protoc]})
    # Buf reads all of it, and has stubs of one file made: protoc is started anew for each.
    command = [str(buf), "generate", str(file), "--template", template]
    command += ["--path", "marketplace/order/v1/order_service.proto"]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stderr
    assert (out / "marketplace/order/v1/order_service_pb2.py").is_file()


def test_a_file_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    arguments = ["descriptors", "--output", str(tmp_path / "no" / "such.binpb")]
    ran = CliRunner().invoke(application(arguments), arguments)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("marketd: ")
    assert "cannot be written" in ran.stderr
