"""A pytest plugin: whatever is said while a test runs passes the canaries, and a secret in it fails that test.

Logs are what ends up on standard output and standard error, as rendered as an operator would get them; pytest has
captured them already, those of child processes too. Errors are read as clients get them, where grpc makes the
exception. What a child process says into a pipe is read where `subprocess` hands it over. The pipes that are read
line by line (tests/worlds/served.py) bring their lines themselves. With `-s` pytest captures nothing, and logs go
unread.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Generator
from typing import Any

import grpc
import pytest
from marketd.process import logs
from structlog.testing import LogCapture

from tests.canaries import WATCH, status_text

_taps = pytest.MonkeyPatch()


def pytest_configure(config: pytest.Config) -> None:
    """Log as a server does, at every level, and listen."""
    logs.configure("debug", "json")
    _tap(grpc.aio.AioRpcError, "__init__", _errors)
    _tap(subprocess.Popen, "communicate", _pipes)
    _tap(LogCapture, "__call__", _captures)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave everything as it was."""
    _taps.undo()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that gave a secret away has failed, whatever it found out itself."""
    report = yield
    for title, text in report.sections:
        # A later phase's report repeats the sections of those before.
        if title.endswith(f" {report.when}"):
            WATCH.notice(text, title)
    if hits := WATCH.drain():
        words = "\n".join(dict.fromkeys(map(str, hits)))
        if report.outcome == "failed":
            report.sections.append(("secrets given away", words))
        else:
            report.outcome, report.longrepr = "failed", words
        report.sections = [(title, WATCH.masked(text)) for title, text in report.sections]
    if report.when == "teardown":
        WATCH.forget_codes()
    return report


def _tap(owner: type, name: str, tapped: Callable[[Any], Any]) -> None:
    _taps.setattr(owner, name, tapped(getattr(owner, name)))


def _errors(begin: Any) -> Any:
    """Every status that a client of grpc.aio gets, with its rich details and all of its metadata."""

    def init(self: grpc.aio.AioRpcError, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        pairs = [*(self.initial_metadata() or ()), *(self.trailing_metadata() or ())]
        WATCH.notice(status_text(self.details(), pairs), "a status that a client got")

    return init


def _pipes(communicate: Any) -> Any:
    """What a child process has said, where `subprocess.run` and others collect it."""

    def tapped(self: subprocess.Popen[Any], *arguments: Any, **named: Any) -> Any:
        said = communicate(self, *arguments, **named)
        for text in said:
            if text:
                words = text if isinstance(text, str) else text.decode(errors="replace")
                WATCH.notice(words, f"the output of {_program(self.args)}")
        return said

    return tapped


def _captures(take: Any) -> Any:
    """Events that a test takes away with `capture_logs`, which otherwise nobody would see rendered."""

    def tapped(self: LogCapture, logger: Any, method: str, event: Any) -> Any:
        WATCH.notice("\n".join(f"{key}: {value}" for key, value in event.items()), "a log event")
        return take(self, logger, method, event)

    return tapped


def _program(arguments: Any) -> str:
    """The program and its first arguments; what comes later may be secret by right."""
    words = [arguments] if isinstance(arguments, str | bytes) else list(arguments)
    return WATCH.masked(" ".join(str(word)[:40] for word in words[:4]))
