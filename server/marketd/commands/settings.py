"""Reading the settings for a command: a bad value ends the command with its name, the reason and what to do."""

from __future__ import annotations

import typer
from pydantic import ValidationError

from marketd.config import Settings, unknown_names

CONFIGURATION_ERROR = 2


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
    for advice in (*settings.advice(), *unknown_names()):
        fail_line(advice)


def fail_line(text: str) -> None:
    """One line on standard error, in the form every command uses."""
    typer.echo(f"marketd: {text}", err=True)


def say(text: str) -> None:
    """One line on standard output."""
    typer.echo(text)
