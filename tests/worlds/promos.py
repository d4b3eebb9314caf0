"""Promo codes in tests: making them, asking about them, and using them up."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from google.type.decimal_pb2 import Decimal
from google.type.interval_pb2 import Interval
from google.type.money_pb2 import Money
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.promotion import service
from marketd.promotion.ports import BuyerHistory
from marketd.promotion.servicer import PromotionServicer
from marketd.promotion.values import PromoLine, Promotion
from marketplace.promotion.v1 import promo_code_pb2
from marketplace.promotion.v1 import promotion_service_pb2 as pb

from tests.worlds.built import Built
from tests.worlds.goods import CURRENCY
from tests.worlds.ordering import Market

PERCENT = promo_code_pb2.PROMO_CODE_KIND_PERCENT
FIXED = promo_code_pb2.PROMO_CODE_KIND_FIXED
FREE_DELIVERY = promo_code_pb2.PROMO_CODE_KIND_FREE_DELIVERY


def new_code() -> str:
    """A code that nobody has."""
    return f"C-{new_id().hex[-20:]}"


def euros(cents: int) -> Money:
    """An amount."""
    return Money(currency_code=CURRENCY, units=cents // 100, nanos=cents % 100 * 10_000_000)


def percent(text: str) -> Decimal:
    """A percentage."""
    return Decimal(value=text)


def window(start: Any = None, end: Any = None) -> Interval:
    """From one instant to another, each of which may be None."""
    found = Interval()
    if start is not None:
        found.start_time.FromDatetime(start)
    if end is not None:
        found.end_time.FromDatetime(end)
    return found


def make_code(**fields: Any) -> promo_code_pb2.PromoCode:
    """What to make: 10 % off everything unless said otherwise; the fields given replace those."""
    whole: dict[str, Any] = {"code": new_code(), "kind": PERCENT, "stackable": True}
    if fields.get("kind", PERCENT) == PERCENT:
        whole["percent"] = percent("10")
    return promo_code_pb2.PromoCode(**{**whole, **fields})


async def nobody_ordered(_unit: UnitOfWork | ReadUnit, _user_id: UUID, _besides: UUID | None) -> bool:
    """A history without orders."""
    return False


class Promos:
    """The calls of PromotionService on a market."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.built = Built(market.built.parts, "promotion")
        self.servicer = self.built.servicer(PromotionServicer)

    async def create(self, caller: Caller | None = None, **fields: Any) -> promo_code_pb2.PromoCode:
        """CreatePromoCode, by an admin unless said otherwise."""
        request = pb.CreatePromoCodeRequest(promo_code=make_code(**fields))
        answer = await self.market.call(caller or self.market.admin, self.servicer.CreatePromoCode, request)
        return answer.promo_code

    async def update(self, caller: Caller, promo_code_id: str, *mask: str, **fields: Any) -> promo_code_pb2.PromoCode:
        """UpdatePromoCode of these fields, or of what the mask names."""
        request = pb.UpdatePromoCodeRequest(
            promo_code=promo_code_pb2.PromoCode(promo_code_id=promo_code_id, **fields),
            update_mask=FieldMask(paths=mask),
        )
        return (await self.market.call(caller, self.servicer.UpdatePromoCode, request)).promo_code

    async def disable(self, caller: Caller, promo_code_id: str, etag: str = "") -> promo_code_pb2.PromoCode:
        """DisablePromoCode."""
        request = pb.DisablePromoCodeRequest(promo_code_id=promo_code_id, reason="no more", etag=etag)
        return (await self.market.call(caller, self.servicer.DisablePromoCode, request)).promo_code

    async def get(self, caller: Caller, promo_code_id: str) -> promo_code_pb2.PromoCode:
        """GetPromoCode."""
        request = pb.GetPromoCodeRequest(promo_code_id=promo_code_id)
        return (await self.market.call(caller, self.servicer.GetPromoCode, request)).promo_code

    async def list(self, caller: Caller, **fields: Any) -> list[str]:
        """The codes of ListPromoCodes, over all its pages."""
        request, found = pb.ListPromoCodesRequest(**fields), []
        while True:
            answer = await self.market.call(caller, self.servicer.ListPromoCodes, request)
            found += [each.code for each in answer.promo_codes]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def validate(self, caller: Caller, code: str) -> pb.ValidatePromoCodeResponse:
        """ValidatePromoCode."""
        request = pb.ValidatePromoCodeRequest(code=code)
        return await self.market.call(caller, self.servicer.ValidatePromoCode, request)

    async def promotion(self, promo_code_id: str, user_id: UUID | None = None) -> Promotion:
        """What the code takes off some line, as a quote would freeze it."""
        line = PromoLine(new_id(), new_id(), new_id(), None, 10_000)
        found = await self.market.tx.read(
            lambda unit: service.evaluate(unit, [UUID(promo_code_id)], [line], None, user_id, nobody_ordered)
        )
        (promotion,) = found.promotions
        return promotion

    async def redeem(
        self,
        user_id: UUID,
        *promotions: Promotion,
        history: BuyerHistory = nobody_ordered,
    ) -> UUID:
        """Use the codes up for a new group; its id."""
        group = new_id()
        await self.market.tx.run("test.redeem", lambda uow: service.redeem(uow, user_id, group, promotions, history))
        return group

    async def give_back(self, group: UUID, *promo_code_ids: str) -> None:
        """Give the uses of the group back."""
        ids = [UUID(each) for each in promo_code_ids]
        await self.market.tx.run("test.give_back", lambda uow: service.give_back(uow, group, ids))

    async def uses(self, promo_code_id: str) -> int:
        """How often it is used now."""
        return int(
            await self.market.value("SELECT usage_count FROM promo_codes WHERE promo_code_id = $1", UUID(promo_code_id))
        )
