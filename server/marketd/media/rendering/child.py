"""A child that makes renditions: one file after another, until its parent is gone.

It reads a request (JSON, with the open file beside it) from the socket that is its standard input, and writes a line of
JSON and the renditions' bytes to its standard output. Its memory is bounded, it gives way to what serves, and it dies
with its parent. Run as `python -m marketd.media.rendering.child`; Pillow and the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys

from marketd.media.rendering import draw, judge

MEMORY_BYTES = 1 << 30
_NICE = 5
_PR_SET_PDEATHSIG = 1


def answer(file: int, sides: dict[str, int]) -> tuple[dict[str, object], list[bytes]]:
    """The line and the bytes behind it for an open file."""
    try:
        size = os.fstat(file).st_size
        if not size:
            raise judge.Refused("corrupt", "there is nothing in it")
        data = os.pread(file, size, 0)
        judged = judge.judge(data)
        drawn = draw.draw(data, judged.kind, sides)
    except judge.Refused as refused:
        return {"refused": refused.kind, "text": refused.text, "limit": refused.limit}, []
    except MemoryError:
        return {"refused": "large", "text": "pixels", "limit": judge.MAX_PIXELS}, []
    sizes = [
        {"name": name, "width": width, "height": height, "length": len(content)}
        for name, width, height, content in drawn.sizes
    ]
    line: dict[str, object] = {
        "media_type": judge.MEDIA_TYPES[judged.kind],
        "width": drawn.width,
        "height": drawn.height,
        "sizes": sizes,
    }
    return line, [content for *_, content in drawn.sizes]


def main() -> None:
    """Serve the parent."""
    _live_as_a_child(int(sys.argv[1]))
    draw.prepare()
    requests = socket.socket(fileno=os.dup(0))
    with os.fdopen(os.dup(1), "wb") as out:
        while True:
            message, files, _, _ = socket.recv_fds(requests, 4096, 1)
            if not message or not files:
                return
            try:
                line, contents = answer(files[0], json.loads(message))
            finally:
                os.close(files[0])
            out.write(json.dumps(line).encode() + b"\n")
            for content in contents:
                out.write(content)
            out.flush()


def _live_as_a_child(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to deal with
    if sys.platform == "linux":
        # Also from kill -9, and while a decoder is at work: the end of the requests would be seen only behind it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)
    os.nice(_NICE)
    for limit, value in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # some systems know of no such limit
            resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main()
