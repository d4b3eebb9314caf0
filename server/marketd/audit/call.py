"""One audited call. The edge, which sees every outcome, and the log, which keeps it, both know this value."""

from __future__ import annotations

from dataclasses import dataclass

from marketd.kernel.call.caller import Caller


@dataclass(frozen=True, slots=True)
class AuditedCall:
    """One call of an audited method: who (and from where), what, about which thing, how it ended, and why.

    `code` and `reason` are the status code's and the refusal's names; a success is OK without a reason. The texts hold
    no secrets, bodies or positions; `comment` is the caller's own words.
    """

    method: str
    caller: Caller
    correlation_id: str
    resource_type: str = ""
    resource_id: str = ""
    code: str = "OK"
    reason: str = ""
    comment: str = ""
