"""Between promotion's values and marketplace.promotion.v1."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from google.type.interval_pb2 import Interval
from google.type.money_pb2 import Money as MoneyMessage
from marketplace.errors.v1 import error_reason_pb2
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2

from marketd.kernel.call.pages import parse_order
from marketd.kernel.call.reasons import Reason
from marketd.kernel.enums import EnumMap
from marketd.kernel.masks import has_path, patch, update_paths
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.money import Money
from marketd.kernel.wire import from_money, from_percent, from_timestamp, to_money, to_percent, to_timestamp
from marketd.promotion.change import Disabling
from marketd.promotion.model import Funding, PromoCodeState, PromoKind
from marketd.promotion.read import Verdict
from marketd.promotion.repository.codes import ORDERS
from marketd.promotion.values import (
    NewPromoCode,
    PromoCode,
    PromoCodeChange,
    PromoCodeQuery,
    PromoScope,
    SeenCode,
    code_key,
)

_KINDS = EnumMap(PromoKind, promo_code_pb2.PromoCodeKind)
_FUNDINGS = EnumMap(Funding, promo_code_pb2.PromoCodeFunding)
_STATES = EnumMap(PromoCodeState, promo_code_pb2.PromoCodeState)
_REASONS = EnumMap(Reason, error_reason_pb2.ErrorReason)
_Amount: TypeAlias = Literal["amount", "min_subtotal", "max_discount"]
_NEWEST_FIRST: Final = "create_time desc"


def from_promo_code(code: promo_code_pb2.PromoCode, currency: str) -> NewPromoCode:
    """The code to make, or the new values of one. Raises ValidationFailed for amounts of another currency."""
    kind = _KINDS.optional_from_wire(code.kind)
    return NewPromoCode(
        code=code.code,
        seller_id=UUID(code.seller_id) if code.seller_id else None,
        kind=PromoKind.PERCENT if kind is None else kind,  # none only of an update, which does not look at it
        rate=from_percent(code.percent, "promo_code.percent") if code.HasField("percent") else None,
        amount=_from_money(code, "amount", currency),
        scope=_from_scope(code.scope),
        min_subtotal=_from_money(code, "min_subtotal", currency),
        max_discount=_from_money(code, "max_discount", currency),
        start_time=_from_bound(code.window, "start_time"),
        end_time=_from_bound(code.window, "end_time"),
        usage_limit=code.usage_limit or None,
        per_user_limit=code.per_user_limit or None,
        first_order_only=code.first_order_only,
        stackable=code.stackable,
        description=code.description,
    )


def from_update(request: promotion_service_pb2.UpdatePromoCodeRequest, currency: str) -> PromoCodeChange:
    """The change to make. Raises ValidationFailed for amounts of another currency."""
    code = request.promo_code
    paths = update_paths(code, request.update_mask)
    new = from_promo_code(code, currency)
    return PromoCodeChange(
        promo_code_id=UUID(code.promo_code_id),
        paths=paths,
        etag=code.etag,
        new=new,
        scope=patch(new.scope, paths, "scope") if has_path(paths, "scope") else None,
    )


def from_disable(request: promotion_service_pb2.DisablePromoCodeRequest) -> Disabling:
    """What to disable."""
    return Disabling(UUID(request.promo_code_id), request.reason, request.etag)


def from_list(request: promotion_service_pb2.ListPromoCodesRequest) -> PromoCodeQuery:
    """The codes to list. Raises ValidationFailed for an order that there is not."""
    order, descending = parse_order(request.order_by, ORDERS, _NEWEST_FIRST)
    return PromoCodeQuery(
        seller_ids=tuple(UUID(each) for each in request.seller_ids),
        states=_STATES.all_from_wire(request.states),
        fundings=_FUNDINGS.all_from_wire(request.fundings),
        code_prefix=code_key(request.code_prefix),
        order=order,
        descending=descending,
    )


def to_promo_code(seen: SeenCode) -> promo_code_pb2.PromoCode:
    """A promo code."""
    code = seen.value
    return promo_code_pb2.PromoCode(
        promo_code_id=str(code.promo_code_id),
        code=code.code,
        seller_id=None if code.seller_id is None else str(code.seller_id),
        kind=_KINDS.to_wire(code.kind),
        percent=None if code.rate is None else to_percent(code.rate),
        amount=_to_money(code, code.amount_minor),
        scope=_to_scope(code.scope),
        min_subtotal=_to_money(code, code.min_subtotal_minor),
        max_discount=_to_money(code, code.max_discount_minor),
        window=_to_window(code),
        usage_limit=code.usage_limit,
        per_user_limit=code.per_user_limit,
        first_order_only=code.first_order_only,
        stackable=code.stackable,
        description=code.description or None,
        funded_by=_FUNDINGS.to_wire(code.funded_by),
        state=_STATES.to_wire(seen.state),
        usage_count=code.usage_count,
        create_time=to_timestamp(code.create_time),
        update_time=to_timestamp(code.update_time),
        disable_time=None if code.disable_time is None else to_timestamp(code.disable_time),
        etag=etag_of(code.version),
    )


def to_verdict(verdict: Verdict, currency: str) -> promotion_service_pb2.ValidatePromoCodeResponse:
    """What the code would do."""
    answer = promotion_service_pb2.ValidatePromoCodeResponse(
        code=verdict.code, applicable=verdict.promotion is not None, discount_amount=to_money(Money(0, currency))
    )
    if verdict.promotion is not None:
        promotion = verdict.promotion
        if promotion.description:
            answer.description = promotion.description
        answer.discount_amount.CopyFrom(to_money(Money(promotion.discount_minor, currency)))
        answer.free_delivery = promotion.kind is PromoKind.FREE_DELIVERY
        for variant_id, share in promotion.line_shares.items():
            answer.line_discounts.add(variant_id=str(variant_id), discount_amount=to_money(Money(share, currency)))
    if verdict.problem is not None:
        answer.problem.reason = _REASONS.to_wire(verdict.problem.reason)
        answer.problem.message = verdict.problem.message
    return answer


def _from_money(code: promo_code_pb2.PromoCode, name: _Amount, currency: str) -> Money | None:
    amount: MoneyMessage = getattr(code, name)
    return from_money(amount, currency, f"promo_code.{name}") if code.HasField(name) else None


def _to_money(code: PromoCode, amount_minor: int | None) -> MoneyMessage | None:
    return None if amount_minor is None else to_money(code.money(amount_minor))


def _from_scope(scope: promo_code_pb2.PromoCodeScope) -> PromoScope:
    return PromoScope(
        *(tuple(UUID(each) for each in ids) for ids in (scope.seller_ids, scope.category_ids, scope.product_ids))
    )


def _to_scope(scope: PromoScope) -> promo_code_pb2.PromoCodeScope | None:
    if scope == PromoScope():
        return None
    return promo_code_pb2.PromoCodeScope(
        seller_ids=map(str, scope.seller_ids),
        category_ids=map(str, scope.category_ids),
        product_ids=map(str, scope.product_ids),
    )


def _from_bound(window: Interval, name: Literal["start_time", "end_time"]) -> datetime | None:
    if not window.HasField(name):
        return None
    return from_timestamp(getattr(window, name), f"promo_code.window.{name}")


def _to_window(code: PromoCode) -> Interval | None:
    if code.start_time is None and code.end_time is None:
        return None
    return Interval(
        start_time=None if code.start_time is None else to_timestamp(code.start_time),
        end_time=None if code.end_time is None else to_timestamp(code.end_time),
    )
