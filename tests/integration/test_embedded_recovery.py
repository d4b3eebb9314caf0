"""The embedded PostgreSQL against kills: any process may die at any moment, no orphan stays, no committed row is lost.

These tests start servers of their own; nothing here uses the run's shared one.
"""

import contextlib
import json
import multiprocessing
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import pytest
from marketd.embedded import (
    DataDirectoryInUseError,
    EmbeddedPostgres,
    wire,
)
from marketd.embedded.accounts import Account, choose_account, reaches
from marketd.embedded.binaries import find_binaries
from marketd.embedded.home import Home, make_private, opened_for, remove_borrowed, socket_in
from marketd.embedded.leftovers import processes_of
from marketd.embedded.parameters import server_options
from marketd.embedded.parent import spawn

from tests.canaries import WATCH

# Another process with a database: it does what each line says and answers with one line of JSON.
PEER = """
import json, os, sys
from pathlib import Path
from marketd.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
for line in sys.stdin:
    done = getattr(postgres, line.strip())()
    print(json.dumps({"done": done, "attached": postgres.attached, "pid": postgres.postmaster_pid}), flush=True)
"""

GUARDED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where a shell started us with &, and sleep would inherit that
from marketd.embedded.accounts import Account
from marketd.embedded.parent import Guardian, spawn
me = Account("me", os.geteuid(), os.getegid())
child = spawn(["sleep", "60"], me)
guardian = Guardian(child.pid, me)
print(child.pid, guardian.pid, flush=True)
if sys.argv[1] == "dismiss":
    guardian.dismiss()
    print(child.poll(), flush=True)
sys.stdin.read()
"""

# A process on its way out: it has no title that would show whose it is, and still has the server's shared memory.
HOLDER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
print(libc.shmat(int(sys.argv[1]), None, 0) != ctypes.c_void_p(-1).value, flush=True)
sys.stdin.read()
"""


class Peer:
    """A process of its own that may own or share a cluster."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PEER, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.defpath},
        )

    def tell(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        WATCH.notice(line, "the output of a peer")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, order: str) -> dict[str, Any]:
        self.tell(order)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def sql(postgres: EmbeddedPostgres | Path, statement: str) -> list[wire.Row]:
    home = postgres if isinstance(postgres, Path) else postgres.home.root
    where = Home(home.resolve())
    return wire.query(socket_in(where.socket_dir(choose_account(where.data))), "postgres", statement)


def wait_until_gone(pid: int, timeout_seconds: float = 10) -> None:
    """Wait for the end of a process that need not be our child."""
    if sys.platform != "linux":
        deadline = time.monotonic() + timeout_seconds
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.kill(pid, 0)
                time.sleep(0.01)
            pytest.fail(f"process {pid} still runs")
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([handle], [], [], timeout_seconds)
        assert ended, f"process {pid} still runs"
    finally:
        os.close(handle)


def wait_until_none_serves(home: Path, timeout_seconds: float = 10) -> None:
    """Wait until neither a postmaster nor a backend of the cluster is left, orphans included."""
    where = Home(home.resolve())
    name, account = where.cluster_name(), choose_account(where.data)
    deadline = time.monotonic() + timeout_seconds
    while alive := processes_of(name, account):
        assert time.monotonic() < deadline, f"orphans: {alive}"
        wait_until_gone(alive[0].pid, timeout_seconds)


def untied_server(home: Home, *, named: bool) -> subprocess.Popen[bytes]:
    """A server on the cluster that nobody owns: an orphan of ours (named), or one started by hand."""
    account = choose_account(home.data)
    options = server_options(socket_dir=home.socket_dir(account), cluster_name=home.cluster_name(), durable=False)
    if not named:
        del options["cluster_name"]
    make_private(home.socket_dir(account), account)
    with opened_for(account, home.data) as (name, descriptors):
        argv: list[str | Path] = [find_binaries().postgres, "-D", name]
        for key, value in options.items():
            argv += ["-c", f"{key}={value}"]
        server = spawn(argv, account, pass_fds=descriptors)
    while not home.is_ready(server.pid):
        assert server.poll() is None
        time.sleep(0.01)
    return server


def own_as(account: Account, home: Path, answer: Connection) -> None:
    """Start the server as another user and keep it until killed."""
    os.chdir("/")
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    postgres = EmbeddedPostgres(home)
    postgres.start()
    answer.send(postgres.postmaster_pid)
    signal.pause()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A place for a cluster, removed with the socket folder that a killed owner may have left in /tmp."""
    home = tmp_path / "pg"
    yield home
    where = Home(home)
    remove_borrowed(where.socket_dir(choose_account(where.data)), where)
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


