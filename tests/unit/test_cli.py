"""The command line as a person meets it: help, and what it says about settings that are wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from marketd.cli import _COMMANDS, _ending_quietly, application
from marketd.commands.import_products import whole
from marketd.commands.target import own_target
from marketd.process.supervision.port import CannotServe, reserve_port
from typer.testing import CliRunner

# Whatever else there is reads the settings, and is to name what is wrong with them.
WITHOUT_SETTINGS = {"bench", "demo", "descriptors", "healthcheck", "openapi", "policy", "token"}
ARGUMENTS = {
    "create-admin": ["--email", "a@shop.example", "--password-stdin"],
    "disable-totp": ["--login", "a@shop.example"],
    "export-products": ["--seller", "shop"],
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


@pytest.mark.parametrize(
    "arguments", [["healthcheck", "--timeout", "0.1"], ["token", "--login", "a@shop.example"], ["demo", "--trace", "x"]]
)
def test_commands_without_settings_name_them_too(arguments: list[str]) -> None:
    _, errors, _ = _run(*arguments, MARKETD_DATABSE_URL="postgresql://mistyped", MARKETD_PORT="1")
    assert errors[0] == "marketd: MARKETD_DATABSE_URL is no setting and has no effect; is MARKETD_DATABASE_URL meant?"
    assert len(errors) == 2


@pytest.mark.parametrize(
    ("environment", "target"),
    [
        ({}, "127.0.0.1:50051"),
        ({"MARKETD_PORT": "50100"}, "127.0.0.1:50100"),
        ({"marketd_port": "50100", "MARKETD_HOST": "0.0.0.0"}, "127.0.0.1:50100"),  # noqa: S104 - nobody binds
        ({"MARKETD_HOST": "::"}, "[::1]:50051"),
        ({"MARKETD_HOST": "[fd00::7]"}, "[fd00::7]:50051"),
    ],
)
def test_a_server_is_looked_for_where_it_would_listen(environment: dict[str, str], target: str) -> None:
    assert own_target(environment) == target


def test_a_command_calls_the_server_that_the_environment_names() -> None:
    assert "127.0.0.1:1" in _run("healthcheck", MARKETD_PORT="1")[1][0]
    assert _run("healthcheck", "--target", "127.0.0.1:2", MARKETD_PORT="70000")[0] == 1
    for command in (["healthcheck"], ["demo"], ["token", "--login", "a@shop.example"]):
        code, errors, _ = _run(*command, MARKETD_PORT="70000")
        assert (code, len(errors)) == (2, 1)
        assert errors[0].startswith("marketd: MARKETD_PORT 70000 is no port")


@pytest.mark.parametrize("more", [[], ["--json"], ["--watch"]])
def test_a_story_that_did_not_hold_and_a_watch_of_nothing_end_with_1(more: list[str]) -> None:
    nobody = ["--target", "127.0.0.1:1", "--admin-email", "boss@shop.example", "--admin-password", "wrong"]
    assert _run("demo", *nobody, *more)[0] == 1


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:70000", "127.0.0.1:0", "[::1]:65536", "dns:shop.example:70000", "ipv4:127.0.0.1:7,127.0.0.1:70000"],
)
def test_a_port_that_is_none_is_no_other_ones(target: str) -> None:
    for command in (["healthcheck"], ["demo"], ["token", "--login", "a@shop.example"]):
        code, errors, _ = _run(*command, "--target", target)
        assert (code, len(errors)) == (2, 1)
        assert "ports go from 1 to 65535" in errors[0]


@pytest.mark.parametrize("imported", ["typer", "marketd.commands.token", "marketplace_client"])
def test_ctrl_c_while_it_starts_ends_it_quietly(imported: str) -> None:
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where a shell started us with &
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {imported!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.argv = ['marketd', 'token', '--login', 'a@shop.example', '--target', '127.0.0.1:1']\n"
        "from marketd.__main__ import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], input="secret", capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


def test_ctrl_c_ends_whatever_a_command_does_quietly() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    app = typer.Typer()
    app.command()(_ending_quietly(interrupted))
    ran = CliRunner().invoke(app, [])
    assert (ran.exit_code, ran.output) == (130, "")


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
        "marketd: 2 settings come from .env: MARKETD_LEASE, MARKETD_SECRET.",
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


def test_what_comes_out_of_a_pipe_can_be_read_twice() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as into:
        into.write(b"Handle,Title\n")
    with os.fdopen(reading, "rb") as pipe, whole(pipe) as file:
        for _ in range(2):
            file.seek(0)
            assert file.read() == b"Handle,Title\n"
