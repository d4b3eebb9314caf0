"""Plant known faults one at a time in a copy of the project and see that its tests notice each: `make mutants`.

tests/mutants.toml lists them: which text of which file becomes what, which tests must fail by it, and why it matters. A
fault whose text is not found exactly once fails too, so the list stays alive with the code. Each of the tests must pass
without the fault; `make test` sees to that, and `--sound` for those who doubt it.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "mutants.toml"
LIMIT_SECONDS = 240.0
_FOLDERS_OF_TOOLS = (".third_party", ".tools")
_OF_THE_CLUSTER = ("migrations/", "server/marketd/schema/", "server/marketd/embedded/", "tests/")
"""A fault in one of these meets a database that is made with it; all others one that was made before."""
_MAKE_CLUSTER = """
import pathlib, sys
from tests.run_postgres import Place
place = Place(pathlib.Path(sys.argv[1]))
place.start()
place.leave()
"""
_KEYS = {"id", "file", "old", "new", "tests", "why"}
_PASSED, _FAILED = 0, 1
"""pytest's exit codes; any other says that the tests could not be run as they are named."""


class ListError(Exception):
    """The list itself is wrong: an entry is incomplete, or its text is not in the code any more."""


@dataclass(frozen=True)
class Mutant:
    """A fault: in `file`, `old` becomes `new`; `tests` (paths or node ids) must fail then. `why` says who feels it."""

    id: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str

    def planted(self, root: Path) -> str:
        """The file's text with the fault. Raises ListError unless `old` stands in it exactly once."""
        path = root / self.file
        if not path.is_file():
            raise ListError(f"{self.id}: there is no file {self.file}")
        text = path.read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise ListError(f"{self.id}: its text stands {count} times in {self.file}, and must stand there once")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Verdict:
    """What became of a planted fault."""

    mutant: Mutant
    caught: bool
    seconds: float
    told: str


def read_list(path: Path = LIST) -> list[Mutant]:
    """The faults of the list. Raises ListError for one that is incomplete or changes nothing."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
    found = []
    for number, entry in enumerate(entries, start=1):
        name = entry.get("id", f"number {number}")
        if missing := sorted(_KEYS - entry.keys()):
            raise ListError(f"{name}: {', '.join(missing)} is missing")
        if unknown := sorted(entry.keys() - _KEYS):
            raise ListError(f"{name}: nothing is called {', '.join(unknown)}")
        if not entry["tests"] or not entry["why"].strip() or entry["old"] == entry["new"]:
            raise ListError(f"{name}: it needs tests, a reason, and a new text that differs from the old one")
        found.append(Mutant(**{**entry, "tests": tuple(entry["tests"])}))
    for name, count in Counter(mutant.id for mutant in found).items():
        if count > 1:
            raise ListError(f"{name}: {count} faults have this id")
    return found


def check_list(mutants: Iterable[Mutant], root: Path = ROOT) -> list[str]:
    """What is wrong with the list as the code is now; empty when every fault can be planted and still compiles."""
    wrong = []
    for mutant in mutants:
        try:
            text = mutant.planted(root)
            if mutant.file.endswith(".py"):
                compile(text, mutant.file, "exec")
        except ListError as error:
            wrong.append(str(error))
        except SyntaxError as error:
            wrong.append(f"{mutant.id}: what is planted is no Python ({error.msg})")
        wrong += [
            f"{mutant.id}: there are no tests {test}"
            for test in mutant.tests
            if not (root / test.partition("::")[0]).exists()
        ]
    return wrong


class Copy:
    """A copy of the project in which one fault at a time is planted."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        listed = _run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT).split("\0")
        for name in filter(None, listed):
            if (source := ROOT / name).is_file():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
                _copy_compiled(source, target)
        for name in _FOLDERS_OF_TOOLS:
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name, target_is_directory=True)

    def make_cluster(self, folder: Path) -> None:
        """Have PostgreSQL with a migrated template there, for runs to begin with a copy of it."""
        folder.mkdir()
        folder.chmod(0o755)  # PostgreSQL may run as another user
        subprocess.run(
            [sys.executable, "-c", _MAKE_CLUSTER, folder], cwd=self.root, env=self._environment(), check=True
        )

    def try_out(self, mutant: Mutant, cluster: Path | None = None) -> Verdict:
        """Plant the fault, run its tests, and take it out again; `cluster`: see make_cluster()."""
        path = self.root / mutant.file
        whole, status = path.read_bytes(), path.stat()
        begun = time.monotonic()
        path.write_text(mutant.planted(self.root), encoding="utf-8")
        _forget_compiled(path)
        try:
            code, output = self.run(mutant.tests, None if mutant.file.startswith(_OF_THE_CLUSTER) else cluster)
        finally:
            path.write_bytes(whole)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            _forget_compiled(path)
        seconds = time.monotonic() - begun
        if code == _FAILED:
            return Verdict(mutant, True, seconds, "")
        told = "its tests pass all the same" if code == _PASSED else f"its tests could not be run (exit {code})"
        return Verdict(mutant, False, seconds, f"{told}\n{output}")

    def _environment(self, **more: str) -> dict[str, str]:
        # Found before what is installed, by every process that a test starts, too.
        paths = os.pathsep.join(str(self.root / each) for each in ("server", "clients/python"))
        environment = os.environ | {"PYTHONPATH": paths} | more
        # Compiling all of marketd takes longer than most tests, and each process of a run would.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def run(self, tests: Sequence[str], cluster: Path | None = None) -> tuple[int | None, str]:
        """Run tests in the copy; pytest's exit code (None: too long) and the end of what it printed."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "", *tests]
        environment = self._environment(**({"MARKETD_TESTS_CLUSTER": str(cluster)} if cluster else {}))
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            # A test has a limit of its own, which is half of this.
            return None, _end_of(bytes(late.stdout or b"").decode(errors="replace"))
        return done.returncode, _end_of(done.stdout)


def _copy_compiled(source: Path, target: Path) -> None:
    """What was compiled from the file, which is as old as the source and so holds for its copy, too."""
    if source.suffix == ".py":
        for path in (source.parent / "__pycache__").glob(f"{source.stem}.{sys.implementation.cache_tag}.pyc"):
            (target.parent / "__pycache__").mkdir(exist_ok=True)
            shutil.copy2(path, target.parent / "__pycache__")


def _forget_compiled(path: Path) -> None:
    """By its size and the second of its change alone a file could be taken for what it was before."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def _run(command: Sequence[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def _end_of(output: str) -> str:
    return "\n".join(output.splitlines()[-15:])


