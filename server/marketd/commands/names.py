"""The names of our environment variables, without reading what they hold: `healthcheck` has no time for the settings.

They are taken from the text of the settings, because importing it takes longer than all else that a light command does.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import marketd

PREFIX: Final = "MARKETD_"
# Variables of ours that are no settings: options of `marketd demo`, and the `.env` file (process/env_file).
_NO_SETTINGS: Final = {"MARKETD_ADMIN_EMAIL", "MARKETD_ADMIN_PASSWORD", "MARKETD_ENV_FILE"}


def setting_names() -> set[str]:
    """The variables of all settings."""
    module = ast.parse((Path(marketd.__file__).parent / "config" / "__init__.py").read_text(encoding="utf-8"))
    (settings,) = (each for each in module.body if isinstance(each, ast.ClassDef) and each.name == "Settings")
    return {
        PREFIX + line.target.id.upper()
        for line in settings.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


def mistyped(environment: Iterable[str] = os.environ) -> dict[str, str]:
    """A line for each MARKETD_ variable that is no setting, by its name: it would be thought to be set."""
    unsure = sorted(
        each for each in environment if each.upper().startswith(PREFIX) and each.upper() not in _NO_SETTINGS
    )
    if not unsure:
        return {}
    from difflib import get_close_matches  # noqa: PLC0415 - most commands never need it

    known = setting_names() | _NO_SETTINGS
    found = {}
    for name in (each for each in unsure if each.upper() not in known):
        like = get_close_matches(name.upper(), known, n=1, cutoff=0.8)
        found[name] = f"{name} is no setting and has no effect" + (f"; is {like[0]} meant?" if like else ".")
    return found
