"""The environment that a program starts with, and what a `.env` file in the working folder adds to it.

The values go into the environment of the process, so that whatever it starts sees the same ones, also after the file
has changed. What is set in the environment goes before the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv.parser import Binding, parse_stream

PREFIX: Final = "MARKETD_"
FILE_VARIABLE: Final = "MARKETD_ENV_FILE"
"""Names another file than `.env`, which must then be there; empty: none is read."""
_COMMENT: Final = re.compile(r"(?:^|\s)#.*", re.MULTILINE)


class EnvFileUnusable(Exception):
    """The file cannot be read; the message says which line is wrong and never what stands in it."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """The file that was read, and the names of the variables that came from it."""

    path: Path
    names: tuple[str, ...]


def take_env_file(environment: MutableMapping[str, str] = os.environ) -> EnvFile | None:
    """Add the MARKETD_ variables of the file to `environment`; None when there is no file.

    A folder named `.env` is a virtual environment and no file. Values are taken as they stand: `${NAME}` in a password
    stays what it is. Other programs' variables are left out. Raises EnvFileUnusable.
    """
    told = environment.get(FILE_VARIABLE)
    path = Path(".env" if told is None else told)
    if told == "" or (told is None and not path.is_file()):
        return None
    # pydantic-settings reads names in any case; the file must not get past one that the environment has.
    present = {name.upper() for name in environment}
    found: dict[str, str] = {}
    for binding in _bindings(path):
        # The parser takes quotes off a name only when they are single ones.
        name, value = (binding.key or "").strip('"').upper(), binding.value
        if _is_broken(binding, name):
            raise EnvFileUnusable(f"line {_line_of(binding)} of {path} is not NAME=value; write it so.")
        if value is not None and name.startswith(PREFIX) and name not in present:
            found[name] = value
    environment.update(found)
    return EnvFile(path, tuple(sorted(found)))


def _is_broken(binding: Binding, name: str) -> bool:
    """Whether a setting of ours stands there that cannot be taken; comments and other programs' lines are none."""
    if binding.error:
        return PREFIX in _COMMENT.sub("", binding.original.string).upper()
    return name.startswith(PREFIX) and (binding.value is None or "\0" in binding.value)


def _line_of(binding: Binding) -> int:
    """Where it begins; the parser counts from the empty lines before it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _bindings(path: Path) -> list[Binding]:
    try:
        # Editors on Windows put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise EnvFileUnusable(f"{path} is no text in UTF-8; save it as such.") from None
    except OSError as error:
        raise EnvFileUnusable(
            f"{path} cannot be read ({error.strerror}); move it away, or set {FILE_VARIABLE} to the file that is meant "
            "(or to nothing)."
        ) from None
    return list(parse_stream(StringIO(text)))
