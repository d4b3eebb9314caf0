"""Identifiers: UUIDv7 for rows (time-ordered, so indexes grow at one end) and short numbers that people read aloud."""

from __future__ import annotations

import secrets
from uuid import UUID

from uuid_utils.compat import uuid7

# No vowels and none of 0/O, 1/I/L: nothing to mishear on the phone, and no words by accident.
_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXZ"
_NUMBERS = len(_ALPHABET) ** 8


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562)."""
    return uuid7()


def new_order_number() -> str:
    """A short human order number such as `K7QW-2M9T`; unique by constraint, a clash is retried by the transactor."""
    left = secrets.randbelow(_NUMBERS)  # once for all letters: asking the system for randomness is what takes time
    text = ""
    for _ in range(8):
        left, place = divmod(left, len(_ALPHABET))
        text += _ALPHABET[place]
    return f"{text[:4]}-{text[4:]}"
