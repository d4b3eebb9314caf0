"""What the demo reports: steps with their outcome, the summary, and what is checked. No output happens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc

Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | Sequence[Json] | None"
Detail: TypeAlias = dict[str, Json]


class CheckFailed(Exception):
    """Something that should hold does not; the text says what was expected and what was found."""


def require(holds: object, otherwise: str) -> None:
    """Raise CheckFailed with this text unless the first argument is true."""
    if not holds:
        raise CheckFailed(otherwise)


@dataclass(frozen=True)
class DemoOptions:
    """How to play the story. `speed` is times faster than recorded: 0 means without waiting, None about 15 s in all."""

    target: str
    products: Path
    trace: Path
    speed: float | None
    admin_email: str
    admin_password: str = field(repr=False)
    admin_token: str | None = field(default=None, repr=False)
    credentials: grpc.ChannelCredentials | None = None
    """TLS, when the server speaks it; None for plain text."""
    plaintext: bool = False
    """Whether plain text may go to another machine."""
    silence_seconds: float = 8.0
    """How long none of a ride's positions need be acknowledged before the server is asked whether it is there.

    A worker that died is back sooner.
    """
    patience_seconds: float = 0.0
    """How long to wait for the data of `serve --demo` while the marketplace is empty and has no such admin."""


@dataclass(frozen=True)
class StepRecord:
    """A step that is over. `error` is empty when it held."""

    step: str
    title: str
    ok: bool
    seconds: float
    detail: Mapping[str, Json]
    error: str = ""


@dataclass(frozen=True)
class Summary:
    """How the whole story went. `watch_events` counts the messages of the buyer's watch by kind."""

    ok: bool
    seconds: float
    steps: int
    positions_sent: int
    positions_stored: int
    positions_rejected: int
    watch_events: Mapping[str, int]


@dataclass
class Progress:
    """What the screen shows while the story plays; whoever knows something writes it here."""

    order_number: str = ""
    order_state: str = ""
    delivery_state: str = ""
    courier: str = ""
    eta: str = ""
    where: str = ""
    positions: int = 0
    sent: int = 0
    stored: int = 0
    rejected: int = 0
    watch_events: dict[str, int] = field(default_factory=dict)
