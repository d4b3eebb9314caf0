"""`marketd descriptors`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marketd.app import descriptor_set
from marketd.commands.settings import fail_line, say


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("marketplace.binpb"),
) -> None:
    """Write the contract as a FileDescriptorSet, with everything it imports.

    With it tools call a server whose reflection is off (grpcurl -protoset, buf curl --schema), and `buf generate` or
    protoc make stubs of any language. Needs no server and no database.
    """
    found = descriptor_set()
    try:
        output.write_bytes(found.SerializeToString(deterministic=True))
    except OSError as error:
        fail_line(f"{output} cannot be written: {error.strerror}.")
        raise typer.Exit(2) from None
    say(f"{output}: {len(found.file)} files.")
