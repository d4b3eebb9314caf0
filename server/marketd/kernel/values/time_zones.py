"""The time zones that there are: those of the IANA database, whatever files the machine has besides."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# In the list and no zone: what clocks show before anybody has set them.
_NO_ZONE = "Factory"


def is_time_zone(name: str) -> bool:
    """Whether the IANA database has the zone by exactly this name, such as Europe/Berlin or UTC.

    Asking zoneinfo would take the files of the machine for zones too: localtime, posixrules, posix/…, right/….
    """
    return name in _names()


@cache
def _names() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split()) - {_NO_ZONE}
