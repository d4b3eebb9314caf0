"""The program that becomes the gateway: writes its configuration, then Envoy takes its place in the process."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from marketd.config import Settings
from marketd.gateway.binary import find_envoy
from marketd.gateway.files import command_line, write_files
from marketd.gateway.gateway import Admin, Gateway, Upstream, gateway_of
from marketd.process.parent import end_with_parent
from marketd.process.supervision.gateway import ADMIN_SOCKET, worker_socket

_OPEN_FILES = 65_536


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="marketd.process.supervision.gateway_program", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the sockets are and the files go")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True, help="the pipe to the supervisor")
    return parser.parse_args()


def main() -> NoReturn:
    """Become Envoy, which ends with the supervisor however that ends."""
    arguments = _arguments()
    # Envoy says nothing on it: that it serves is asked of its own interface.
    os.close(arguments.ready_fd)
    settings = Settings.read()
    folder: Path = arguments.folder
    sockets = [worker_socket(folder, index) for index in range(arguments.workers)]
    gateway = on_this_machine(gateway_of(settings, tuple(Upstream(socket=path) for path in sockets)))
    gateway = replace(gateway, port=arguments.port, admin=Admin(socket=folder / ADMIN_SOCKET))
    is_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    line = command_line(find_envoy(), write_files(gateway, folder), settings, is_json=is_json)
    _raise_open_files()
    (folder / ADMIN_SOCKET).unlink(missing_ok=True)
    become(line, arguments.parent)


def on_this_machine(gateway: Gateway) -> Gateway:
    """The same with whole paths: Envoy would take others from its own folder."""
    names = ("upstream_ca_file", "tls_cert_file", "tls_key_file", "static", "media")
    paths = {name: getattr(gateway, name) for name in names}
    return replace(gateway, **{name: path.absolute() for name, path in paths.items() if path is not None})


def become(line: list[str], parent: int) -> NoReturn:
    """Run the program in the place of this one, with an end that `parent`'s end brings about.

    Where the system tells no process of its parent's end, this one stays to look for it.
    """
    if sys.platform == "linux":
        end_with_parent(parent, signal.SIGKILL)
        os.execv(line[0], line)  # noqa: S606 - Envoy, with a line of our own
    else:
        _stay_beside(line, parent)


def _stay_beside(line: list[str], parent: int) -> NoReturn:
    running = subprocess.Popen(line)  # noqa: S603 - the same
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: running.send_signal(got))
    while True:
        try:
            sys.exit(running.wait(0.5))
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                running.kill()


def _raise_open_files() -> None:
    """Each client takes a descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
