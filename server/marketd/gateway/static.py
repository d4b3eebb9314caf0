"""The folder of pages that a gateway serves: the one that comes with marketd, and whether another one will do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def hello_pages() -> Path | None:
    """The page that comes with marketd: shipped inside the wheel, or built in the checkout's own folder; else None."""
    packaged = Path(__file__).parents[1] / "_hello"
    found = packaged if packaged.exists() else Path(__file__).parents[3] / "clients" / "web" / "hello" / "dist"
    return found if (found / "index.html").is_file() else None


class StaticFolderUnfit(Exception):
    """The folder of static pages cannot be handed out; the text says why, and what to do."""


def check_static_folder(folder: Path, private: Iterable[Path]) -> None:
    """Whether the folder can be handed out whole: it has files alone, nothing `private`, and no links out of it.

    A link is followed, also one that is made later. Raises StaticFolderUnfit.
    """
    if not folder.is_dir():
        raise StaticFolderUnfit(f"{folder} is not a folder; name the one that holds index.html.")
    root = folder.resolve()
    for each in private:
        if each.resolve().is_relative_to(root):
            raise StaticFolderUnfit(f"{folder} holds {each}, which is not for everybody; name a folder of pages alone.")
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            each = Path(parent, name)
            if each.is_symlink() and not each.resolve().is_relative_to(root):
                raise StaticFolderUnfit(
                    f"{each.relative_to(root)} in {folder} is a link that leads out of the folder; put a copy there, "
                    "or remove it."
                )
            if each.exists() and not each.is_file() and not each.is_dir():
                # Opening a pipe waits for its other end, and a thread of Envoy's would wait with all its clients.
                raise StaticFolderUnfit(f"{each.relative_to(root)} in {folder} is no file that can be read; remove it.")
