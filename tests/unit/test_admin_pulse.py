"""The gateway's pulse: a listener that answers is alive, one that only takes connections is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from marketd.config import Settings
from marketd.process.supervision import admin_pulse
from marketd.process.supervision.admin_pulse import AdminPulse
from marketd.process.supervision.gateway import GatewayPlace

SERVES = b"HTTP/1.1 200 OK\r\n\r\nLIVE\n"


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(8)
        yield listener


def answer(listener: socket.socket, said: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(65_536).startswith(b"GET /ready HTTP/1.1\r\n")
        connection.sendall(said)


def _is_silent_after(place: GatewayPlace, seconds: float) -> bool:
    for _ in range(round(seconds * 4)):
        place.child.silence.lasted(0.25, is_busy=False)
    return place.child.silence.is_too_long


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_pulse, "BEAT_SECONDS", 0.0)


def test_it_beats_once_for_each_answer(scratch: Path) -> None:
    pulse = AdminPulse(scratch / "admin.sock")
    assert not pulse.beats(1), "there is no socket yet"
    with listening(scratch / "admin.sock") as listener:
        for _ in range(3):
            assert not pulse.beats(1)
            answer(listener, SERVES)
            assert pulse.beats(1)
    pulse.close()


def test_one_that_takes_connections_and_says_nothing_does_not_beat(scratch: Path) -> None:
    pulse = AdminPulse(scratch / "admin.sock")
    with listening(scratch / "admin.sock") as listener:
        assert not any(pulse.beats(1) for _ in range(20))
        answer(listener, b"")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()  # one question was enough
    assert not pulse.beats(1)
    pulse.close()


def test_one_that_does_not_serve_yet_does_not_beat(scratch: Path) -> None:
    pulse = AdminPulse(scratch / "admin.sock")
    with listening(scratch / "admin.sock") as listener:
        assert not pulse.beats(1)
        answer(listener, b"HTTP/1.1 503 Service Unavailable\r\n\r\nINITIALIZING\n")
        assert not pulse.beats(1)
        assert not pulse.beats(1)
        answer(listener, SERVES)
        assert pulse.beats(1)
    pulse.close()


def test_what_its_predecessor_said_is_not_its_own(scratch: Path) -> None:
    pulse = AdminPulse(scratch / "admin.sock")
    with listening(scratch / "admin.sock") as listener:
        assert not pulse.beats(1)
        answer(listener, SERVES)
        assert not pulse.beats(2)
    pulse.close()


def test_a_gateway_that_hangs_counts_as_a_worker_does(scratch: Path) -> None:
    place = GatewayPlace.open(Settings(data_dir=scratch, gateway_port=0, hang_seconds=5))
    place.child.program = ["keyword"]  # of the standard library: it does nothing
    place.child.spawn({}, 2)
    assert place.child.process is not None
    with listening(place.folder / "admin.sock") as listener:
        assert not place.look()
        answer(listener, SERVES)
        assert place.look()
        assert _is_silent_after(place, 5.25)
        place.look()
        answer(listener, SERVES)
        assert not place.look(), "it served before"
        assert not _is_silent_after(place, 4.75)
    place.child.process.wait()
    place.child.hang_up()
    place.close()
