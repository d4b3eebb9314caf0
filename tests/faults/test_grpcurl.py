"""The real grpcurl finds in the server's reflection what the .proto files say, comments included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from marketd.app import SERVICES

from tests.worlds.foreign import build_protos, fetched, run, succeed
from tests.worlds.served import Served

ERRORS = "marketplace.errors.v1.ErrorReason"
RICH_ERRORS = ("Status", "ErrorInfo", "BadRequest", "PreconditionFailure", "RetryInfo", "LocalizedMessage", "Code")


@dataclass(frozen=True)
class Described:
    """Two sources that grpcurl describes from: the server, and the .proto files."""

    grpcurl: Path
    target: str
    protos: Path

    def by_server(self, *symbol: str) -> str:
        """What grpcurl says when it asks the server."""
        done = run(self.grpcurl, "-plaintext", self.target, "describe", *symbol)
        return done.stdout + done.stderr

    def by_protos(self, *symbol: str) -> str:
        """What it says when it has the files."""
        return succeed(self.grpcurl, "-protoset", self.protos, "describe", *symbol)

    def differences(self, symbols: Iterable[str]) -> list[str]:
        """The symbols that are not described alike."""
        wanted = list(symbols)
        with ThreadPoolExecutor(4) as threads:
            served, written = threads.map(self.by_server, wanted), threads.map(self.by_protos, wanted)
            return [symbol for symbol, one, other in zip(wanted, served, written, strict=True) if one != other]

    def files_of(self, *source: str | Path) -> dict[str, tuple[bytes, dict[tuple[int, ...], str]]]:
        """What it would describe from that it gets from this source: the contract's files, each with its comments."""
        found = {}
        out = self.protos.with_name("out.binpb")
        for symbols in ([], [ERRORS]):  # no service needs the errors' file
            succeed(self.grpcurl, "-protoset-out", out, *source, "describe", *symbols)
            for file in FileDescriptorSet.FromString(out.read_bytes()).file:
                said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
                file.ClearField("source_code_info")
                file.DiscardUnknownFields()  # what buf notes for itself; options of the contract are known
                found[file.name] = file.SerializeToString(deterministic=True), {k: v for k, v in said.items() if v}
            out.unlink()
        return {name: content for name, content in found.items() if name.startswith("marketplace/")}

    def files(self) -> list[FileDescriptorProto]:
        """The contract's own files that a service needs, straight or through others, and that of the errors."""
        files = {file.name: file for file in FileDescriptorSet.FromString(self.protos.read_bytes()).file}
        wanted = [file.name for file in files.values() if file.service or file.package == ERRORS.rpartition(".")[0]]
        for name in wanted:  # it grows meanwhile
            wanted += [each for each in files[name].dependency if each not in wanted]
        return [files[name] for name in wanted if name.startswith("marketplace/")]


@pytest.fixture(scope="module")
def described(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Described:
    """The server and the files beside each other."""
    grpcurl = fetched("grpcurl")
    return Described(
        grpcurl, f"127.0.0.1:{served.port}", build_protos(tmp_path_factory.mktemp("protos") / "protos.binpb")
    )


def services(text: str) -> dict[str, str]:
    """The contract's services out of a description of all services."""
    parts = text.split(" is a service:\n")
    names = [part.rpartition("\n")[2] for part in parts[:-1]]
    texts = [part.rpartition("\n")[0] for part in parts[1:-1]] + [parts[-1].rstrip("\n")]
    return {name: body for name, body in zip(names, texts, strict=True) if name.startswith("marketplace.")}


def messages(inside: Iterable[DescriptorProto], scope: str) -> Iterator[str]:
    """The full names of messages and of those within them; entries of maps are no types of their own."""
    for message in inside:
        if not message.options.map_entry:
            name = f"{scope}.{message.name}"
            yield name
            yield from messages(message.nested_type, name)


def test_grpcurl_describes_every_service_with_its_methods_as_the_protos_do(described: Described) -> None:
    served, written = services(described.by_server()), services(described.by_protos())
    assert sorted(written) == sorted(SERVICES)
    assert served == written
    assert all("// " in body and "option (.marketplace.policy.v1.rule)" in body for body in written.values())


def test_grpcurl_describes_methods_messages_and_the_reasons_of_errors_by_their_names(described: Described) -> None:
    symbols = {ERRORS: ERRORS}
    for file in described.files():  # one of each service and package here; all of them below
        for service in file.service:
            symbols[service.name] = f"{file.package}.{service.name}.{service.method[-1].name}"
        for name in messages(file.message_type, file.package):
            symbols[file.package] = name
    assert len(symbols) > 2 * len(SERVICES)
    assert described.differences(symbols.values()) == []
    assert "// " in described.by_server(ERRORS)


def test_grpcurl_knows_what_stands_in_the_details_of_an_error(described: Described) -> None:
    for name in RICH_ERRORS:
        assert described.by_server(f"google.rpc.{name}").startswith(f"google.rpc.{name} is a"), name


def test_grpcurl_gets_every_method_message_and_enum_as_the_protos_have_it(described: Described) -> None:
    """It describes from files; a description of each by its name would be eight hundred processes."""
    served = described.files_of("-plaintext", described.target)
    written = described.files_of("-protoset", described.protos)
    assert served.keys() == written.keys() == {file.name for file in described.files()}
    assert [name for name, content in written.items() if served[name] != content] == []
    assert all(comments for _, comments in written.values())
