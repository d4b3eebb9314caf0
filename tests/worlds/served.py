"""A real `marketd serve` as a subprocess: started on a free port with its own database, watched, hurt and ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marketd.embedded.accounts import choose_account
from marketd.embedded.home import Home, remove_borrowed
from marketd.kernel.db.failpoints import Failpoints

from tests.canaries import MARK, WATCH
from tests.canary_looks import Tail
from tests.worlds import processes
from tests.worlds.processes import Process
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD

START_SECONDS = 60.0
BACK_SECONDS = 30.0

DEMO_SHOWN = re.compile("Ctrl-C ends everything")
"""The last line of what `serve --demo` shows a newcomer."""

_SERVING = re.compile(r"SERVING on \S+:(\d+) after ([\d.]+) s")
_GATEWAY = re.compile(r"The gateway serves(?: again)? on https?://\S+:(\d+): .*process (\d+)")
_WORKER_BACK = re.compile(r"Worker \d+ serves again \(process (\d+); metrics: (\S+)\)")
_WORKERS = re.compile(r"\(workers: ([\d, ]+); metrics: ([^)]+)\)")


class Served:
    """One server with its data directory; it may be started again after its end."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        settings: Mapping[str, str] | None = None,
        demo: bool = False,
        gateway: bool = False,
    ) -> None:
        self.folder = folder
        self._mode = [*(["--demo"] if demo else []), *(["--gateway"] if gateway else [])]
        self.data = folder / "data"
        armed = folder / "failpoints"
        armed.mkdir(exist_ok=True)
        self.failpoints = Failpoints(armed)
        self.lines: list[str] = []
        self.port = 0
        self.gateway_port = 0
        self.start_seconds = 0.0
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MARKETD_")},
            "MARKETD_ENV": "test",
            "MARKETD_ENV_FILE": "",
            "MARKETD_DATA_DIR": str(self.data),
            "MARKETD_MEDIA_DIR": str(folder / "media"),
            "MARKETD_BCRYPT_COST": "4",
            "MARKETD_FETCH_PICTURES": "false",
            "MARKETD_WORKERS": str(workers),
            "MARKETD_FAILPOINTS": str(armed),
            # A dead leader's work is taken over within a second.
            "MARKETD_LEASE": "PT1S",
            "MARKETD_JOB_LEASE": "PT3S",
            "MARKETD_DRAIN_SECONDS": "5",
            # Counting by address makes Envoy start a second later.
            "MARKETD_GATEWAY_CONNECTIONS_OF_ADDRESS": "0",
            "MARKETD_LOG_FORMAT": "json",
            "MARKETD_ACCESS_LOG": "true",
            "MARKETD_SECRET": f"the secret of the tests {MARK}",
            "MARKETD_PASSWORD_PEPPER": f"the pepper of the tests {MARK}",
            **(settings or {}),
        }
        self._workers = workers
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._heard = threading.Condition()
        self._errors = folder / "errors.log"
        self._tails = (
            Tail(self._errors, "standard error of marketd serve"),
            Tail(Home((self.data / "postgres").resolve()).log, "the log of its PostgreSQL"),
        )

    # -- its life

    def start(self) -> None:
        """Start it and wait until every worker serves; the same port as before when it is started again."""
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "marketd", "serve", "--port", str(self.port), *self._ports(), *self._mode],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        heard = len(self.lines)
        self._reader = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._reader.start()
        serving = self.wait_for(_SERVING, since=heard, seconds=START_SECONDS)
        self.port = int(serving[1])
        self.start_seconds = float(serving[2])
        if "--gateway" in self._mode:
            self.gateway_port = int(self.wait_for(_GATEWAY, since=heard, seconds=START_SECONDS)[1])

    @property
    def gateway_pid(self) -> int:
        """The process of the gateway that serves now."""
        with self._heard:
            said = [found for line in self.lines if (found := _GATEWAY.search(line))]
        return int(said[-1][2])

    def _ports(self) -> list[str]:
        return ["--gateway-port", str(self.gateway_port)] if "--gateway" in self._mode else []

    def stop(self) -> None:
        """End it in order and see that nothing of it stays."""
        if self._process is None:
            return
        family = self.tree()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._join()
        left = processes.wait_until_ended(family, 5)
        for process in left:
            os.kill(process.pid, signal.SIGKILL)
        assert not left, f"these outlived their server: {left}"

    def kill_supervisor(self) -> list[Process]:
        """Kill the supervisor as nothing can prevent; the processes that were its tree."""
        assert self._process is not None
        family = self.tree()
        self._process.kill()
        self._process.wait()
        self._join()
        return family

    def forget(self) -> None:
        """Remove what a killed owner may have left outside of the data directory."""
        home = Home((self.data / "postgres").resolve())
        remove_borrowed(home.socket_dir(choose_account(home.data)), home)

    # -- what it says

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                WATCH.notice(line, "standard output of marketd serve")
                with self._heard:
                    self.lines.append(line.rstrip("\n"))
                    self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join(5)
        self._process = None

    def mark(self) -> int:
        """How much it has said so far; see `wait_for`."""
        with self._heard:
            return len(self.lines)

    def wait_for(self, pattern: re.Pattern[str], *, since: int = 0, seconds: float = BACK_SECONDS) -> re.Match[str]:
        """Wait until it has said a line that matches, after the mark `since`."""
        end = time.monotonic() + seconds
        with self._heard:
            while True:
                for line in self.lines[since:]:
                    if (match := pattern.search(line)) is not None:
                        return match
                left = end - time.monotonic()
                ended = self._process is None or self._process.poll() is not None
                assert left > 0, f"nothing like {pattern.pattern!r} within {seconds} s:\n{self.words()}"
                assert not ended, f"the server ended:\n{self.words()}"
                self._heard.wait(min(left, 0.5))

    def words(self) -> str:
        """What it said and logged last, for a failed assertion; retries and calls, of which there are many, apart."""
        logged = self._errors.read_text().splitlines() if self._errors.exists() else []
        telling = [line for line in logged if '"transaction_retry"' not in line and '"event":"rpc"' not in line]
        return "\n".join([*self.lines[-20:], *telling[-40:]])

    def wait_for_worker(self, since: int, seconds: float = BACK_SECONDS) -> int:
        """Wait until a worker serves that was started in another's place; its process id."""
        return int(self.wait_for(_WORKER_BACK, since=since, seconds=seconds)[1])

    # -- its processes

    def tree(self) -> list[Process]:
        """All its living processes: supervisor, workers, PostgreSQL."""
        assert self._process is not None
        return processes.tree(self._process.pid)

    def workers(self) -> list[Process]:
        """The living serving processes."""
        return [process for process in self.tree() if " marketd.worker " in f"{process.command} "]

    def wait_until_whole(self, seconds: float = BACK_SECONDS) -> None:
        """Wait until as many workers serve as were asked for."""
        end = time.monotonic() + seconds
        while True:
            with self._heard:
                serving = self._serving()
                if sum(worker.pid in serving for worker in self.workers()) == self._workers:
                    return
                assert time.monotonic() < end, f"not every worker serves after {seconds} s:\n{self.words()}"
                self._heard.wait(0.5)

    def metrics(self) -> dict[int, str]:
        """The text of each living worker's metrics, by process id."""
        urls = self._serving()
        texts = {}
        for worker in self.workers():
            with urllib.request.urlopen(urls[worker.pid], timeout=5) as answer:  # noqa: S310 - loopback http, our own
                texts[worker.pid] = answer.read().decode()
        return texts

    def _serving(self) -> dict[int, str]:
        """Where the metrics are of every process that ever served, by its id."""
        urls: dict[int, str] = {}
        for line in list(self.lines):
            if (first := _WORKERS.search(line)) is not None:
                pids = [int(pid) for pid in first[1].split(",")]
                urls.update(zip(pids, first[2].split(", "), strict=True))
            elif (back := _WORKER_BACK.search(line)) is not None:
                urls[int(back[1])] = back[2]
        return urls

    def postmaster(self) -> Process:
        """Its PostgreSQL."""
        number = Home((self.data / "postgres").resolve()).postmaster_pid()
        return next(process for process in self.tree() if process.pid == number)

    def database_processes(self) -> list[Process]:
        """The postmaster and all of its children."""
        return processes.tree(self.postmaster().pid)

    @property
    def database_url(self) -> str:
        """Where its database answers, before and after every restart."""
        home = Home((self.data / "postgres").resolve())
        return f"postgresql://postgres@/marketplace?host={home.socket_dir(choose_account(home.data))}&port=5432"

    def database_log(self) -> str:
        """All that its PostgreSQL has said."""
        return Home((self.data / "postgres").resolve()).log.read_text(errors="replace")

    def look(self) -> None:
        """Look for secrets in what it and its PostgreSQL have logged since the last look."""
        for tail in self._tails:
            tail.look()

    # -- commands beside it

    def command(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `marketd …` with the same settings, failpoints apart."""
        environment = {key: value for key, value in self._environment.items() if key != "MARKETD_FAILPOINTS"}
        return subprocess.run(
            [sys.executable, "-m", "marketd", *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def create_admin(self) -> None:
        """Make the administrator of the tests."""
        made = self.command("create-admin", "--email", ADMIN_EMAIL, "--password-stdin", stdin=f"{ADMIN_PASSWORD}\n")
        assert made.returncode == 0, made.stderr

    def check(self) -> dict[str, Any]:
        """What `marketd check --json` says; asserts that every invariant holds."""
        done = self.command("check", "--json")
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["ok"] is True
        return document
