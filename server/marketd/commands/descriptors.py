"""`marketd descriptors`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from marketd.app import descriptor_set
from marketd.commands.settings import fail_line, say

_STANDARD_OUTPUT = Path("-")


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")] = Path(
        "marketplace.binpb"
    ),
) -> None:
    """Write the contract as a FileDescriptorSet, with its comments and everything it imports.

    With it tools call a server whose reflection is off (grpcurl -protoset, buf curl --schema), and `buf generate` or
    protoc make stubs of any language. Needs no server and no database.
    """
    found = descriptor_set()
    written = found.SerializeToString(deterministic=True)
    if output == _STANDARD_OUTPUT:
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(written)
    except OSError as error:
        fail_line(f"{output} cannot be written: {error.strerror}.")
        raise typer.Exit(2) from None
    say(f"{output}: {len(found.file)} files.")
