"""Fetch the component that shows the OpenAPI document, as npm has it, into the page that is shipped.

Run it by hand after changing the version and the hash here; the page brings the component along, so that it needs no
network where it is read. A test holds the committed files against FILES.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "9.3.8"
INTEGRITY = "eCYEbr1Xr8OJZvVCw8SXl9zBCRoLJbhNGuG5IZTHq/RWAOq/O4MafUCuFEyZHsrhLrlUcGZMa64pyhpib8fQKQ=="
"""The SHA-512 of the package, as the registry has it."""
FILES = {
    "package/LICENSE.txt": (
        "rapidoc-LICENSE.txt",
        "92682ac573adb5e1357f1f41dd0eaa2f0e9dd6116b569218978c2469c1cd085c",
    ),
}
"""By their place in the package: the name here, and the SHA-256."""
TARGET = Path(__file__).resolve().parent.parent / "server" / "marketd" / "gateway" / "pages" / "docs"


def main() -> None:
    """Fetch, compare and copy."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", f"rapidoc@{VERSION}"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        [packed] = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            raise SystemExit(f"rapidoc {VERSION} is another package than the one that is pinned: {found}")
        with tarfile.open(packed) as tar:
            for place, (name, _) in FILES.items():
                stream = tar.extractfile(place)
                if stream is None:
                    raise SystemExit(f"rapidoc {VERSION} has no {place}")
                (TARGET / name).write_bytes(stream.read())


if __name__ == "__main__":
    main()
