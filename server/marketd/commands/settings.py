"""Reading the settings for a command: a bad value ends the command with its name, the reason and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from marketd.config import Settings
from marketd.config.problems import advice_of, problems_of
from marketd.embedded import EmbeddedPostgres
from marketd.gateway.static import StaticFolderUnfit, check_static_folder

CONFIGURATION_ERROR = 2


def read_settings(**overrides: object) -> Settings:
    """The settings of the environment, with those a command's options override. Exits 2 when one is wrong.

    overrides: by the setting's name, for the option of the same name (`data_dir` for --data-dir); None for one that was
    not given.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings.read(**given)
    except ValidationError as error:
        for problem in error.errors():
            fail_line(_said(problem, given))
    except SettingsError as error:
        # Of a setting that is JSON and does not parse; the name is all that the error has to say.
        named = re.search(r'field "(\w+)"', str(error))
        fail_line(f"MARKETD_{named[1].upper()}: is no JSON" if named else str(error))
    raise typer.Exit(CONFIGURATION_ERROR)


def _said(problem: ErrorDetails, given: Mapping[str, object]) -> str:
    """The problem with the name that the value came by: the option's, or the variable's."""
    name = str(problem["loc"][0])
    text = problem["msg"].removeprefix("Value error, ")
    if name == "gateway_upstreams" and name in given:
        return f"--upstream: {text}"
    if name in given:
        return f"--{name.replace('_', '-')} {given[name]}: {text}"
    inside = "".join(f", {part}" for part in problem["loc"][1:])
    return f"MARKETD_{name.upper()}{inside}: {text}"


def require_startable(settings: Settings) -> None:
    """Exit 2 with every reason why these settings may not serve."""
    problems = problems_of(settings)
    for problem in problems:
        fail_line(problem)
    if problems:
        raise typer.Exit(CONFIGURATION_ERROR)


def require_static_folder(settings: Settings) -> None:
    """Exit 2 when the gateway is to serve a folder that must not be served whole."""
    if settings.gateway_static is None:
        return
    try:
        check_static_folder(settings.gateway_static, (settings.media_folder, settings.data_dir))
    except StaticFolderUnfit as unfit:
        fail_line(str(unfit))
        raise typer.Exit(CONFIGURATION_ERROR) from None


def require_database_folder(settings: Settings) -> None:
    """Exit 2 when neither a database is set nor one lies in the data folder: only `serve` makes one."""
    folder = (settings.data_dir / "postgres").absolute()
    if settings.database_url is None and not EmbeddedPostgres(folder).is_made:
        fail_line(
            f"there is no database in {folder}; run it in the folder in which the server was started, or set "
            "MARKETD_DATA_DIR or MARKETD_DATABASE_URL."
        )
        raise typer.Exit(CONFIGURATION_ERROR)


def advise(settings: Settings) -> None:
    """Say what is most likely a mistake."""
    for advice in advice_of(settings):
        fail_line(advice)


def fail_line(text: str) -> None:
    """One line on standard error, in the form every command uses."""
    typer.echo(f"marketd: {text}", err=True)


def refuse(option: str, value: object, text: str) -> NoReturn:
    """Exit 2 with a line about what an option was given."""
    fail_line(f"--{option} {value}: {text}")
    raise typer.Exit(CONFIGURATION_ERROR)


def say(text: str) -> None:
    """One line on standard output."""
    typer.echo(text)
