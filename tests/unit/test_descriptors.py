"""`marketd descriptors`: the contract as one file, for tools that cannot ask the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from marketd.app import SERVICES, descriptor_set


def test_the_set_stands_by_itself_and_has_every_service_with_its_methods() -> None:
    pool = DescriptorPool()
    for file in descriptor_set().file:  # whatever a file imports came before it
        pool.Add(file)
    for service in SERVICES:
        assert len(pool.FindServiceByName(service).methods) > 0


def test_buf_reads_what_the_command_writes(tmp_path: Path) -> None:
    file = tmp_path / "marketplace.binpb"
    command = [sys.executable, "-m", "marketd", "descriptors", "--output", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert FileDescriptorSet.FromString(file.read_bytes()) == descriptor_set()
    buf = Path(sys.executable).parent / "buf"
    out = tmp_path / "stubs"
    protoc = {"protoc_builtin": "python", "protoc_path": [sys.executable, "-m", "grpc_tools.protoc"], "out": str(out)}
    template = json.dumps({"version": "v2", "plugins": [protoc]})
    made = subprocess.run(
        [buf, "generate", str(file), "--template", template], capture_output=True, text=True, check=False, timeout=60
    )
    assert made.returncode == 0, made.stderr
    assert (out / "marketplace/order/v1/order_service_pb2.py").is_file()


def test_a_file_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "marketd", "descriptors", "--output", str(tmp_path / "no" / "such.binpb")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr.startswith("marketd: ")
    assert "cannot be written" in ran.stderr
