"""The port that the workers share: held for them by the supervisor, which does not listen on it."""

from __future__ import annotations

import errno
import socket
import time
from typing import Final

from marketd.config.forms import with_port

_WAIT_SECONDS = 3.0


class CannotServe(Exception):
    """What keeps the server from starting, in a sentence that says what to do."""


SERVER_PORT: Final = "make run PORT=…, marketd serve --port …"


def reserve_port(host: str, port: int, how_to_choose: str = SERVER_PORT) -> socket.socket:
    """Hold the port for the workers without listening on it; port 0 takes a free one.

    host: a name or an address, IPv6 without brackets. SO_REUSEPORT would let a stray second server take half of the
    connections in silence, so the first bind goes without it. A predecessor that is just going down gets a few seconds.
    Raises CannotServe.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = with_port(host, port)
    end = time.monotonic() + _WAIT_SECONDS
    while port:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # Connections of a predecessor in TIME_WAIT are no reason to refuse; a listener is.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                probe.listen(1)
                break
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _cannot_listen(where, error) from error
            if time.monotonic() > end:
                raise CannotServe(
                    f"port {port} on {host} is taken by another process; stop that one or choose another port "
                    f"({how_to_choose})."
                ) from error
        time.sleep(0.1)
    try:
        holder = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _cannot_listen(where, error) from error
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
    except OSError as error:
        holder.close()
        raise _cannot_listen(where, error) from error
    return holder


def _cannot_listen(where: str, error: OSError) -> CannotServe:
    if error.errno == errno.EACCES:
        what = "give a port that needs no special rights with --port or MARKETD_PORT"
    else:
        what = "give an address of this machine with --host or MARKETD_HOST"
    return CannotServe(f"cannot listen on {where}: {error.strerror}; {what}.")