def test_a_killed_postmaster_is_started_again_with_every_committed_row(running: EmbeddedPostgres, home: Path) -> None:
    sql(running, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    killed = running.postmaster_pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    while not running.ensure_running():
        pass
    assert running.postmaster_pid not in {None, killed}
    assert not running.attached
    assert sql(running, "SELECT count(*) FROM kept") == [("1000",)]


def test_backends_that_outlive_a_killed_postmaster_do_not_stop_the_next_start(
    running: EmbeddedPostgres, home: Path
) -> None:
    sql(running, "CREATE TABLE kept AS SELECT 1 AS n")
    busy = "DO $$ BEGIN PERFORM count(*) FROM generate_series(1, 1000000000000); END $$"
    errors: list[Exception] = []

    def work() -> None:
        try:
            sql(home, busy)
        except (OSError, wire.ServerRefusedError) as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    active = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'"
    while not (found := sql(running, active)):
        assert worker.is_alive()
    backend = int(found[0][0] or 0)
    # Frozen, it cannot notice that its postmaster is gone.
    os.kill(backend, signal.SIGSTOP)
    assert running.postmaster_pid is not None
    os.kill(running.postmaster_pid, signal.SIGKILL)
    while not running.ensure_running():
        pass
    wait_until_gone(backend)
    worker.join(10)
    assert errors
    assert sql(running, "SELECT n FROM kept") == [("1",)]


def test_memory_that_an_ending_process_still_holds_is_waited_for(running: EmbeddedPostgres, home: Path) -> None:
    sql(running, "CREATE TABLE kept AS SELECT 7 AS n")
    _key, segment = (home / "data" / "postmaster.pid").read_text().splitlines()[6].split()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, segment], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"

        def end_the_holder_once_it_hindered() -> None:
            while "pre-existing shared memory block" not in running.home.log.read_text():
                time.sleep(0.01)
            holder.kill()

        ending = threading.Thread(target=end_the_holder_once_it_hindered, daemon=True)
        ending.start()
        assert running.postmaster_pid is not None
        os.kill(running.postmaster_pid, signal.SIGKILL)
        while not running.ensure_running():
            pass
        ending.join(10)
        assert not ending.is_alive(), "the memory hindered no start: the test shows nothing"
    assert sql(running, "SELECT n FROM kept") == [("7",)]


def test_a_killed_owner_leaves_no_orphan_and_its_data_starts_again(home: Path) -> None:
    with Peer(home) as owner:
        assert owner.ask("start")["attached"] is False
        sql(home, "CREATE TABLE kept AS SELECT 5 AS n")
        owner.kill()
        wait_until_none_serves(home)
    with EmbeddedPostgres(home) as postgres:
        assert sql(postgres, "SELECT n FROM kept") == [("5",)]


def test_owner_and_postmaster_killed_together_leave_nothing_that_hinders(home: Path) -> None:
    with Peer(home) as owner:
        pid = owner.ask("start")["pid"]
        sql(home, "CREATE TABLE kept AS SELECT 5 AS n")
        os.kill(pid, signal.SIGKILL)
        owner.kill()
    with EmbeddedPostgres(home) as postgres:
        assert sql(postgres, "SELECT n FROM kept") == [("5",)]


def test_two_processes_that_start_at_once_share_one_server_and_the_attached_one_takes_over(home: Path) -> None:
    with Peer(home) as one, Peer(home) as two:
        one.tell("start")
        two.tell("start")
        answers = [(one.answer(), one), (two.answer(), two)]
        assert len({answer["pid"] for answer, _ in answers}) == 1
        (owner,) = (peer for answer, peer in answers if not answer["attached"])
        (guest,) = (peer for answer, peer in answers if answer["attached"])
        sql(home, "CREATE TABLE kept AS SELECT 9 AS n")

        assert guest.ask("stop")["pid"] is None
        assert sql(home, "SELECT n FROM kept") == [("9",)]
        assert guest.ask("start")["attached"] is True

        owner.kill()
        while not (taken := guest.ask("ensure_running"))["done"]:
            pass
        assert taken["attached"] is False
        assert taken["pid"] != answers[0][0]["pid"]
        assert sql(home, "SELECT n FROM kept") == [("9",)]
    wait_until_none_serves(home)


