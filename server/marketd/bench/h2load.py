"""h2load (nghttp2) as the load: light, but only for unary calls with one and the same request.

It does not look at grpc-status: a refusal has no message, so the bytes of the bodies tell whether all calls succeeded.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marketd.bench.clients import LoadFailed
from marketd.bench.work import Found

GRPC = "application/grpc"
_FRAME_BYTES = 5  # gRPC's prefix of a message: a flag and its length
_CONNECTIONS = 8
_STREAMS = 4
_FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s),", re.MULTILINE)
_DONE = re.compile(r"^requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded", re.MULTILINE)
_BODIES = re.compile(r"\((\d+)\) data$", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class SameCall:
    """One unary call, again and again; `answer_bytes` is how long its answer is.

    As gRPC, unless `content_type` says otherwise; with an empty one it is a GET without a body. `body_bytes`: how long
    a whole body of an answer is where that is not gRPC's five bytes and the answer; `slack_bytes`: by how much bodies
    may differ, far less than an answer has. With `per_second` calls come at that pace, else in a closed loop.
    """

    target: str
    path: str
    token: str
    request: bytes
    answer_bytes: int
    count: int
    content_type: str = GRPC
    body_bytes: int | None = None
    slack_bytes: int = 0
    per_second: int = 0


def is_installed() -> bool:
    """Whether h2load can be run."""
    return shutil.which("h2load") is not None


def framed(message: bytes) -> bytes:
    """A message as gRPC and gRPC-Web send it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


async def run(given: SameCall, begin: Callable[[], object]) -> Found:
    """Run `count` calls. Raises LoadFailed when one of them did not succeed."""
    with tempfile.TemporaryDirectory() as name:
        body, log = Path(name) / "body", Path(name) / "log"
        arguments = ["-n", str(given.count), "-c", str(_CONNECTIONS), "-m", str(_STREAMS), "-t", "1"]
        arguments += ["--log-file", str(log)]
        if given.per_second:
            arguments += ["--rps", str(given.per_second / _CONNECTIONS)]
        if given.content_type:
            body.write_bytes(framed(given.request))
            arguments += ["-d", str(body), "-H", f"content-type: {given.content_type}", "-H", "te: trailers"]
        if given.token:
            arguments += ["-H", f"authorization: Bearer {given.token}"]
        begin()
        process = await asyncio.create_subprocess_exec(
            "h2load", *arguments, f"http://{given.target}{given.path}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return found_in(printed.decode(), log.read_text(), given)


def found_in(printed: str, log: str, given: SameCall) -> Found:
    """What h2load printed and logged (start, status and duration in microseconds), judged."""
    finished, done, bodies = _FINISHED.search(printed), _DONE.search(printed), _BODIES.search(printed)
    if finished is None or done is None or bodies is None:
        raise LoadFailed(f"h2load said: {printed[-500:]}")
    each = given.body_bytes if given.body_bytes is not None else _FRAME_BYTES + given.answer_bytes
    wanted = given.count * each
    if int(done[3]) != given.count or abs(int(bodies[1]) - wanted) > given.count * given.slack_bytes:
        raise LoadFailed(
            f"{done[3]} of {given.count} calls were answered, with {bodies[1]} bytes where {wanted} were due"
        )
    latencies = [int(line.split("\t")[2]) for line in log.splitlines()]
    return Found(given.count, float(finished[1]) * _UNITS[finished[2]], latencies)
