"""How a stream that REST shows as lines of JSON says why it ended: as a field that only the gateway's descriptors have.

JSON over HTTP has no trailers that its readers see. So the gateway asks for the status as a last message: it knows the
field `error` of every streamed answer, which the contract does not have, since whoever speaks gRPC needs none.
"""

from __future__ import annotations

from typing import Final

STREAM_ERRORS: Final = "x-stream-errors"
"""The metadata by which the gateway asks, with the value `message`."""
ERROR_FIELD: Final = "error"
ERROR_NUMBER: Final = (1 << 29) - 1
"""The highest number that a field may have: no message of the contract will ever get there."""

_LENGTH_DELIMITED: Final = 2


def error_message(status: bytes) -> bytes:
    """The message of any answer stream that has nothing but this google.rpc.Status as its `error`."""
    return _varint(ERROR_NUMBER << 3 | _LENGTH_DELIMITED) + _varint(len(status)) + status


def _varint(number: int) -> bytes:
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    coded.append(number)
    return bytes(coded)
