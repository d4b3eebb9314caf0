"""What compilers of other languages say to stubs that were made from the descriptor set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.worlds.foreign import BUF, fetched, installed, succeed, write_descriptors

# The line that must not compile shows that the compiler looks at the stubs at all.
USE_OF_TYPESCRIPT = """
import { create } from "@bufbuild/protobuf";
import { CatalogService, ListProductsRequestSchema } from "./marketplace/catalog/v1/catalog_service_pb";

export const name: string = CatalogService.method.listProducts.name;
export const request = create(ListProductsRequestSchema, { pageSize: 2 });
// @ts-expect-error There is no such field.
export const mistaken = create(ListProductsRequestSchema, { pageSiez: 2 });
"""
OPTIONS_OF_TYPESCRIPT = {
    "compilerOptions": {
        "strict": True, "noEmit": True, "target": "es2022", "module": "esnext", "moduleResolution": "bundler",
        "types": [], "skipLibCheck": True,
    },
    "include": ["stubs"],
}  # fmt: skip

USE_OF_JAVA = """
import {catalog}.CatalogServiceGrpc;
import {catalog}.ListProductsRequest;

class Use {{
    static int products(io.grpc.Channel channel) {{
        ListProductsRequest request = ListProductsRequest.newBuilder().setPageSize(2).build();
        return CatalogServiceGrpc.newBlockingStub(channel).listProducts(request).getProductsCount();
    }}
}}
"""
# A thousand files once: what the machine compiles of itself for long runs, and in threads, costs four times as much.
SHORT_RUN = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
JARS = Path("/usr/share/java")  # where Debian has them
JARS_OF_JAVA = ("protobuf", "grpc-api", "grpc-stub", "grpc-protobuf", "guava", "geronimo-annotation-1.3-spec")


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_typescripts_compiler_takes_the_stubs(tmp_path: Path) -> None:
    node, packages = fetched("node"), fetched("node_modules")
    contract = write_descriptors(tmp_path / "marketplace.binpb")
    (tmp_path / "node_modules").symlink_to(packages)
    plugin = {
        "local": [str(node), str(packages / "@bufbuild/protoc-gen-es/bin/protoc-gen-es")],
        "out": "stubs",
        "opt": "target=ts",
    }
    template = json.dumps({"version": "v2", "plugins": [plugin]})
    succeed(BUF, "generate", contract, "--include-imports", "--template", template, folder=tmp_path, seconds=250)
    (tmp_path / "stubs" / "use.ts").write_text(USE_OF_TYPESCRIPT)
    (tmp_path / "tsconfig.json").write_text(json.dumps(OPTIONS_OF_TYPESCRIPT))
    succeed(node, packages / "typescript/bin/tsc", "--project", tmp_path, folder=tmp_path, seconds=250)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_javas_compiler_takes_the_stubs(tmp_path: Path) -> None:
    javac, protoc, plugin = installed("javac"), installed("protoc"), installed("grpc_java_plugin")
    jars = [JARS / f"{name}.jar" for name in JARS_OF_JAVA]
    if missing := [jar.name for jar in jars if not jar.exists()]:
        pytest.skip(f"{JARS} lacks {', '.join(missing)}; Debian's libgrpc-java brings them")
    contract = write_descriptors(tmp_path / "marketplace.binpb")
    files = FileDescriptorSet.FromString(contract.read_bytes()).file
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    succeed(
        protoc, f"--descriptor_set_in={contract}", f"--java_out={stubs}",
        f"--plugin=protoc-gen-grpc-java={plugin}", f"--grpc-java_out={stubs}",
        *(file.name for file in files if not file.name.startswith("google/protobuf/")),
    )  # fmt: skip
    catalog = next(file.options.java_package for file in files if file.package == "marketplace.catalog.v1")
    (stubs / "Use.java").write_text(USE_OF_JAVA.format(catalog=catalog))
    sources = sorted(str(path) for path in stubs.rglob("*.java"))
    assert len(sources) > len(files)
    arguments = tmp_path / "sources"
    arguments.write_text("\n".join(sources))
    paths = ":".join(str(jar) for jar in jars)
    options = (*SHORT_RUN, "-nowarn", "-proc:none", "-d", tmp_path / "classes", "-classpath", paths)
    succeed(javac, *options, f"@{arguments}", seconds=500)
