"""How fixes travel to the other workers: a sender, then a fixed number of bytes for each courier. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from math import isnan
from typing import Final
from uuid import UUID

from marketd.kernel.values.geo import Point
from marketd.tracking.values import Fix

SENDER_BYTES: Final = 8
_FIX: Final = struct.Struct(">16sqqqddfff")
# Broadcast takes 5,000 bytes.
_FIXES_A_MESSAGE: Final = (5_000 - SENDER_BYTES) // _FIX.size
_UNKNOWN: Final = float("nan")


def pack_fixes(sender: bytes, fixes: Sequence[tuple[UUID, Fix]]) -> Iterator[bytes]:
    """Messages with all of the fixes. fixes: (courier id, fix); `sender` has SENDER_BYTES."""
    for start in range(0, len(fixes), _FIXES_A_MESSAGE):
        packed = [_pack(courier_id, fix) for courier_id, fix in fixes[start : start + _FIXES_A_MESSAGE]]
        yield sender + b"".join(packed)


def unpack_fixes(message: bytes) -> Iterator[tuple[UUID, Fix]]:
    """The fixes of a message, each with its courier's id."""
    for courier, seq, sampled, received, latitude, longitude, accuracy, speed, heading in _FIX.iter_unpack(
        message[SENDER_BYTES:]
    ):
        yield (
            UUID(bytes=courier),
            Fix(seq, sampled, received, Point(latitude, longitude), _known(accuracy), _known(speed), _known(heading)),
        )


def _pack(courier_id: UUID, fix: Fix) -> bytes:
    return _FIX.pack(
        courier_id.bytes,
        fix.seq,
        fix.sample_micros,
        fix.receive_micros,
        fix.point.latitude,
        fix.point.longitude,
        _UNKNOWN if fix.accuracy_meters is None else fix.accuracy_meters,
        _UNKNOWN if fix.speed_mps is None else fix.speed_mps,
        _UNKNOWN if fix.heading_degrees is None else fix.heading_degrees,
    )


def _known(value: float) -> float | None:
    return None if isnan(value) else value
