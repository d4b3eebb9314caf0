"""Says what would break callers of the methods that protos/baseline.binpb has as STABLE: buf breaking, on these alone.

Whatever a STABLE method reaches counts, its rule as well. Methods that are BETA may change until their slice is
complete; whoever breaks a STABLE one has a reason, writes it into the changelog and replaces the baseline with it:
`buf build protos -o protos/baseline.binpb`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from marketplace.policy.v1 import policy_pb2

ROOT = Path(__file__).resolve().parent.parent
BASELINE = "protos/baseline.binpb"


def stable_methods(image: bytes) -> list[str]:
    """The full names of the methods that an image has as STABLE."""
    return [
        f"{file.package}.{service.name}.{method.name}"
        for file in FileDescriptorSet.FromString(image).file
        for service in file.service
        for method in service.method
        if method.options.Extensions[policy_pb2.rule].stability == policy_pb2.STABILITY_STABLE
    ]


def buf(*argv: str) -> None:
    """Run buf at the top; where it finds something, say what and end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if subprocess.run(["buf", *argv], cwd=ROOT, env={**os.environ, "PATH": path}, check=False).returncode:
        sys.exit(1)


def main() -> None:
    """Build both sides with the STABLE methods and what they reach, and compare."""
    types = [option for name in stable_methods((ROOT / BASELINE).read_bytes()) for option in ("--type", name)]
    if not types:
        return
    with tempfile.TemporaryDirectory() as folder:
        before, now = f"{folder}/before.binpb", f"{folder}/now.binpb"
        buf("build", BASELINE, *types, "-o", before)
        buf("build", "protos", *types, "-o", now)  # fails, and names it, where a STABLE method is gone
        buf("breaking", now, "--against", before)


if __name__ == "__main__":
    main()
