"""Templates and the folder of a shop's own that goes before them, for letters and for receipts; and whose language."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

DEFAULT_LOCALE: Final = "en"

_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def environment_of(package: str, own_templates: Path | None) -> ImmutableSandboxedEnvironment:
    """What finds and renders the templates of a package.

    `own_templates`: a folder like the package's, whose files go before. Values are data: they are escaped in HTML and
    cannot bring template code.
    """
    ours: BaseLoader = PackageLoader(package, "templates")
    loader = ours if own_templates is None else ChoiceLoader([FileSystemLoader(own_templates), ours])
    # The sandbox is for a shop's own templates: they are texts, not programs. A missing value is an error, so that
    # nobody gets a letter with a hole where the code should be.
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["when"] = _when
    return environment


def locales(wanted: str) -> list[str]:
    """The languages to look for, nearest first: of `de-AT` these are `de-at`, `de`, and our own."""
    found = []
    if _LOCALE.fullmatch(wanted):
        parts = wanted.replace("_", "-").lower().split("-")
        found = ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return [*found, *([DEFAULT_LOCALE] if DEFAULT_LOCALE not in found else [])]


def visible(text: str) -> str:
    """The text without control characters: they could not be seen, and some readers obey them."""
    return _CONTROL.sub("", text)


def _when(value: str) -> str:
    """An instant as every language reads it. A shop's people live in many time zones, so it says which one it is."""
    return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d, %H:%M UTC")
