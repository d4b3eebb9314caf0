"""Child processes that may not outlive this one, not even when it is killed with SIGKILL.

Linux tells the child itself: PR_SET_PDEATHSIG (prctl(2)) sends it SIGINT, which PostgreSQL takes as a fast shutdown and
initdb as a wish to clean up and leave. The kernel ties that to the *thread* that forked, not to the process, so the
server is started from the main thread only. Elsewhere a guardian process waits for the end of a pipe. This is the only
module that starts processes.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from marketd.embedded.accounts import Account
from marketd.embedded.errors import NotOnMainThreadError

_PR_SET_PDEATHSIG = 1
# Children get no environment of ours: PGDATA, PGPORT, LD_PRELOAD or a locale would change what they do.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
# Looked up before any fork: after it only a plain call is safe.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

_GUARD = "trap '' HUP INT TERM; read -r _; kill -INT \"$1\""


def spawn(
    argv: Sequence[str | Path],
    account: Account,
    *,
    stdin: int = subprocess.DEVNULL,
    output: int | IO[bytes] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    before_exec: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program as the account, in a session of its own so that Ctrl-C reaches us first and not it."""
    switch = not account.is_ours
    # The program is one of ours or of the wheel, and no shell reads its arguments.
    return subprocess.Popen(  # noqa: S603
        [str(part) for part in argv],
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        user=account.uid if switch else None,
        group=account.gid if switch else None,
        extra_groups=[] if switch else None,
        start_new_session=True,
        pass_fds=pass_fds,
        preexec_fn=before_exec,
    )


def spawn_tied(
    argv: Sequence[str | Path], account: Account, *, output: int | IO[bytes], pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a program that gets SIGINT when this process ends, where the kernel can do that.

    Raises NotOnMainThreadError: the signal would come when the calling thread ends.
    """
    if threading.current_thread() is not threading.main_thread():
        raise NotOnMainThreadError(
            "the embedded database must be started from the main thread: the kernel ends it with the thread that "
            "started it. Call start() before any event loop or thread pool is involved."
        )
    return spawn(argv, account, output=output, pass_fds=pass_fds, before_exec=_die_with_parent())


def kernel_ties() -> bool:
    """Whether `spawn_tied` is enough here, or a Guardian is needed as well."""
    return _prctl is not None


def _die_with_parent() -> Callable[[], None] | None:
    if _prctl is None:
        return None
    prctl, parent = _prctl, os.getpid()

    def tie() -> None:
        # The parent may have died between fork and here: then no signal will ever come.
        if prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(125)

    return tie


class Guardian:
    """A tiny process that sends SIGINT to another one when this process ends, however it ends.

    It reads from a pipe whose only other end is here. While we live, an ended child stays a zombie until we collect it,
    so its number cannot belong to anybody else; collect it and then dismiss the guardian.
    """

    def __init__(self, pid: int, account: Account) -> None:
        self._process = spawn(["/bin/sh", "-c", _GUARD, "guardian", str(pid)], account, stdin=subprocess.PIPE)

    @property
    def pid(self) -> int:
        """The guardian's own process id."""
        return self._process.pid

    def dismiss(self) -> None:
        """End the guardian without touching what it guarded."""
        # SIGKILL before the pipe closes: the other order would fire it.
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
