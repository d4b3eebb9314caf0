"""The events of promo codes themselves; that one was used, or given back, orders tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from marketd.kernel.events.events import Event


@dataclass(frozen=True, kw_only=True)
class PromoCodeEvent(Event):
    """What they have in common. seller_id: whose code it is, None for the marketplace's."""

    aggregate: ClassVar[str] = "promo_code"

    promo_code_id: UUID
    seller_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class PromoCodeCreated(PromoCodeEvent):
    """There is a new code."""

    event_type: ClassVar[str] = "promo_code.created"


@dataclass(frozen=True, kw_only=True)
class PromoCodeUpdated(PromoCodeEvent):
    """Something of a code is otherwise than before."""

    event_type: ClassVar[str] = "promo_code.updated"


@dataclass(frozen=True, kw_only=True)
class PromoCodeDisabled(PromoCodeEvent):
    """Nobody can use the code any more."""

    event_type: ClassVar[str] = "promo_code.disabled"
