"""`marketd openapi`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from marketd.commands.settings import fail_line, say
from marketd.gateway.files import services
from marketd.gateway.openapi.document import document

_STANDARD_OUTPUT = Path("-")


def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")
    ] = _STANDARD_OUTPUT,
) -> None:
    """Write the OpenAPI document (3.1) of the HTTP interface, as the gateway shows it at /openapi.json.

    Needs no server and no database.
    """
    found = document(services())
    written = json.dumps(found, ensure_ascii=False, indent=2) + "\n"
    if output == _STANDARD_OUTPUT:
        sys.stdout.write(written)
        return
    try:
        output.write_text(written, encoding="utf-8")
    except OSError as error:
        fail_line(f"{output} cannot be written: {error.strerror}.")
        raise typer.Exit(2) from None
    say(f"{output}: {sum(len(verbs) for verbs in found['paths'].values())} operations.")
