"""Reading the settings for a command: a bad value ends the command with its name, the reason and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches

import typer
from pydantic import ValidationError

from marketd.config import Settings

CONFIGURATION_ERROR = 2
# Variables of ours that are no settings: options of `marketd demo`.
_NO_SETTINGS = {"MARKETD_ADMIN_EMAIL", "MARKETD_ADMIN_PASSWORD"}


def read_settings(**overrides: object) -> Settings:
    """The settings of the environment, with those a command's options override. Exits 2 when one is wrong."""
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings.read(**given)
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"])
            fail_line(f"MARKETD_{name.upper()}: {problem['msg'].removeprefix('Value error, ')}")
        raise typer.Exit(CONFIGURATION_ERROR) from None


def require_startable(settings: Settings) -> None:
    """Exit 2 with every reason why these settings may not serve."""
    problems = settings.problems()
    for problem in problems:
        fail_line(problem)
    if problems:
        raise typer.Exit(CONFIGURATION_ERROR)


def advise(settings: Settings) -> None:
    """Say what is most likely a mistake."""
    for advice in (*settings.advice(), *unknown_names(os.environ)):
        fail_line(advice)


def unknown_names(environment: Iterable[str]) -> list[str]:
    """A line for each MARKETD_ variable that is no setting: a mistyped one would be thought to be set."""
    known = {f"MARKETD_{name.upper()}" for name in Settings.model_fields} | _NO_SETTINGS
    found = []
    for name in sorted(each for each in environment if each.startswith("MARKETD_") and each.upper() not in known):
        like = get_close_matches(name, known, n=1, cutoff=0.8)
        found.append(f"{name} is no setting and has no effect" + (f"; is {like[0]} meant?" if like else "."))
    return found


def fail_line(text: str) -> None:
    """One line on standard error, in the form every command uses."""
    typer.echo(f"marketd: {text}", err=True)


def say(text: str) -> None:
    """One line on standard output."""
    typer.echo(text)
