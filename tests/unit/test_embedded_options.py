"""How the embedded PostgreSQL is configured: nobody reaches it but us, and what it has acknowledged is on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketd.embedded import EmbeddedPostgres
from marketd.embedded.parameters import INITDB_OPTIONS, server_options

OPTIONS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": '"/a ""b"", c"',
    "unix_socket_permissions": "0700",
    "cluster_name": "marketd-1-2",
    "max_connections": "500",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "64MB",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "synchronous_commit": "on",
}


@pytest.mark.parametrize(("durable", "more"), [(True, {}), (False, {"fsync": "off", "full_page_writes": "off"})])
def test_only_what_may_be_lost_is_not_waited_for(durable: bool, more: dict[str, str]) -> None:
    made = server_options(socket_dir=Path('/a "b", c'), cluster_name="marketd-1-2", durable=durable)
    assert made == {**OPTIONS, **more}


def test_a_cluster_is_durable_unless_told_and_its_texts_sort_alike_everywhere(tmp_path: Path) -> None:
    assert EmbeddedPostgres(tmp_path)._durable
    assert INITDB_OPTIONS == (
        "--username=postgres",
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    )
