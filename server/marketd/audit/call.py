"""One audited call. The edge, which sees every outcome, and the log, which keeps it, both know this value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from marketd.audit.changes import AuditChange
from marketd.kernel.call.caller import Caller


class Act(StrEnum):
    """What is done outside of calls, by the name that stands in the log for the method."""

    CREATE_ADMIN = "marketd create-admin"
    END_ORDER = "order.end"
    END_DELIVERY = "delivery.end"
    GIVE_BACK_DELIVERY = "delivery.give_back"
    DISABLE_TOTP = "marketd disable-totp"
    ROTATE_KEYS = "marketd keys rotate"
    SEND_RESET_LETTER = "auth.password_reset"


@dataclass(frozen=True, slots=True)
class AuditedWords:
    """What an entry can name: the methods that there are, and the kinds of things."""

    methods: frozenset[str]
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class AuditedCall:
    """One call of an audited method: who (and from where), what, about which thing, how it ended, and why.

    `code` and `reason` are the status code's and the refusal's names; a success is OK without a reason. The texts hold
    no secrets, bodies or positions; `comment` is the caller's own words. `changes` is empty where nothing is known of
    values.
    """

    method: str
    caller: Caller
    correlation_id: str
    resource_type: str = ""
    resource_id: str = ""
    code: str = "OK"
    reason: str = ""
    comment: str = ""
    changes: tuple[AuditChange, ...] = ()
