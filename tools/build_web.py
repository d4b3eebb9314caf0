"""Build the page of clients/web/hello into its dist/, or with --check only say whether that is up to date.

dist/ is committed, so that `make run` serves the page without Node.

The stubs come from marketplace/contract.binpb, as `make stubs` has built it. The same pinned tools give the same
bytes; a test holds that dist/ is what the sources build.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "clients" / "web" / "hello"
DIST = PAGE / "dist"
STATIC = ("index.html", "hello.css", "icon.svg")
BUF = Path(sys.executable).parent / "buf"


def build(out: Path) -> None:
    """Write the page into the folder. Raises CalledProcessError when a tool refuses something."""
    _run(BUF, "generate")
    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder) / "meta.json"
        how = ["--bundle", "--format=esm", "--target=es2022", "--minify", "--legal-comments=none"]
        written = [f"--outfile={out / 'hello.js'}", f"--metafile={facts}"]
        _run(*_package("esbuild/bin/esbuild", "src/main.ts", "--log-level=warning", *how, *written))
        inputs = json.loads(facts.read_text())["inputs"]
    for name in STATIC:
        shutil.copyfile(PAGE / name, out / name)
    (out / "LICENSES.txt").write_text(licences(inputs))


def check_types() -> None:
    """Have the compiler look at everything; the stubs must be there. Raises CalledProcessError."""
    _run(*_package("typescript/bin/tsc"))


def licences(inputs: list[str]) -> str:
    """The notices of all files of others that are in the bundle, as they stand in them, and the licence they name."""
    notices: dict[str, set[str]] = {}
    for name in inputs:
        if name.startswith(("node_modules/", "gen/google/")):
            notice = _notice((PAGE / name).read_text())
            notices.setdefault(notice, set()).add(_origin(name))
    parts = ["hello.js is made of this project's own sources, and of these packages under their licences.\n"]
    for notice, origins in sorted(notices.items(), key=lambda each: (sorted(each[1]), each[0])):
        parts.append(f"{', '.join(sorted(origins))}:\n\n{notice}\n")
    parts.append((ROOT / "LICENSE").read_text())
    return f"\n{'-' * 78}\n\n".join(parts)


def _notice(source: str) -> str:
    """The comment at the head of a file, if it is about rights, up to its first line about something else."""
    lines = []
    for line in source.splitlines():
        if not line.startswith("//") or line.startswith("// @generated"):
            break
        lines.append(line.removeprefix("//").removeprefix(" "))
    end = next((at for at, line in enumerate(lines) if line == "limitations under the License."), len(lines))
    notice = "\n".join(lines[: end + 1]).strip()
    if "Copyright" not in notice:
        raise SystemExit(f"A bundled file says nothing of its licence: {source[:200]}")
    return notice


def _origin(name: str) -> str:
    """The package that a bundled file belongs to, with its version."""
    parts = name.split("/")
    if parts[0] != "node_modules":
        return "googleapis (the message types of google.rpc and google.type)"
    package = "/".join(parts[1:3] if parts[1].startswith("@") else parts[1:2])
    return f"{package} {json.loads((PAGE / 'node_modules' / package / 'package.json').read_text())['version']}"


def _package(program: str, *arguments: str) -> list[str | Path]:
    """How a program of a package is called: its own starter may name another Node."""
    return ["node", Path("node_modules") / program, *arguments]


def _run(*command: str | Path) -> None:
    path = os.pathsep.join([str(ROOT / ".tools"), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    program = shutil.which(command[0], path=path) or command[0]
    subprocess.run([program, *command[1:]], check=True, cwd=PAGE, env=environment)


def main() -> int:
    """Build, check the types, and replace what is committed; or compare, where exit 1 names the files that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is committed instead of replacing it")
    check: bool = parser.parse_args().check
    if not (PAGE / "node_modules").exists():
        print("The packages of the page are not there: `make .tools/.complete` fetches them, or says why it cannot.")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        try:
            build(out)
            if check:
                return _compare(out)
            check_types()
        except subprocess.CalledProcessError as refused:
            return refused.returncode
        shutil.rmtree(DIST, ignore_errors=True)
        DIST.mkdir()
        for file in out.iterdir():
            shutil.copyfile(file, DIST / file.name)
    size = sum(file.stat().st_size for file in DIST.iterdir())
    print(f"Built {DIST.relative_to(ROOT)} ({size // 1024} KiB)")
    return 0


def _compare(out: Path) -> int:
    built, committed = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in (out, DIST))
    stale = sorted(name for name in built.keys() | committed.keys() if built.get(name) != committed.get(name))
    if stale:
        print("The page is stale; run `make web`. Different:", *stale, sep="\n  ")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
