"""`python -m marketd` is `marketd`. Nothing slow is imported before Ctrl-C has got a quiet end."""

from __future__ import annotations

import os
import signal
from types import FrameType

_INTERRUPTED = 128 + signal.SIGINT


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Nothing is open yet, and an exception would come out of the middle of an import as a page of its inner life.
    os._exit(_INTERRUPTED)


def main() -> None:
    """The entry point."""
    # Whoever starts it with Ctrl-C ignored, as a shell does for what runs in the background, wants it ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    # Read by grpc when it is imported: its core would write lines of its own about a connection that fails.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from marketd import cli  # noqa: PLC0415 - see above

    cli.main()


if __name__ == "__main__":
    main()
