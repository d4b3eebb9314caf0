"""A program that a supervisor spawns as it spawns a worker, with the worker's own parts and nothing to serve.

`python -m tests.worlds.worker_like HOW …`; how it goes on is the first argument.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import socket
import sys
import time
from contextlib import suppress

from marketd.process import logs
from marketd.process.grpc_log import GrpcLog

FATAL = "F0000 00:00:1782912345.123456   4711 sync.cc:9] the last words\n"
ERROR = "E0000 00:00:1782912345.123456   4711 chttp2_transport.cc:123] said again and again\n"
OTHER = "\x1b[31mnobody knows who said this\n"
RECORD = "somebody went away"
TIMES = 200
FLOOD = 5_000


def _full_pipe() -> int:
    """The end to write to of a pipe that takes nothing more; whoever writes waits."""
    _, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    return write


def main() -> None:
    """Say that it is ready, then do what it was told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("how")
    for name in ("ready", "stderr", "core"):
        parser.add_argument(f"--{name}-fd", type=int, required=True)
    arguments = parser.parse_args()
    stderr_fd = _full_pipe() if arguments.how == "dies-while-it-logs" else arguments.stderr_fd
    sys.stderr = os.fdopen(stderr_fd, "w", buffering=1)
    logs.configure("INFO", "json")
    os.write(arguments.ready_fd, b'{"admin": 1}\n')
    if arguments.how == "dies-early":
        os.write(2, OTHER.encode())
        sys.exit(3)
    if arguments.how == "computes":
        while True:
            pass
    grpc_log = GrpcLog(socket.socket(fileno=arguments.core_fd), arguments.stderr_fd)
    logs.accept_only(grpc_log.accept)
    if arguments.how.startswith("dies-"):
        os.write(2, FATAL.encode())
        if arguments.how == "dies-while-it-logs":
            time.sleep(0.5)  # by then the line has been read, and its log waits for the pipe
        os.abort()
    if arguments.how == "floods":
        # As the core may write: while the one lock is held that our thread needs to read.
        sys.setswitchinterval(1_000)
        write = ctypes.PyDLL(None).write
        for _ in range(FLOOD):
            write(2, ERROR.encode(), len(ERROR))
        sys.setswitchinterval(0.005)
    elif arguments.how == "records":
        for _ in range(TIMES):
            logging.getLogger("grpc._cython.cygrpc").error(RECORD)
            logging.getLogger("asyncpg").error(RECORD)
    else:
        for _ in range(TIMES):
            os.write(2, ERROR.encode())
        os.write(2, OTHER.encode())
        os.write(2, b"the last line has no end")
    grpc_log.end()
    counts = {
        f"{sample.name}{sample.labels}": sample.value for metric in grpc_log.collect() for sample in metric.samples
    }
    sys.stderr.write(json.dumps({"event": "counts", **counts}) + "\n")


if __name__ == "__main__":
    main()
