"""A few lines of the PostgreSQL protocol, version 3: connect to the unix socket, run one statement, read text rows.

It exists so that "ready" can mean "answered a query" and a database can be created without an event loop or another
program. It is not a driver: no parameters, no types, no TLS, no passwords.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from marketd.embedded.errors import EmbeddedPostgresError

_PROTOCOL = 3 << 16
_AUTHENTICATION_OK = 0
_NULL_LENGTH = -1

Row = tuple[str | None, ...]


class ServerRefusedError(EmbeddedPostgresError):
    """The server answered with an error; `sqlstate` is its five-character code."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} ({sqlstate})")
        self.sqlstate = sqlstate


def query(socket_path: Path, database: str, statement: str, *, timeout_seconds: float = 5) -> list[Row]:
    """Run one statement as `postgres` on a fresh connection and give its rows.

    Raises ServerRefusedError for an error of the server and OSError when nobody answers in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(socket_path))
        _start(connection, database)
        _send(connection, b"Q", statement.encode() + b"\0")
        rows = [_row(body) for kind, body in _until_ready(connection) if kind == b"D"]
        # The answer is here: a server that is gone by now changes nothing.
        with contextlib.suppress(OSError):
            _send(connection, b"X", b"")
    return rows


def quote_identifier(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """`text` as an SQL string; standard_conforming_strings is on, so backslashes are plain."""
    return "'" + text.replace("'", "''") + "'"


def _start(connection: socket.socket, database: str) -> None:
    settings = {"user": "postgres", "database": database, "client_encoding": "UTF8", "application_name": "marketd"}
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in settings.items()) + b"\0"
    connection.sendall(struct.pack("!ii", len(body) + 8, _PROTOCOL) + body)
    for kind, answer in _until_ready(connection):
        if kind == b"R" and struct.unpack("!i", answer[:4])[0] != _AUTHENTICATION_OK:
            raise ServerRefusedError("28000", "the server asks for a password; pg_hba.conf was changed")


def _until_ready(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    refused: ServerRefusedError | None = None
    while True:
        kind, length = struct.unpack("!ci", _receive(connection, 5))
        body = _receive(connection, length - 4)
        if kind == b"E":
            fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
            refused = ServerRefusedError(fields.get(b"C", "XX000"), fields.get(b"M", "unknown error"))
            if fields.get(b"V") in {"FATAL", "PANIC"}:
                raise refused
        elif kind == b"Z":
            if refused is not None:
                raise refused
            return
        else:
            yield kind, body


def _row(body: bytes) -> Row:
    (count,) = struct.unpack_from("!h", body)
    values: list[str | None] = []
    position = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, position)
        position += 4
        if length == _NULL_LENGTH:
            values.append(None)
        else:
            values.append(body[position : position + length].decode())
            position += length
    return tuple(values)


def _send(connection: socket.socket, kind: bytes, body: bytes) -> None:
    connection.sendall(kind + struct.pack("!i", len(body) + 4) + body)


def _receive(connection: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionError("the server closed the connection")
        received += part
    return bytes(received)
