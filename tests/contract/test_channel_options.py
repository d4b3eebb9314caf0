"""Every option that is given to the gRPC core is one that it knows: it takes a misspelled one without a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the core has no types
from marketd.transport.server import ServerOptions

ROOT = Path(__file__).resolve().parents[2]
_OPTION = re.compile(r"""\(["'](grpc\.[a-z0-9_.]+)["'],\s""")


def unknown(names: set[str]) -> set[str]:
    """Those that stand nowhere in the core's binary."""
    core = Path(cygrpc.__file__).read_bytes()
    return {name for name in names if name.encode() not in core}


@pytest.mark.parametrize("folder", ["server/marketd", "clients/python/marketplace_client", "tests"])
def test_the_core_knows_every_option_in_the_code(folder: str) -> None:
    files = [file for file in (ROOT / folder).rglob("*.py") if file != Path(__file__)]
    names = {name for file in files for name in _OPTION.findall(file.read_text())}
    assert names
    assert not unknown(names)


def test_the_core_knows_every_option_of_the_server() -> None:
    names = {name for name, _ in ServerOptions().channel_arguments(internal=True)}
    assert len(names) > 10
    assert not unknown(names)


def test_a_misspelled_option_would_be_found() -> None:
    assert unknown({"grpc.keepalive_time_ms", "grpc.http2.min_recv_ping_interval_without_data_ms"}) == {
        "grpc.http2.min_recv_ping_interval_without_data_ms"
    }
