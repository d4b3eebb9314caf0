"""What a load process is told to do and what it found, as values that travel as one line of JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Calls:
    """Unary calls in a closed loop.

    `requests`: (access token or "", request) taken in turn; with `seconds` again and again, without it each once.
    `pause_seconds` lie between an answer and the next call.
    """

    target: str
    path: str
    requests: Sequence[tuple[str, bytes]]
    in_flight: int
    connections: int
    seconds: float | None = None
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WebCalls:
    """Calls by HTTP/1.1 in a closed loop, one in flight on each connection.

    `requests`: (access token or "", body) taken in turn. An empty `content_type` is sent as none. `pause_seconds` lie
    between an answer and the next call.
    """

    target: str
    verb: str
    path: str
    content_type: str
    requests: Sequence[tuple[str, bytes]]
    in_flight: int
    seconds: float
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Refreshes:
    """RefreshTokens in chains, one in flight each: the token of an answer is that of the next request."""

    target: str
    path: str
    tokens: Sequence[str]
    connections: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Uplink:
    """One courier's stream: where its numbers, its clock and its way begin."""

    token: str
    uplink_id: str
    first_seq: int
    first_sample_micros: int
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Positions:
    """Streams of positions: `messages` on each, `rate_hz` a second, at most `window` of them not yet acknowledged."""

    target: str
    path: str
    uplinks: Sequence[Uplink]
    messages: int
    positions_per_message: int
    rate_hz: float
    window: int
    connections: int


@dataclass(frozen=True, slots=True)
class Fanout:
    """Watchers of one thing and one uplink: a position goes up when every watcher has the one before."""

    target: str
    watch_path: str
    watch_token: str
    watch_request: bytes
    uplink_path: str
    uplink: Uplink
    watchers: int
    connections: int
    seconds: float


Work = Calls | WebCalls | Refreshes | Positions | Fanout
_KINDS: Mapping[str, type[Work]] = {kind.__name__: kind for kind in (Calls, WebCalls, Refreshes, Positions, Fanout)}


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it. `refused`: how often which status came; anything there makes the measure void.

    `tokens`: where the chains of Refreshes stand. `positions`: how far the numbers of the uplinks went.
    """

    count: int
    seconds: float
    latencies_us: Sequence[int]
    refused: Mapping[str, int] = field(default_factory=dict)
    tokens: Sequence[str] = ()
    positions: int = 0


def dump(work: Work) -> str:
    """One line for a load process."""
    return json.dumps({"kind": type(work).__name__, **asdict(work)}, default=_bytes)


def load(line: str) -> Work:
    """The work of `dump`."""
    given: dict[str, Any] = json.loads(line, object_hook=_object)
    return _KINDS[given.pop("kind")](**given)


def dump_found(found: Found) -> str:
    """One line for whoever gave the work."""
    return json.dumps(asdict(found))


def load_found(line: str) -> Found:
    """The findings of `dump_found`."""
    return Found(**json.loads(line))


def merge(parts: Sequence[Found]) -> Found:
    """The findings of processes that worked at the same time."""
    refused: dict[str, int] = {}
    for part in parts:
        for status, times in part.refused.items():
            refused[status] = refused.get(status, 0) + times
    return Found(
        count=sum(part.count for part in parts),
        seconds=max(part.seconds for part in parts),
        latencies_us=[latency for part in parts for latency in part.latencies_us],
        refused=refused,
        tokens=[token for part in parts for token in part.tokens],
        positions=max(part.positions for part in parts),
    )


def _bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} does not travel")


def _object(found: dict[str, Any]) -> Any:
    if found.keys() == {"base64"}:
        return base64.b64decode(found["base64"])
    if "uplink_id" in found:
        return Uplink(**found)
    return found