def plant(mutants: Sequence[Mutant], jobs: int) -> list[Verdict]:
    """Try them all, `jobs` at once; each verdict is printed as it comes."""
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        Path(folder).chmod(0o755)
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        made = [Copy(Path(folder) / str(number)) for number in range(jobs)]
        for copy in made:
            copies.put(copy)
        cluster = None
        if any(not test.startswith("tests/unit") for mutant in mutants for test in mutant.tests):
            cluster = Path(folder) / "cluster"
            made[0].make_cluster(cluster)
        lock = threading.Lock()

        def one(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                return copy.try_out(mutant, cluster)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as threads:
            for future in as_completed([threads.submit(one, mutant) for mutant in mutants]):
                verdict = future.result()
                verdicts.append(verdict)
                word = "caught" if verdict.caught else "LIVED "
                with lock:
                    print(f"{word} {verdict.seconds:5.1f} s  {verdict.mutant.id}", flush=True)
    return verdicts


def sound(mutants: Sequence[Mutant]) -> list[str]:
    """The faults whose tests fail without them, too: they prove nothing."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder) / "0")
        code, output = copy.run(sorted({test for mutant in mutants for test in mutant.tests}))
    return [] if code == _PASSED else [f"the tests fail without any fault (exit {code})\n{output}"]


def main() -> int:
    """Say what lived, and fail if anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", help="only those whose id begins so")
    parser.add_argument("--sample", type=int, help="only so many, drawn by the seed")
    parser.add_argument("--seed", default=None, help="what the draw begins with; printed")
    parser.add_argument("--jobs", type=int, default=2, help="so many at once")
    parser.add_argument("--file", type=Path, default=LIST, help="another list of faults")
    parser.add_argument("--list", action="store_true", help="only check the list")
    parser.add_argument("--sound", action="store_true", help="first see that their tests pass without them")
    asked = parser.parse_args()
    try:
        mutants = read_list(asked.file)
    except ListError as error:
        print(error)
        return 1
    if wrong := check_list(mutants):
        print("\n".join(wrong))
        return 1
    if asked.ids:
        mutants = [mutant for mutant in mutants if mutant.id.startswith(tuple(asked.ids))]
    if asked.sample is not None:
        seed = asked.seed or secrets.token_hex(4)
        print(f"{asked.sample} of {len(mutants)} faults, drawn by --seed {seed}")
        mutants = random.Random(seed).sample(mutants, min(asked.sample, len(mutants)))  # noqa: S311 - a draw
    if asked.list or not mutants:
        print(f"{len(mutants)} faults are listed; each can be planted")
        return 0 if mutants else 1
    if asked.sound and (unsound := sound(mutants)):
        print("\n".join(unsound))
        return 1
    begun = time.monotonic()
    lived = [verdict for verdict in plant(mutants, asked.jobs) if not verdict.caught]
    for verdict in lived:
        print(f"\n{verdict.mutant.id}: {verdict.mutant.why}\n  {verdict.mutant.file}: {verdict.told}")
    print(f"\n{len(mutants) - len(lived)} of {len(mutants)} faults caught in {time.monotonic() - begun:.0f} s")
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
