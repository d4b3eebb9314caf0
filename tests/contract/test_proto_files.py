"""Every file of the contract says in one form what it is called in other languages.

The form is the path of the file: Go's import path has no host, since the stubs are made by whoever needs them, into a
module of their own (`--go_opt=module=…`, or buf's managed mode). Adding or changing one later breaks everybody's stubs.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor

PROTOS = Path(__file__).resolve().parents[2] / "protos"
FILES = sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / "marketplace").rglob("*.proto"))


def file_of(name: str) -> FileDescriptor:
    """What the stubs know of a file, such as `marketplace/order/v1/order.proto`."""
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    descriptor: FileDescriptor = module.DESCRIPTOR
    return descriptor


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_it_is_called_in_go_java_and_csharp(name: str) -> None:
    _, domain, version, _ = name.split("/")
    options = file_of(name).GetOptions()
    assert {field.name: value for field, value in options.ListFields()} == {
        "go_package": f"marketplace/{domain}/{version};{domain}{version}",
        "java_package": f"dev.marketplace.{domain}.{version}",
        "java_multiple_files": True,
        "csharp_namespace": f"Marketplace.{domain.capitalize()}.{version.upper()}",
    }


def test_every_file_is_looked_at() -> None:
    assert len(FILES) > 30
