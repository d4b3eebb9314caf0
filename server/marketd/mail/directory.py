"""A Mailer that keeps letters as .eml files in a folder: for development, and for whoever picks them up from there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from marketd.mail.errors import MailUnavailable
from marketd.mail.ports import Letter


class DirectoryMailer:
    """One file a letter, named by its id, so that letters sort by time and one sent twice is there once.

    Letters hold codes: the folder is its owner's alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, letter: Letter) -> None:
        """Write the letter's file, whole or not at all. Raises MailUnavailable when the folder does not take it."""
        try:
            await asyncio.to_thread(self._write, letter)
        except OSError as error:
            raise MailUnavailable(f"the mail folder cannot be written to ({error.strerror})") from None

    def _write(self, letter: Letter) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{letter.letter_id}-{letter.template}.eml"
        partial = path.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(letter.message.as_bytes())
        partial.replace(path)
