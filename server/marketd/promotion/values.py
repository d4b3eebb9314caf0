"""The values of promotions: codes, what they take off, and what keeps one from doing so. No SQL or protobuf here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from marketd.audit.changes import UNSAID
from marketd.kernel.call.reasons import Reason
from marketd.kernel.values.money import Money
from marketd.promotion.model import Funding, PromoCodeState, PromoKind


def code_key(code: str) -> str:
    """The same for codes that differ only in case or in blanks around them."""
    return code.strip().lower()


@dataclass(frozen=True, slots=True)
class PromoLine:
    """A line of a cart or quote, as promotions see it.

    amount_minor: what the line comes to before discounts. category_id: of its product; None when it has none.
    """

    variant_id: UUID
    seller_id: UUID
    product_id: UUID
    category_id: UUID | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Basket:
    """What is on a cart: lines (0..100, unique variant_id, in their order) and codes, in the order applied."""

    lines: tuple[PromoLine, ...]
    promo_code_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class PromoScope:
    """What a code is for: what fits each of the lists that is not empty."""

    seller_ids: tuple[UUID, ...] = ()
    category_ids: tuple[UUID, ...] = ()
    product_ids: tuple[UUID, ...] = ()

    def covers(self, line: PromoLine) -> bool:
        """Whether a line fits. A category fits itself alone: whoever asks names those below as well."""
        return (
            (not self.seller_ids or line.seller_id in self.seller_ids)
            and (not self.category_ids or line.category_id in self.category_ids)
            and (not self.product_ids or line.product_id in self.product_ids)
        )


@dataclass(frozen=True, slots=True)
class PromoTerms:
    """What a code takes off, and of which lines: all that the arithmetic needs.

    rate: of PERCENT, in ten-thousandths of a percent, above 0. amount_minor: of FIXED, above 0. seller_id: whose code
    it is, for whose goods alone it is then. scope: see PromoScope.covers for categories.
    """

    promo_code_id: UUID
    code: str = field(metadata=UNSAID)
    terms_version: int
    kind: PromoKind
    rate: int | None = None
    amount_minor: int | None = None
    max_discount_minor: int | None = None
    seller_id: UUID | None = None
    scope: PromoScope = PromoScope()
    description: str = ""

    @property
    def funded_by(self) -> Funding:
        """Who pays for what it takes off."""
        return Funding.PLATFORM if self.seller_id is None else Funding.SELLER

    def covers(self, line: PromoLine) -> bool:
        """Whether the code is for this line."""
        return (self.seller_id is None or line.seller_id == self.seller_id) and self.scope.covers(line)


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a code takes off a cart, or off what is ordered; frozen with a quote.

    line_shares: by variant_id, each above 0. delivery_shares: by the seller_id of the package, each above 0; empty as
    long as no fees are known. `terms_version` is that of the code's terms when it was made. seller_id: whose code it
    is, None for the platform's.
    """

    promo_code_id: UUID
    code: str = field(metadata=UNSAID)
    terms_version: int
    kind: PromoKind
    funded_by: Funding
    line_shares: Mapping[UUID, int]
    delivery_shares: Mapping[UUID, int]
    description: str = ""
    seller_id: UUID | None = None

    @property
    def discount_minor(self) -> int:
        """What it takes off the lines."""
        return sum(self.line_shares.values())

    @property
    def delivery_discount_minor(self) -> int:
        """What it takes off the delivery fees."""
        return sum(self.delivery_shares.values())

    def to_json(self) -> dict[str, object]:
        """For a stored payload."""
        return {
            "promo_code_id": str(self.promo_code_id),
            "code": self.code,
            "terms_version": self.terms_version,
            "kind": self.kind.value,
            "funded_by": self.funded_by.value,
            "line_shares": {str(key): share for key, share in self.line_shares.items()},
            "delivery_shares": {str(key): share for key, share in self.delivery_shares.items()},
            "description": self.description,
            "seller_id": None if self.seller_id is None else str(self.seller_id),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The promotion of a stored payload; what a newer version has put in besides is passed over."""
        seller_id = found["seller_id"]
        return cls(
            promo_code_id=UUID(found["promo_code_id"]),
            code=found["code"],
            terms_version=found["terms_version"],
            kind=PromoKind(found["kind"]),
            funded_by=Funding(found["funded_by"]),
            line_shares={UUID(key): share for key, share in found["line_shares"].items()},
            delivery_shares={UUID(key): share for key, share in found["delivery_shares"].items()},
            description=found["description"],
            seller_id=None if seller_id is None else UUID(seller_id),
        )


@dataclass(frozen=True, slots=True)
class PromoProblem:
    """Why a code takes nothing off: PROMO_NOT_FOUND, _EXPIRED, _EXHAUSTED or _NOT_APPLICABLE, and a sentence that says
    what to do. promo_code_id: None for a code that there is not; `code` is then as it was asked for.
    """

    promo_code_id: UUID | None
    code: str = field(metadata=UNSAID)
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the codes of a cart do: each stands either in `promotions` (in the order in which they count) or in
    `problems` (in the order applied).
    """

    promotions: tuple[Promotion, ...] = ()
    problems: tuple[PromoProblem, ...] = ()

    @property
    def line_discounts(self) -> dict[UUID, int]:
        """What all codes together take off each line, by variant_id; lines without a discount are left out."""
        return _sums([promotion.line_shares for promotion in self.promotions])

    @property
    def delivery_discounts(self) -> dict[UUID, int]:
        """What all codes together take off each package's fee, by seller_id; others are left out."""
        return _sums([promotion.delivery_shares for promotion in self.promotions])


def _sums(shares: Sequence[Mapping[UUID, int]]) -> dict[UUID, int]:
    found: dict[UUID, int] = {}
    for each in shares:
        for key, share in each.items():
            found[key] = found.get(key, 0) + share
    return found


@dataclass(frozen=True, slots=True)
class FoundCode:
    """A code that somebody entered, as it was issued."""

    promo_code_id: UUID
    code: str = field(metadata=UNSAID)


@dataclass(frozen=True, slots=True)
class CodesBeside:
    """Codes that may join others on a cart, and those that may not."""

    along: tuple[FoundCode, ...]
    dropped: tuple[FoundCode, ...]


@dataclass(frozen=True, slots=True)
class PromoCode:
    """A promo code; model.PromoCodeTable says what is not in the contract. `code_key` compares codes.

    rate: of PERCENT, see kernel.values.tax. start_time, end_time: valid from the one on and before the other, None is
    no bound.
    """

    promo_code_id: UUID
    code: str = field(metadata=UNSAID)
    code_key: str = field(metadata=UNSAID)
    seller_id: UUID | None
    kind: PromoKind
    currency: str
    rate: int | None
    amount_minor: int | None
    scope_seller_ids: tuple[UUID, ...]
    scope_category_ids: tuple[UUID, ...]
    scope_product_ids: tuple[UUID, ...]
    min_subtotal_minor: int | None
    max_discount_minor: int | None
    start_time: datetime | None
    end_time: datetime | None
    usage_limit: int | None
    per_user_limit: int | None
    first_order_only: bool
    stackable: bool
    description: str
    usage_count: int = field(metadata=UNSAID)
    usage_ceiling: int | None = field(metadata=UNSAID)
    per_user_ceiling: int | None = field(metadata=UNSAID)
    terms_version: int = field(metadata=UNSAID)
    create_time: datetime
    update_time: datetime
    disable_time: datetime | None
    version: int

    @property
    def funded_by(self) -> Funding:
        """Who pays for what it takes off."""
        return Funding.PLATFORM if self.seller_id is None else Funding.SELLER

    @property
    def scope(self) -> PromoScope:
        """What it is for, as it was given."""
        return PromoScope(self.scope_seller_ids, self.scope_category_ids, self.scope_product_ids)

    def money(self, amount_minor: int) -> Money:
        """An amount of the code's own currency."""
        return Money(amount_minor, self.currency)

    def seen(self, now: datetime) -> SeenCode:
        """The code as it is seen at that instant."""
        return SeenCode(self, self.state(now))

    def state(self, now: datetime) -> PromoCodeState:
        """Whether it can be used now; repository/codes.py says the same in SQL."""
        if self.disable_time is not None:
            return PromoCodeState.DISABLED
        if self.end_time is not None and now >= self.end_time:
            return PromoCodeState.EXPIRED
        if self.usage_limit is not None and self.usage_count >= self.usage_limit:
            return PromoCodeState.EXHAUSTED
        if self.start_time is not None and now < self.start_time:
            return PromoCodeState.SCHEDULED
        return PromoCodeState.ACTIVE


@dataclass(frozen=True, slots=True)
class SeenCode:
    """A promo code with its state at the instant when it was looked at."""

    value: PromoCode
    state: PromoCodeState


@dataclass(frozen=True, slots=True)
class NewPromoCode:
    """A promo code to be made; seller_id None: the caller's shop, or for admins the marketplace."""

    code: str = field(metadata=UNSAID)
    seller_id: UUID | None
    kind: PromoKind
    rate: int | None
    amount: Money | None
    scope: PromoScope
    min_subtotal: Money | None
    max_discount: Money | None
    start_time: datetime | None
    end_time: datetime | None
    usage_limit: int | None
    per_user_limit: int | None
    first_order_only: bool
    stackable: bool
    description: str


@dataclass(frozen=True, slots=True)
class PromoCodeChange:
    """New values for the fields that `paths` names: those of the contract's PromoCode that may be changed.

    scope: makes the new scope of the former. An empty etag is unconditional.
    """

    promo_code_id: UUID
    paths: frozenset[str]
    etag: str
    new: NewPromoCode
    scope: Callable[[PromoScope], PromoScope] | None


@dataclass(frozen=True, slots=True)
class PromoCodeQuery:
    """Which codes to list; empty filters say nothing. `order`: a name of repository.codes.ORDERS."""

    seller_ids: tuple[UUID, ...]
    states: tuple[PromoCodeState, ...]
    fundings: tuple[Funding, ...]
    code_prefix: str = field(metadata=UNSAID)
    order: str
    descending: bool
