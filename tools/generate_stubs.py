"""Generate the Python stubs from protos/ into clients/python, or with --check only say whether they are up to date.

Everything is generated into an ignored folder first; then marketplace/, buf/ and google's .pyi files are replaced,
so the hand-written client beside them is never touched. Generation is deterministic: the same pinned tools give the
same bytes. marketplace/contract.binpb holds the contract's descriptors with their comments, which the stubs lack.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "clients" / "python"
FOLDERS = ("marketplace", "buf", "google")
# In refusals, and imported by no file of ours.
OF_REFUSALS = ("google/rpc/status.proto", "google/rpc/error_details.proto", "google/rpc/code.proto")


def generate(out: Path) -> None:
    """Run buf with every plugin's output under `out`."""
    template = (ROOT / "protos" / "buf.gen.yaml").read_text().replace("out: .stubs", f"out: {out}")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "buf.gen.yaml"
        config.write_text(template)
        scripts = str(Path(sys.executable).parent)
        environment = {**os.environ, "PATH": scripts + os.pathsep + os.environ.get("PATH", "")}
        subprocess.run(["buf", "generate", "--template", str(config)], check=True, cwd=ROOT, env=environment)
        built = Path(folder) / "all.binpb"
        build = ["buf", "build", "--as-file-descriptor-set", "-o", str(built)]
        subprocess.run(build, check=True, cwd=ROOT, env=environment)
        (out / "marketplace" / "contract.binpb").write_bytes(contract(built.read_bytes()))
    for below in [out / "marketplace", *(p for p in (out / "marketplace").rglob("*") if p.is_dir())]:
        (below / "__init__.py").touch()
    for package in ("buf", "buf/validate"):
        (out / package / "__init__.py").touch()
    for package in ("marketplace", "buf"):
        (out / package / "py.typed").touch()  # mypy reads the types of an installed package only where this lies
    # Google's own modules come from the googleapis-common-protos wheel; only the types are ours to add.
    for path in (out / "google").rglob("*"):
        if path.is_file() and path.suffix != ".pyi":
            path.unlink()
    shutil.rmtree(out / "google" / "protobuf", ignore_errors=True)  # types-protobuf has these
    # Types of some of its modules would hide the others, which the contract does not import, from mypy.
    shutil.rmtree(out / "google" / "rpc", ignore_errors=True)


def contract(built: bytes) -> bytes:
    """Of all files that were built ours, those of refusals and what they import, with the comments and no places."""
    files = {file.name: file for file in FileDescriptorSet.FromString(built).file}
    found: dict[str, FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name not in found:
            for imported in files[name].dependency:
                add(imported)
            found[name] = files[name]

    for name in sorted(files):
        if name.startswith("marketplace/") or name in OF_REFUSALS:
            add(name)
    for file in found.values():
        comments = [
            place
            for place in file.source_code_info.location
            if place.leading_comments or place.trailing_comments or place.leading_detached_comments
        ]
        del file.source_code_info.location[:]
        file.source_code_info.location.extend(comments)
    return FileDescriptorSet(file=found.values()).SerializeToString(deterministic=True)


def tree(root: Path) -> dict[str, bytes]:
    """Every generated file below the three folders, by its relative path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def main() -> int:
    """Regenerate, or compare; exit 1 names the first files that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is committed instead of replacing it")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="stubs-") as folder:
        out = Path(folder)
        generate(out)
        if check:
            fresh, committed = tree(out), tree(CLIENT)
            stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
            if stale:
                print("Stubs are stale; run `make stubs`. Different:", *stale[:20], sep="\n  ")
            return 1 if stale else 0
        for name in FOLDERS:
            shutil.rmtree(CLIENT / name, ignore_errors=True)
            shutil.copytree(out / name, CLIENT / name)
    print(f"Stubs written to {CLIENT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
