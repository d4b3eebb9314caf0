"""Assemble the third-party .proto files that the contract imports into .third_party/, from pinned packages only.

google/* comes out of the installed googleapis-common-protos wheel. buf/validate/validate.proto is carried by no
wheel, only by the source archive of protovalidate 1.2.0 (the same descriptor as the 2.x runtime); the archive is
downloaded by pip and never installed or executed beyond reading that one member.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".third_party"
ARCHIVE = "protovalidate==1.2.0"
GOOGLE_FOLDERS = ("google/api", "google/rpc", "google/type")


def google_protos(target: Path) -> None:
    """Copy google/{api,rpc,type}/*.proto from the installed wheel."""
    spec = importlib.util.find_spec("google.type")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("googleapis-common-protos is not installed; run `make setup`.")
    for place in spec.submodule_search_locations:
        root = Path(place).parent.parent
        for folder in GOOGLE_FOLDERS:
            for source in sorted((root / folder).glob("*.proto")):
                destination = target / folder / source.name
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, destination)


def validate_proto(target: Path) -> None:
    """Take validate.proto out of the source archive."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--no-build-isolation", "--no-binary", "protovalidate", "--dest", folder, ARCHIVE],
            check=True,
        )  # fmt: skip
        archive = next(Path(folder).glob("protovalidate-*.tar.gz"))
        with tarfile.open(archive) as tar:
            member = next((m for m in tar.getmembers() if m.name.endswith("buf/validate/validate.proto")), None)
            stream = tar.extractfile(member) if member is not None else None
            if stream is None:
                raise SystemExit(f"{ARCHIVE} does not carry buf/validate/validate.proto any more.")
            destination = target / "buf/validate/validate.proto"
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.write_bytes(stream.read())


def main() -> None:
    """Build the folder beside its final place and swap it in, so a killed run leaves nothing half made."""
    stamp = f"{ARCHIVE}\n{Path(__file__).read_text()}"
    done = TARGET / ".complete"
    if done.exists() and done.read_text() == stamp:
        return
    fresh = TARGET.with_name(".third_party.new")
    shutil.rmtree(fresh, ignore_errors=True)
    google_protos(fresh)
    validate_proto(fresh)
    (fresh / ".complete").write_text(stamp)
    shutil.rmtree(TARGET, ignore_errors=True)
    fresh.rename(TARGET)


if __name__ == "__main__":
    main()
