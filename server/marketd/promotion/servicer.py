"""PromotionService: from messages to use cases and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.promotion.v1 import promotion_service_pb2 as pb
from marketplace.promotion.v1 import promotion_service_pb2_grpc

from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.promotion import change, convert, create, read
from marketd.promotion.ports import BuyerHistory, CallersCart
from marketd.promotion.repository.codes import cursor_of

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]


class PromotionServicer(promotion_service_pb2_grpc.PromotionServiceServicer):
    """marketplace.promotion.v1.PromotionService."""

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        currency: str,
        callers_cart: CallersCart,
        history: BuyerHistory,
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._currency = currency
        self._callers_cart = callers_cart
        self._history = history

    async def CreatePromoCode(self, request: pb.CreatePromoCodeRequest, context: Context) -> pb.CreatePromoCodeResponse:
        caller, currency = calls.current_caller(), self._currency
        new = convert.from_promo_code(request.promo_code, currency)
        return await self._tx.answer(
            "promotion.create",
            lambda uow: create.create_promo_code(uow, caller, new, currency),
            lambda code: pb.CreatePromoCodeResponse(promo_code=convert.to_promo_code(code)),
        )

    async def UpdatePromoCode(self, request: pb.UpdatePromoCodeRequest, context: Context) -> pb.UpdatePromoCodeResponse:
        caller = calls.current_caller()
        changes = convert.from_update(request, self._currency)
        return await self._tx.answer(
            "promotion.update",
            lambda uow: change.update_promo_code(uow, caller, changes),
            lambda code: pb.UpdatePromoCodeResponse(promo_code=convert.to_promo_code(code)),
        )

    async def DisablePromoCode(
        self, request: pb.DisablePromoCodeRequest, context: Context
    ) -> pb.DisablePromoCodeResponse:
        caller = calls.current_caller()
        command = convert.from_disable(request)
        return await self._tx.answer(
            "promotion.disable",
            lambda uow: change.disable_promo_code(uow, caller, command),
            lambda code: pb.DisablePromoCodeResponse(promo_code=convert.to_promo_code(code)),
        )

    async def GetPromoCode(self, request: pb.GetPromoCodeRequest, context: Context) -> pb.GetPromoCodeResponse:
        caller, promo_code_id = calls.current_caller(), UUID(request.promo_code_id)
        code = await self._tx.read(lambda unit: read.get_promo_code(unit, caller, promo_code_id))
        return pb.GetPromoCodeResponse(promo_code=convert.to_promo_code(code))

    async def ListPromoCodes(self, request: pb.ListPromoCodesRequest, context: Context) -> pb.ListPromoCodesResponse:
        caller, query = calls.current_caller(), convert.from_list(request)
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: read.list_promo_codes(unit, caller, query, after, limit),
            lambda seen: cursor_of(seen.value, query.order),
            convert.to_promo_code,
        )
        return pb.ListPromoCodesResponse(promo_codes=page.items, next_page_token=page.next_page_token)

    async def ValidatePromoCode(
        self, request: pb.ValidatePromoCodeRequest, context: Context
    ) -> pb.ValidatePromoCodeResponse:
        caller = calls.current_caller()
        verdict = await self._tx.read(
            lambda unit: read.validate_promo_code(unit, caller, request.code, self._callers_cart, self._history)
        )
        return convert.to_verdict(verdict, self._currency)
