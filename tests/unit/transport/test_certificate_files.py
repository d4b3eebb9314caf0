"""Files of a certificate that change at a bad moment: what is refused, how often that is said, and what is tried again.

Nothing here opens a socket; `refresh` is what the core calls at each handshake.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from marketd.kernel.values.clock import ManualClock
from marketd.transport.edge.tls import ServerCertificate, TlsFiles
from structlog.testing import capture_logs

from tests.certificates import AN_HOUR, Authority, Issued


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Signs every certificate."""
    return Authority("servers")


class Interrupted(ServerCertificate):
    """Somebody writes files between the reading and what follows from it, once."""

    meanwhile: Callable[[], object] | None = None

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        try:
            return super()._read()
        finally:
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()


def _chain(folder: Path, issued: Issued) -> None:
    (folder / "server.pem").write_bytes(issued.chain)


def _key(folder: Path, issued: Issued) -> None:
    (folder / "server.key").write_bytes(issued.key)


def _refreshed(certificate: ServerCertificate, times: int = 1) -> list[str]:
    """What some handshakes log."""
    with capture_logs() as lines:
        for _ in range(times):
            certificate.refresh()
    return [line["event"] for line in lines]


def test_a_pair_whose_key_comes_while_its_chain_is_read_is_taken_up_at_the_next_handshake(
    tmp_path: Path, authority: Authority
) -> None:
    certificate = Interrupted(TlsFiles(*authority.server().write(tmp_path)))
    renewed = authority.server("next")
    _chain(tmp_path, renewed)
    certificate.meanwhile = lambda: _key(tmp_path, renewed)
    assert _refreshed(certificate) == [], "half a pair is not worth a word while it is being written"
    assert _refreshed(certificate) == ["certificate_renewed"]
    assert certificate.version == 2


def test_a_pair_that_another_one_overtakes_while_it_is_read_is_not_shown(tmp_path: Path, authority: Authority) -> None:
    certificate = Interrupted(TlsFiles(*authority.server().write(tmp_path)))
    authority.server("next").write(tmp_path)
    certificate.meanwhile = lambda: authority.server("the one after").write(tmp_path)
    assert _refreshed(certificate) == []
    assert _refreshed(certificate, 2) == ["certificate_renewed"]
    assert certificate.version == 2


@pytest.mark.parametrize("name", ["server.pem", "server.key"])
def test_a_missing_file_is_said_once_and_not_at_every_handshake(
    tmp_path: Path, authority: Authority, name: str
) -> None:
    certificate = ServerCertificate(TlsFiles(*authority.server().write(tmp_path)))
    (tmp_path / name).unlink()
    with capture_logs() as lines:
        for _ in range(3):
            certificate.refresh()
    (line,) = lines
    assert line["event"] == "certificate_not_renewed"
    assert f"{name} cannot be read" in line["why"]
    authority.server("next").write(tmp_path)
    assert _refreshed(certificate, 2) == ["certificate_renewed"]


def test_a_pair_that_does_not_fit_is_said_once_until_its_files_change(tmp_path: Path, authority: Authority) -> None:
    certificate = ServerCertificate(TlsFiles(*authority.server().write(tmp_path)))
    renewed = authority.server("next")
    _chain(tmp_path, renewed)
    assert _refreshed(certificate, 3) == ["certificate_not_renewed"]
    _key(tmp_path, renewed)
    assert _refreshed(certificate, 3) == ["certificate_renewed"]


def test_a_certificate_that_has_not_begun_is_taken_up_when_its_time_comes(tmp_path: Path, authority: Authority) -> None:
    clock = ManualClock(datetime.now(UTC))
    certificate = ServerCertificate(TlsFiles(*authority.server().write(tmp_path)), clock)
    authority.issue("next", ["localhost"], begin=AN_HOUR).write(tmp_path)
    assert _refreshed(certificate, 3) == ["certificate_not_renewed"]
    assert certificate.version == 1
    clock.advance(AN_HOUR + timedelta(minutes=1))
    assert _refreshed(certificate, 3) == ["certificate_renewed"]
    assert certificate.version == 2
