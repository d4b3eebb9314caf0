"""The command line as a person meets it: help, and what it says about settings that are wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from marketd.cli import _COMMANDS, application
from marketd.process.supervision.port import CannotServe, reserve_port
from typer.testing import CliRunner

# Whatever else there is reads the settings, and is to name what is wrong with them.
WITHOUT_SETTINGS = {"bench", "demo", "descriptors", "healthcheck", "policy", "token"}
ARGUMENTS = {
    "create-admin": ["--email", "a@shop.example", "--password-stdin"],
    "disable-totp": ["--login", "a@shop.example"],
    "import-products": [__file__, "--seller", "shop"],
    "keys": ["rotate"],
}


def _run(*arguments: str, **environment: str) -> tuple[int, list[str], str]:
    """The exit code, the lines of standard error, and standard output."""
    ran = CliRunner(env=environment).invoke(application(arguments), arguments, input="")
    return ran.exit_code, ran.stderr.splitlines(), ran.stdout


@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_help_has_a_short_form(command: str) -> None:
    words = [command] if command else []
    code, errors, short = _run(*words, "-h")
    assert (code, errors) == (0, [])
    assert short == _run(*words, "--help")[2]
    assert "Usage:" in short


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--port", "70000"], {}, "--port 70000: "),
        ([], {"MARKETD_PORT": "70000"}, "MARKETD_PORT: "),
        (["--port", "70000"], {"MARKETD_PORT": "7"}, "--port 70000: "),
        (["--workers", "0"], {}, "--workers 0: "),
        (["--host", "127.0.0.1:80"], {}, "--host 127.0.0.1:80: "),
        ([], {"MARKETD_HOST": "127.0.0.1:80"}, "MARKETD_HOST: "),
        ([], {"MARKETD_RATE_LIMITS": "{"}, "MARKETD_RATE_LIMITS: is no JSON"),
        ([], {"MARKETD_RATE_LIMITS": '{"LOGIN": ["often", 1]}'}, "MARKETD_RATE_LIMITS, LOGIN, 0: "),
        ([], {"MARKETD_LEASE": "soon"}, "MARKETD_LEASE: is no duration; give seconds (900) or ISO 8601 (PT15M)"),
    ],
)
def test_what_is_wrong_is_named_as_it_was_given(arguments: list[str], environment: dict[str, str], named: str) -> None:
    code, errors, _ = _run("serve", *arguments, **environment)
    assert (code, len(errors)) == (2, 1)
    assert errors[0].startswith(f"marketd: {named}")


def test_an_address_that_is_not_this_machines_is_said_with_both_ways_to_mend_it() -> None:
    for host, where in (("2001:db8::1", "[2001:db8::1]:0"), ("192.0.2.1", "192.0.2.1:0")):
        with pytest.raises(CannotServe) as refused:
            reserve_port(host, 0)
        assert str(refused.value).startswith(f"cannot listen on {where}: ")
        assert str(refused.value).endswith("give an address of this machine with --host or MARKETD_HOST.")


@pytest.mark.parametrize("command", sorted(_COMMANDS.keys() - WITHOUT_SETTINGS))
def test_every_command_names_mistyped_variables(command: str) -> None:
    code, errors, _ = _run(
        command, *ARGUMENTS.get(command, []), MARKETD_DATABSE_URL="postgresql://mistyped", MARKETD_LEASE="soon"
    )
    assert code == 2
    assert errors == [
        "marketd: MARKETD_DATABSE_URL is no setting and has no effect; is MARKETD_DATABASE_URL meant?",
        "marketd: MARKETD_LEASE: is no duration; give seconds (900) or ISO 8601 (PT15M)",
    ]


def _marketd(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MARKETD_")}
    return subprocess.run(
        [sys.executable, "-m", "marketd", *arguments],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_file_in_the_working_folder_sets_what_the_environment_does_not_and_is_said(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MARKETD_LEASE=soon\nMARKETD_PROT=8\nMARKETD_SECRET=hunter2\nMARKETD_PORT=70000\n")
    ran = _marketd(tmp_path, "serve", MARKETD_PORT="0")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [
        "marketd: 3 settings come from .env: MARKETD_LEASE, MARKETD_PROT, MARKETD_SECRET.",
        "marketd: MARKETD_PROT is no setting and has no effect; is MARKETD_PORT meant?",
        "marketd: MARKETD_LEASE: is no duration; give seconds (900) or ISO 8601 (PT15M)",
    ]


def test_the_options_of_a_command_read_it_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MARKETD_ADMIN_EMAIL=shown@shop.example\n")
    ran = _marketd(tmp_path, "demo", "--products", "none.csv")
    assert ran.stderr.splitlines()[0] == "marketd: a setting comes from .env: MARKETD_ADMIN_EMAIL."


def test_a_broken_file_ends_a_command_in_a_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MARKETD_PORT\n")
    ran = _marketd(tmp_path, "check")
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert ran.stderr.startswith("marketd: line 1 of .env is not NAME=value")
