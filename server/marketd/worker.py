"""One serving process: what the supervisor spawns. Builds the app, says when it is ready, drains on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import uvloop

from marketd.app import build
from marketd.config import Settings
from marketd.process import logs
from marketd.process.core import StartRefused
from marketd.process.grpc_log import GrpcLog
from marketd.process.parent import end_with_parent
from marketd.process.process import App
from marketd.process.supervision.pulse import beat

CONFIGURATION_ERROR = 78
"""The exit code for what a restart cannot mend (sysexits' EX_CONFIG); the pipe has the reason."""

_OPEN_FILES = 65_536


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="marketd.worker", description=__doc__)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True, help="the pipe to the supervisor")
    parser.add_argument("--stderr-fd", type=int, required=True, help="the real standard error")
    parser.add_argument("--core-fd", type=int, required=True, help="where what goes to descriptor 2 comes out")
    parser.add_argument("--gateway-socket", type=Path, help="where the gateway calls")
    parser.add_argument("--only-background", action="store_true")
    return parser.parse_args()


def _raise_open_files() -> None:
    """A thousand silent connections would use up the usual limit of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _take_standard_error(fd: int) -> None:
    """Write there from now on; descriptor 2 is left to the core."""
    sys.stderr = os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    if faulthandler.is_enabled():
        faulthandler.enable(sys.stderr)


def _tell(pipe: int, **what: object) -> None:
    os.write(pipe, json.dumps(what).encode() + b"\n")


async def _serve(settings: Settings, arguments: argparse.Namespace, grpc_log: GrpcLog) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    orphaned = asyncio.Event()

    def quit_now() -> None:
        orphaned.set()
        ended.set()

    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, ended.set)
    # The supervisor is gone and the database goes with it: no time for a long drain.
    loop.add_signal_handler(signal.SIGQUIT, quit_now)
    admin_port = settings.admin_port + arguments.index if settings.admin_port else 0
    app: App | None = None
    try:
        app = await build(
            settings,
            serve=not arguments.only_background,
            reuse_port=True,
            admin_port=admin_port,
            gateway_socket=arguments.gateway_socket,
        )
        await app.start(grpc_log)
    except StartRefused as refused:
        _tell(arguments.ready_fd, refused=str(refused))
        if app is not None:
            await app.stop(0)
        return CONFIGURATION_ERROR
    # What start-up made lives as long as the process; the collector need not walk it during calls.
    gc.collect()
    gc.freeze()
    _tell(arguments.ready_fd, port=app.port, admin=app.admin_port)
    beating = asyncio.create_task(beat(arguments.ready_fd))
    await ended.wait()
    await app.stop(0.2 if orphaned.is_set() else settings.drain_seconds)
    beating.cancel()
    return 0


def main() -> None:
    """Run until told to end."""
    arguments = _arguments()
    _take_standard_error(arguments.stderr_fd)
    end_with_parent(arguments.parent)
    _raise_open_files()
    settings = Settings.read()
    logs.configure(settings.log_level, settings.log_format)
    grpc_log = GrpcLog(socket.socket(fileno=arguments.core_fd), arguments.stderr_fd)
    logs.accept_only(grpc_log.accept)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if settings.uvloop else None) as runner:
        code = runner.run(_serve(settings, arguments, grpc_log))
    grpc_log.end()
    sys.stderr.flush()
    # grpc's own threads can hold the interpreter's exit up; everything of ours has been drained by now.
    os._exit(code)


if __name__ == "__main__":
    main()
