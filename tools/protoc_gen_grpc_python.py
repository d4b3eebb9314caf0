"""The protoc plugin `grpc_python` for buf: grpcio-tools has the generator built in but ships no plugin program."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """Run the built-in generator over the request's own descriptors, so no .proto path is needed."""
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    wanted = set(request.file_to_generate)
    services = [file.name for file in request.proto_file if file.service and file.name in wanted]
    if not services:
        return response
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image.binpb")
        image.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        out = Path(folder, "out")
        out.mkdir()
        code = protoc.main(["protoc", f"--descriptor_set_in={image}", f"--grpc_python_out={out}", *services])
        if code:
            response.error = f"protoc exited {code}"
        for path in sorted(out.rglob("*.py")):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text())
    return response


def main() -> None:
    """Answer one request from standard input, as protoc plugins do."""
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(request).SerializeToString())


if __name__ == "__main__":
    main()
