"""`marketd keys rotate`, run as an operator runs it, beside a server that knows the keys."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest
from marketd.auth.sessions.keys import KeyRing
from marketd.cli import application
from marketd.config import Settings
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import ManualClock, SystemClock
from typer.testing import CliRunner

from tests.canaries import MARK


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def _marketd(url: str, *arguments: str, stdin: str = "", **settings: str) -> Ran:
    """Run a command in this process, on a thread, since it has a loop of its own."""
    environment = {"MARKETD_DATABASE_URL": url, "MARKETD_BCRYPT_COST": "4", **settings}

    def run() -> Ran:
        result = CliRunner().invoke(application(arguments), list(arguments), input=stdin, env=environment)
        return Ran(result.exit_code, result.stdout, result.stderr)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


async def _known(url: str, later: timedelta) -> Sequence[str]:
    """The keys that a server's ring would show so much later, the one that signs first."""
    clock = ManualClock(SystemClock().now() + later)
    engine = create_engine(url, pool_size=1)
    ring = KeyRing(Settings().derive("signing-keys"))
    await ring.load(Transactor(engine, clock))
    await engine.dispose()
    return [key.kid for key in ring.public_keys()]


@pytest.mark.parametrize("compromised", [False, True])
async def test_the_command_makes_a_key_that_servers_take_up(database_url: str, compromised: bool) -> None:
    (old,) = await _known(database_url, timedelta())
    ran = _marketd(database_url, "keys", "rotate", *(["--compromised"] if compromised else []))
    assert ran.returncode == 0, ran.stderr
    kid = ran.stdout.split()[0]
    if compromised:
        assert await _known(database_url, timedelta()) == [kid]
        return
    assert await _known(database_url, timedelta()) == [old, kid]
    assert await _known(database_url, timedelta(minutes=2)) == [kid, old]
    assert await _known(database_url, timedelta(minutes=21)) == [kid]


@pytest.mark.parametrize("options", [[], ["--compromised"]])
async def test_another_secret_than_the_servers_is_refused_in_words_and_the_keys_stay(
    database_url: str, options: list[str]
) -> None:
    before = await _known(database_url, timedelta())
    ran = _marketd(
        database_url, "keys", "rotate", *options, MARKETD_SECRET="quite another secret than the servers have"
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("marketd: The signing keys in the database were sealed with another MARKETD_SECRET")
    assert "set the one that the servers have run with" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, "no traceback"
    assert await _known(database_url, timedelta(minutes=2)) == before


@pytest.mark.parametrize(
    "arguments", [["keys", "rotate"], ["create-admin", "--email", "a@shop.example", "--password-stdin"]]
)
async def test_what_writes_under_the_secrets_refuses_those_that_serve_refuses(
    database_url: str, arguments: list[str]
) -> None:
    before = await _known(database_url, timedelta())
    ran = _marketd(database_url, *arguments, stdin="a password of the operator's\n", MARKETD_ENV="production")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "MARKETD_SECRET is not set" in ran.stderr
    assert "MARKETD_PASSWORD_PEPPER is not set" in ran.stderr
    assert await _known(database_url, timedelta()) == before


async def test_a_rotation_is_in_the_audit_log(database_url: str) -> None:
    kid = _marketd(database_url, "keys", "rotate", "--compromised").stdout.split()[0]
    engine = create_engine(database_url, pool_size=1)
    rows = await Transactor(engine, SystemClock()).read(
        lambda unit: unit.connection.fetch(
            "SELECT actor_kind, resource_type, resource_id, comment FROM audit_entries WHERE method = $1",
            "marketd keys rotate",
        )
    )
    await engine.dispose()
    assert [tuple(row) for row in rows] == [("SYSTEM", "signing_key", kid, "the former keys are worthless at once")]


def test_where_no_terminal_is_the_password_must_come_on_standard_input(database_url: str) -> None:
    ran = _marketd(database_url, "create-admin", "--email", "boss@shop.example")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--password-stdin" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_second_factor_is_removed_by_the_command_line(database_url: str) -> None:
    made = _marketd(
        database_url,
        "create-admin",
        *("--email", "boss@shop.example", "--password-stdin"),
        stdin=f"the operator's own {MARK}\n",
    )
    assert made.returncode == 0
    ran = _marketd(database_url, "disable-totp", "--login", "boss@shop.example")
    assert (ran.returncode, ran.stdout) == (0, "boss@shop.example has no second factor.\n")
    ran = _marketd(database_url, "disable-totp", "--login", "nobody")
    assert ran.returncode == 2
    assert ran.stderr.startswith("marketd: ")


def test_a_database_that_does_not_answer_is_said_in_a_line() -> None:
    ran = _marketd("postgresql://nobody@127.0.0.1:1/nothing", "keys", "rotate")
    assert ran.returncode == 2
    assert ran.stderr.startswith("marketd: the database does not answer")
    assert "Traceback" not in ran.stderr


def test_another_action_is_refused_with_what_there_is(database_url: str) -> None:
    ran = _marketd(database_url, "keys", "polish")
    assert ran.returncode == 2
    assert "rotate" in ran.stderr


def test_a_new_admin_is_told_of_the_second_factor_where_it_is_asked_for(database_url: str) -> None:
    arguments = ("create-admin", "--email", "boss@shop.example", "--password-stdin")
    words = f"the operator's own {MARK}\n"
    assert "EnrollTotp" not in _marketd(database_url, *arguments, stdin=words).stdout
    told = _marketd(database_url, *arguments, stdin=words, MARKETD_ADMIN_TOTP="true")
    assert told.returncode == 0
    assert "EnrollTotp and ConfirmTotp, and sign in again" in told.stdout
