"""Files for a gateway of the tests to hand out, and others beside them that it must not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SECRET: Final = b"nobody reads this over the gateway\n"
PICTURE: Final = bytes(range(256)) * 40
NAME: Final = "ab" * 32
SCRIPT: Final = b"// greets\n" * 400
LARGE: Final = bytes(range(251)) * 4_200
"""More than fits into buffers on the way, and than gets an etag."""


def make_pages(folder: Path) -> Path:
    """A folder of pages, in a folder with a secret beside it."""
    pages = folder / "pages"
    for path, content in {
        "index.html": b"<h1>front</h1>",
        "shop.js": SCRIPT,
        "a b.txt": b"blank",
        "fish/index.html": b"<h1>fish</h1>",
        "empty.css": b"",
        "large.bin": LARGE,
        ".env": SECRET,
        ".git/config": SECRET,
        "fish/.hidden/x.txt": SECRET,
        "bare/readme": b"no ending",
        f"media/private/{NAME}.webp": SECRET,
    }.items():
        target = pages / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "secret.txt").write_bytes(SECRET)
    return pages


def fill_media(folder: Path) -> None:
    """A public picture in the pictures' folder, and all that is not public."""
    for path, content in {
        f"{NAME}.webp": PICTURE,
        "private/0190-a/full.webp": SECRET,
        f"private/{'cd' * 32}.webp": SECRET,
        f".incoming/{'ef' * 16}.part": SECRET,
        f"{'ef' * 32}.part": SECRET,
        f"{'ef' * 32}": SECRET,
        "check.webp": SECRET,
        f"{'AB' * 32}.webp": SECRET,
    }.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
