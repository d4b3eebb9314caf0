"""The processes under measure: the real server as `marketd serve` runs it, and the floors beside it.

Each has its own folder and free ports, and none reads this process' MARKETD_ settings.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_SERVING = re.compile(r"^SERVING on (\S+:\d+) after .*\(workers: ([\d, ]+);", re.MULTILINE)
_GATEWAY = re.compile(r"^The gateway serves on https?://(\S+:\d+): .*\(process (\d+)\)", re.MULTILINE)
_FLOOR = re.compile(r"^FLOOR on (\S+:\d+)$", re.MULTILINE)
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0

# What a production server does for each call, with the limits of a development one: the load comes from one address.
SETTINGS: Mapping[str, str] = {
    "MARKETD_ENV_FILE": "",
    "MARKETD_HOST": "127.0.0.1",
    "MARKETD_PORT": "0",
    "MARKETD_WORKERS": "1",
    "MARKETD_LOG_LEVEL": "WARNING",
    "MARKETD_LOG_FORMAT": "json",
    "MARKETD_ACCESS_LOG": "true",
    "MARKETD_CHANNELZ": "false",
    "MARKETD_REFLECTION": "false",
    "MARKETD_BCRYPT_COST": "4",  # sign-ins prepare the load; none is measured
    "MARKETD_POSITION_RATE_HZ": "1000000",  # a courier here sends as fast as it is acknowledged
    "MARKETD_MAX_STREAMS_OF_ACCOUNT": "2000",  # all watchers of the fan-out are one buyer's
    "MARKETD_FETCH_PICTURES": "false",  # those of its made-up shops are nowhere, and the tries would be counted
    "MARKETD_DRAIN_SECONDS": "1",
}


class ServerFailed(Exception):
    """A process that could not be started or ended by itself; the message has the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started process: where it listens, and the processes whose time is counted."""

    name: str
    target: str
    pids: tuple[int, ...]
    process: subprocess.Popen[bytes]
    output: Path

    def gateway(self) -> tuple[str, int]:
        """The address and the process of the gateway beside it, once that serves. Raises ServerFailed."""
        found = _await_line("the gateway", self.process, self.output, _GATEWAY)
        return found[1], int(found[2])

    def stop(self) -> None:
        """End it; kill it when it takes too long."""
        _stop(self.process)


def settings_environment(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server that knows nothing of this one's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MARKETD_", "GRPC_"))}
    return {**kept, **SETTINGS, "MARKETD_DATA_DIR": str(folder / "data"), **extra}


@dataclass(frozen=True, slots=True)
class Starting:
    """A server that was started and may not serve yet."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    def wait(self) -> Running:
        """Wait until it serves. Raises ServerFailed."""
        found = _await_line(self.name, self.process, self.output, _SERVING)
        workers = tuple(int(pid) for pid in found[2].split(","))
        return Running(self.name, found[1], workers, self.process, self.output)

    def stop(self) -> None:
        """End it, whether it serves or not; kill it when it takes too long."""
        _stop(self.process)


def start_server(
    name: str, folder: Path, extra: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> Starting:
    """Start `marketd serve`."""
    command = [sys.executable, "-m", "marketd.bench.guarded", str(os.getpid())]
    command += [sys.executable, "-m", "marketd", "serve", *arguments]
    return Starting(name, *_start(name, command, folder, settings_environment(folder, extra or {})))


def start_floors(folder: Path, plan: Path, dsn: str, like: Running) -> dict[str, Running]:
    """Start the default and the tuned floor; the tuned one has the poller setting of `like`'s worker."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("MARKETD_", "GRPC_"))}
    ours = psutil.Process(like.pids[0]).environ()
    tuned = {**bare, **{key: value for key, value in ours.items() if key.startswith("GRPC_")}}
    started = {}
    for variant, environment in (("default", bare), ("tuned", tuned)):
        command = [sys.executable, "-m", "marketd.bench.floor", "--plan", str(plan), "--dsn", dsn]
        command += ["--variant", variant, "--parent", str(os.getpid())]
        started[variant] = _start(f"floor-{variant}", command, folder, environment)
    try:
        return {
            variant: Running(
                f"floor-{variant}", _await_line(variant, process, output, _FLOOR)[1], (process.pid,), process, output
            )
            for variant, (process, output) in started.items()
        }
    except ServerFailed:
        for process, _ in started.values():
            process.kill()
            process.wait()
        raise


def complaints(folder: Path) -> list[str]:
    """The last lines that the processes wrote on standard error, the access log's left out: why something failed."""
    found = []
    for path in sorted(folder.glob("*.err")):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("{") or '"level"' in line]
        found += [f"{path.stem}: {line[-3000:]}" for line in lines[-3:]]
    return found


def run_command(arguments: Sequence[str], environment: Mapping[str, str], text: str) -> None:
    """Run a marketd command to its end with `text` on its standard input. Raises ServerFailed."""
    command = [sys.executable, "-m", "marketd", *arguments]
    result = subprocess.run(command, env=dict(environment), input=text, text=True, capture_output=True, check=False)  # noqa: S603 - our own
    if result.returncode:
        raise ServerFailed(f"marketd {arguments[0]} ended with {result.returncode}: {result.stderr[-2000:]}")


def _start(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Path]:
    output = folder / f"{name}.out"
    # Both into files: a full pipe that nobody reads would stop the server.
    with output.open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        process = subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=err)  # noqa: S603 - our own
    return process, output


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_line(name: str, process: subprocess.Popen[bytes], output: Path, line: re.Pattern[str]) -> re.Match[str]:
    end = time.monotonic() + _START_SECONDS
    while (found := line.search(output.read_text())) is None:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            wrote = output.read_text() + output.with_suffix(".err").read_text()
            raise ServerFailed(f"{name} did not start: {wrote[-3000:] or 'it said nothing'}")
        time.sleep(0.02)
    return found
