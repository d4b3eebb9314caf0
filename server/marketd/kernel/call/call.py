"""The call being served: its correlation id, caller, deadline and idempotency key, for whoever runs below it."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from marketd.kernel.call.caller import ANONYMOUS, Caller


@dataclass(frozen=True, slots=True)
class OnceKey:
    """What makes a repeated request recognisable: same caller, method and request id, and the HMAC of the request."""

    caller_key: str
    method: str
    request_id: str
    fingerprint: bytes


@dataclass(slots=True)
class Call:
    """One rpc in flight.

    `deadline` is on the monotonic clock, in seconds. `replayed` is set by the transactor when the answer is the stored
    first one, and read by transport for the trailing metadata. `language` is what the caller would
    rather read (BCP 47), empty when nothing says so. `trailing` takes further trailing metadata. `by_http` says that
    an answer stream is read as HTTP, whose readers see no trailers; `leading` takes headers of it, before its first
    answer. A servicer
    sets `cache_tag` when its answer is the same for every caller, so transport may keep the bytes until the tag is
    dropped (and never longer than a second). `about` is for the audit log: `<kind>/<id>` of the thing that the call is
    about, where the request does not name it; `audited` says that the effect's own transaction has written the entry.
    """

    method: str = ""
    correlation_id: str = ""
    caller: Caller = ANONYMOUS
    deadline: float | None = None
    once: OnceKey | None = None
    token: str = ""
    user_agent: str = ""
    language: str = ""
    replayed: bool = False
    cache_tag: str = ""
    about: str = ""
    audited: bool = False
    by_http: bool = False
    leading: list[tuple[str, str]] = field(default_factory=list)
    trailing: list[tuple[str, str]] = field(default_factory=list)

    def remaining_seconds(self, otherwise: float) -> float:
        """Time left, or `otherwise` when the call has no deadline (jobs, start-up)."""
        return otherwise if self.deadline is None else self.deadline - time.monotonic()


_current: ContextVar[Call] = ContextVar("marketd_call")


def current() -> Call:
    """The call being served in this context; outside of one, a fresh anonymous call."""
    call = _current.get(None)
    return call if call is not None else Call()


def enter(call: Call) -> None:
    """Make `call` the current one for this task and all it starts."""
    _current.set(call)


def current_caller() -> Caller:
    """The caller of the call being served."""
    return current().caller
