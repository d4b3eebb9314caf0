"""Runs a command that ends when this process' parent ends, so that a killed benchmark leaves no server behind.

`python -m marketd.bench.guarded PARENT COMMAND…`. The death signal outlives exec (prctl(2)); SIGQUIT ends a supervisor
at once, and its workers and database go with it.
"""

from __future__ import annotations

import os
import signal
import sys

from marketd.process.parent import end_with_parent


def main() -> None:
    """Become the command."""
    parent, *command = sys.argv[1:]
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background jobs begin with it ignored
    end_with_parent(int(parent))
    os.execv(command[0], command)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
