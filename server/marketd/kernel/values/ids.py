"""Identifiers: UUIDv7 for rows (time-ordered, so indexes grow at one end) and short numbers that people read aloud."""

from __future__ import annotations

import secrets
from uuid import UUID

from uuid_utils.compat import uuid7

# No vowels and none of 0/O, 1/I/L: nothing to mishear on the phone, and no words by accident.
_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXZ"


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562)."""
    return uuid7()


def new_order_number() -> str:
    """A short human order number such as `K7QW-2M9T`; unique by constraint, a clash is retried by the transactor."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"{text[:4]}-{text[4:]}"
