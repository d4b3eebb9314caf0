"""Commands on a database that is not there, not migrated or not marketd's: a line, exit code 2, nothing is made."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from marketd.cli import _COMMANDS, application
from marketd.embedded import EmbeddedPostgres
from marketd.kernel.values.ids import new_id
from marketd.schema import revision
from marketd.schema.check import in_words
from typer.testing import CliRunner

from tests.canaries import MARK
from tests.run_postgres import Databases

# They speak to a server or to nobody; `serve` brings a database of its own, and has its own tests below.
WITHOUT_DATABASE = {"bench", "demo", "descriptors", "gateway", "healthcheck", "openapi", "policy", "serve", "token"}
ARGUMENTS = {
    "check": [],
    "create-admin": ["--email", "boss@shop.example", "--password-stdin"],
    "disable-totp": ["--login", "boss@shop.example"],
    "export-products": ["--seller", "shop"],
    "import-products": [__file__, "--seller", "shop"],
    "keys": ["rotate"],
    "migrate": [],
    "reindex": [],
    "worker": [],
}
# `worker` looks at its database in a process of its own.
IN_PROCESS = sorted(ARGUMENTS.keys() - {"worker"})


def test_every_command_is_in_the_table() -> None:
    assert _COMMANDS.keys() - WITHOUT_DATABASE == ARGUMENTS.keys()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in which nothing is."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MARKETD_") and name != "MARKETD_ENV_FILE"]:
        monkeypatch.delenv(name)
    return tmp_path


@dataclass(frozen=True)
class Places:
    """Databases that no command but `migrate` can use, by what is wrong with them."""

    postgres: EmbeddedPostgres
    empty: str

    @property
    def not_migrated(self) -> str:
        """Nothing is in it."""
        return self.postgres.dsn(self.empty)

    @property
    def missing(self) -> str:
        """The server has none of this name."""
        return self.postgres.dsn("nobody-made-this")

    @property
    def refused(self) -> str:
        """The server does not know the user."""
        return self.not_migrated.replace("postgres@", f"stranger:{MARK}@")

    @property
    def unreachable(self) -> str:
        """Nobody listens there."""
        return f"postgresql://someone:{MARK}@127.0.0.1:1/market"

    @property
    def unreadable(self) -> str:
        """No URL that the driver takes."""
        return f"postgresql://someone:{MARK}@127.0.0.1:port/market"

    @property
    def others(self) -> str:
        """Another application's, which does not migrate as we do."""
        asyncio.run(_execute(self.not_migrated, "CREATE TABLE theirs (id int)"))
        return self.not_migrated

    @property
    def others_migrated(self) -> str:
        """Another application's, which migrates with the same tool."""
        asyncio.run(_execute(self.not_migrated, "CREATE TABLE alembic_version (version_num text)"))
        asyncio.run(_execute(self.not_migrated, "INSERT INTO alembic_version VALUES ('ae1027a6acf0')"))
        return self.not_migrated

    def tables(self) -> list[str]:
        """What is in the empty one by now."""
        rows = asyncio.run(_execute(self.not_migrated, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"))
        return [row["relname"] for row in rows if not row["relname"].startswith(("pg_", "sql_"))]


async def _execute(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


@pytest.fixture
def places(postgres: EmbeddedPostgres, databases: Databases) -> Iterator[Places]:
    """An empty database, and ways to miss it."""
    name = f"test_{new_id().hex}"
    postgres.ensure_database(name)
    yield Places(postgres, name)
    databases.remove(name)


def _run(command: str, url: str | None) -> tuple[int, str]:
    """The exit code, and the one line on standard error; nothing may stand on standard output."""
    environment = {"MARKETD_DATABASE_URL": url} if url is not None else {}
    arguments = [command, *ARGUMENTS[command]]
    ran = CliRunner(env=environment).invoke(application(arguments), arguments, input=f"a password {MARK}\n")
    assert not isinstance(ran.exception, Exception), ran.exception
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("marketd: ")
    assert MARK not in line
    return ran.exit_code, line


@pytest.mark.parametrize("command", ARGUMENTS)
def test_where_no_database_is_none_is_made(command: str, folder: Path) -> None:
    code, line = _run(command, None)
    assert code == 2
    assert f"there is no database in {folder / '.marketd' / 'postgres'}; run it in the folder in which the " in line
    assert "MARKETD_DATA_DIR or MARKETD_DATABASE_URL" in line
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", IN_PROCESS)
def test_a_database_that_does_not_fit_is_said_in_a_line_and_left_alone(command: str, places: Places) -> None:
    cases: list[tuple[Callable[[Places], str], str]] = [
        (lambda places: places.missing, "has no database of that name"),
        (lambda places: places.refused, "refuses the user or the password"),
        (lambda places: places.unreachable, "does not answer (ConnectionRefusedError)"),
        (lambda places: places.unreadable, "cannot be used as it stands"),
    ]
    if command != "migrate":
        cases += [(lambda places: places.not_migrated, "is at nothing and this version needs")]
    for url, words in cases:
        code, line = _run(command, url(places))
        assert code == 2
        assert words in line
    assert places.tables() == []
    code, line = _run(command, places.others)
    assert (code, "it is another application's" in line) == (2, True)
    code, line = _run(command, places.others_migrated)
    assert (code, "which is no revision of marketd's" in line) == (2, True)
    assert sorted(places.tables()) == ["alembic_version", "theirs"]


def test_a_wrong_password_is_told_apart_from_a_server_that_is_away() -> None:
    assert "refuses the user or the password" in in_words(asyncpg.InvalidPasswordError(f"no {MARK}"))


def test_migrating_an_empty_database_makes_the_schema(places: Places) -> None:
    environment = {"MARKETD_DATABASE_URL": places.not_migrated}
    behind = ["migrate", "--check"]
    ran = CliRunner(env=environment).invoke(application(behind), behind)
    assert (ran.exit_code, ran.stdout) == (1, f"database: empty, this version: {revision.head()}\n")
    ran = CliRunner(env=environment).invoke(application(["migrate"]), ["migrate"])
    assert (ran.exit_code, ran.stdout) == (0, f"Schema: empty → {revision.head()}.\n")


def test_a_folder_that_is_none_is_said_in_a_line(folder: Path) -> None:
    (folder / ".marketd").write_text("a file")
    for command in ARGUMENTS:
        code, line = _run(command, None)
        assert (code, "there is no database in" in line) == (2, True)
    ran = _serve("serve", "--port", "0")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)
    assert "the embedded database cannot use" in ran.stderr


def test_workers_that_all_refuse_a_database_say_so_once(places: Places) -> None:
    ran = _serve("serve", "--port", "0", "--workers", "2", MARKETD_DATABASE_URL=places.not_migrated)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)
    assert "SERVING" not in ran.stdout
    assert "is at nothing and this version needs" in ran.stderr


def test_a_worker_that_cannot_work_says_why(places: Places) -> None:
    ran = _serve("worker", MARKETD_DATABASE_URL=places.missing)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)
    assert "SERVING" not in ran.stdout
    assert "has no database of that name" in ran.stderr


def _serve(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "marketd", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