def test_an_orphaned_server_is_ended_and_its_data_taken_over(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False) as postgres:
        sql(postgres, "CREATE TABLE kept AS SELECT 3 AS n")
    orphan = untied_server(Home(home), named=True)
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert orphan.wait(5) == 0
        assert not postgres.attached
        assert sql(postgres, "SELECT n FROM kept") == [("3",)]
    by_hand = untied_server(Home(home), named=False)
    with pytest.raises(DataDirectoryInUseError, match=f"process {by_hand.pid} "):
        EmbeddedPostgres(home).start()
    assert by_hand.poll() is None
    by_hand.send_signal(signal.SIGINT)
    by_hand.wait(10)


def test_a_process_id_that_now_belongs_to_somebody_else_is_no_server(home: Path) -> None:
    EmbeddedPostgres(home, durable=False).__enter__().stop()
    account = choose_account(home / "data")
    stranger = spawn(["sleep", "60"], account)
    pid_file = home / "data" / "postmaster.pid"
    pid_file.write_text(f"{stranger.pid}\n{home / 'data'}\n1\n5432\n{home / 'run'}\n\n  12345  67\nready   \n")
    socket = socket_in(Home(home).socket_dir(account))
    socket.parent.mkdir(exist_ok=True)
    socket.with_name(socket.name + ".lock").write_text(f"{stranger.pid}\n{home / 'data'}\n1\n5432\n\n")
    try:
        with EmbeddedPostgres(home, durable=False) as postgres:
            assert sql(postgres, "SELECT 1") == [("1",)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_initdb_that_was_killed_half_way_is_begun_again(home: Path) -> None:
    with Peer(home) as owner:
        owner.tell("start")
        while not any(home.glob("initdb-*/PG_VERSION")):
            assert owner.process.poll() is None
        owner.kill()
    assert not (home / "data").exists()
    (home / "initdb-left").mkdir()
    (home / "data").mkdir()
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert sql(postgres, "SELECT 1") == [("1",)]
    EmbeddedPostgres(home, durable=False).__enter__().stop()
    assert not list(home.glob("initdb-*"))


def test_an_ordinary_user_starts_it_and_root_starts_that_cluster_again(open_folder: Path, nobody: Account) -> None:
    if not reaches(nobody, find_binaries().postgres):
        pytest.skip("the installed PostgreSQL is closed to an ordinary user")
    os.chown(open_folder, nobody.uid, nobody.gid)
    home = open_folder / "pg"
    answers, answer = multiprocessing.Pipe(duplex=False)
    # A fork, not a new interpreter: that one may lie in a folder of root's.
    owner = multiprocessing.get_context("fork").Process(target=own_as, args=(nobody, home, answer))
    owner.start()
    try:
        assert answers.poll(30)
        pid = answers.recv()
        assert pid in {process.pid for process in processes_of(Home(home).cluster_name(), nobody)}
        sql(home, "CREATE TABLE kept AS SELECT 4 AS n")
    finally:
        owner.kill()
        owner.join()
    wait_until_none_serves(home)
    with EmbeddedPostgres(home) as postgres:
        assert sql(postgres, "SELECT n FROM kept") == [("4",)]


@pytest.mark.parametrize("end", ["kill", "dismiss"])
def test_where_the_kernel_cannot_a_guardian_ends_the_child_of_a_killed_process(end: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GUARDED, end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.defpath},
    ) as owner:
        assert owner.stdout is not None
        child, guardian = map(int, owner.stdout.readline().split())
        if end == "dismiss":
            assert owner.stdout.readline() == "None\n"
            wait_until_gone(guardian)
            os.kill(child, signal.SIGKILL)
        owner.kill()
        wait_until_gone(child)
        wait_until_gone(guardian)
