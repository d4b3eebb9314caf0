"""Where canaries have to be looked for: metrics, tables, log files. Nobody brings these while a test runs."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import Final

import asyncpg
from marketd.process.process import App

from tests.canaries import PLANTED, WATCH

# What looks like a secret in these columns is none, or is known to stand there.
_KNOWN: Final = frozenset(
    {
        # The buyer reads it in the app until the courier has been told it; nobody but this courier can use it.
        ("deliveries", "dropoff_code"),
        # A key's thumbprint (RFC 7638), which every token and the JWKS name.
        ("signing_keys", "kid"),
    }
)

# A table that takes no room has no rows, and most have none: to look at each of them takes as long as a small test. Its
# file is asked for its size, since for `pg_relation_size` PostgreSQL opens each table and all that belongs to it.
_COLUMNS: Final = """
    SELECT c.relname AS table, a.attname AS column
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
      AND (c.relkind = 'p' OR c.relkind = 'r' AND (pg_stat_file(pg_relation_filepath(c.oid), true)).size > 0)
      AND format_type(a.atttypid, NULL) ~ '^(text|character|json|bytea)'
    ORDER BY c.relname, a.attnum
"""
# How secrets are meant to stand in tables: as a bcrypt hash, and sealed. The third is the name of a key (its
# thumbprint again) in the audit log.
_KEPT: Final = re.compile(r"\$2b\$\d\d\$[./A-Za-z0-9]{53}|sealed:[A-Za-z0-9+/]+=*|(?<=\nsigning_key\n)[\w-]{43}(?=\n)")
_BYTES: Final = re.compile(r"\\x((?:[0-9a-f]{2})+)")


async def look_into(app: App) -> None:
    """What a process has made of its calls: its metrics and its database. Before it stops."""
    look_at_metrics(app.admin_port)
    await look_at_tables(app.core.url)


def look_at_metrics(port: int) -> None:
    """What a scraper gets."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        WATCH.notice(answer.read().decode(), "the metrics")


async def look_at_tables(url: str) -> None:
    """Every text, document and byte string of the database, as a dump of it would show them."""
    connection = await asyncpg.connect(url)
    try:
        tables: dict[str, list[str]] = {}
        for table, column in await connection.fetch(_COLUMNS):
            if (table, column) not in _KNOWN:
                tables.setdefault(table, []).append(f'"{column}"::text')
        parts = (
            f"SELECT '{table}', concat_ws(E'\\n', {', '.join(columns)}) FROM \"{table}\""
            for table, columns in tables.items()
        )
        rows = await connection.fetch(" UNION ALL ".join(parts)) if tables else []
    finally:
        await connection.close()
    texts: dict[str, list[str]] = {}
    for table, words in rows:
        texts.setdefault(table, []).append(_KEPT.sub("", _BYTES.sub(_readable, words)))
    for table, lines in texts.items():
        WATCH.notice("\n".join(lines), f"table {table}")


def _readable(match: re.Match[str]) -> str:
    return bytes.fromhex(match[1]).decode("latin-1")


class Tail:
    """A file that others write to: each look reads what is new since the one before."""

    def __init__(self, path: Path, name: str, *, but_for: str = PLANTED) -> None:
        """Lines with `but_for` in them are passed over."""
        self._path = path
        self._name = name
        self._but_for = but_for
        self._read = 0

    def look(self) -> None:
        """Look at what was written since. A file that is not there yet says nothing."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self._read:
                self._read = 0  # it was begun anew
            file.seek(self._read)
            new = file.read()
        # Half a line waits for its rest: a secret may be cut in two.
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = whole.decode(errors="replace").splitlines()
        WATCH.notice("\n".join(line for line in lines if self._but_for not in line), self._name)
