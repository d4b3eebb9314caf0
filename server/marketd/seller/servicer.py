"""SellerService: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.seller.v1 import seller_service_pb2, seller_service_pb2_grpc

from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.seller import convert, life, sellers
from marketd.seller.ports import SellerHolder
from marketd.seller.repository import cursor_of
from marketd.seller.update import update_seller
from marketd.seller.values import Seller

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class SellerServicer(seller_service_pb2_grpc.SellerServiceServicer):
    """marketplace.seller.v1.SellerService. `holders` know of what keeps a seller from being closed."""

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        default_prep_duration: timedelta,
        media_url: str,
        holders: Collection[SellerHolder],
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._holders = holders
        self._default_prep_duration = default_prep_duration
        self._media_url = media_url

    async def CreateSeller(
        self, request: seller_service_pb2.CreateSellerRequest, context: Context
    ) -> seller_service_pb2.CreateSellerResponse:
        caller = calls.current_caller()
        new = convert.from_seller(request.seller, self._default_prep_duration)

        def render(seller: Seller) -> seller_service_pb2.CreateSellerResponse:
            return seller_service_pb2.CreateSellerResponse(
                seller=convert.to_seller(seller, self._media_url, whole=True)
            )

        return await self._tx.answer("seller.create", lambda uow: sellers.create_seller(uow, caller, new), render)

    async def UpdateSeller(
        self, request: seller_service_pb2.UpdateSellerRequest, context: Context
    ) -> seller_service_pb2.UpdateSellerResponse:
        caller = calls.current_caller()
        change = convert.from_update(request, self._default_prep_duration)

        def render(seller: Seller) -> seller_service_pb2.UpdateSellerResponse:
            return seller_service_pb2.UpdateSellerResponse(
                seller=convert.to_seller(seller, self._media_url, whole=True)
            )

        return await self._tx.answer("seller.update", lambda uow: update_seller(uow, caller, change), render)

    async def ApproveSeller(
        self, request: seller_service_pb2.ApproveSellerRequest, context: Context
    ) -> seller_service_pb2.ApproveSellerResponse:
        caller = calls.current_caller()
        move = convert.from_move(request)

        def render(seller: Seller) -> seller_service_pb2.ApproveSellerResponse:
            return seller_service_pb2.ApproveSellerResponse(
                seller=convert.to_seller(seller, self._media_url, whole=True)
            )

        return await self._tx.answer("seller.approve", lambda uow: life.approve_seller(uow, caller, move), render)

    async def RejectSeller(
        self, request: seller_service_pb2.RejectSellerRequest, context: Context
    ) -> seller_service_pb2.RejectSellerResponse:
        caller = calls.current_caller()
        move = convert.from_move(request)

        def render(seller: Seller) -> seller_service_pb2.RejectSellerResponse:
            return seller_service_pb2.RejectSellerResponse(
                seller=convert.to_seller(seller, self._media_url, whole=True)
            )

        return await self._tx.answer("seller.reject", lambda uow: life.reject_seller(uow, caller, move), render)

    async def SuspendSeller(
        self, request: seller_service_pb2.SuspendSellerRequest, context: Context
    ) -> seller_service_pb2.SuspendSellerResponse:
        caller = calls.current_caller()
        move = convert.from_move(request)

        def render(seller: Seller) -> seller_service_pb2.SuspendSellerResponse:
            return seller_service_pb2.SuspendSellerResponse(
                seller=convert.to_seller(seller, self._media_url, whole=True)
            )

        return await self._tx.answer("seller.suspend", lambda uow: life.suspend_seller(uow, caller, move), render)

    async def ReinstateSeller(
        self, request: seller_service_pb2.ReinstateSellerRequest, context: Context
    ) -> seller_service_pb2.ReinstateSellerResponse:
        caller = calls.current_caller()
        move = convert.from_move(request)

        def render(seller: Seller) -> seller_service_pb2.ReinstateSellerResponse:
            return seller_service_pb2.ReinstateSellerResponse(
                seller=convert.to_seller(seller, self._media_url, whole=True)
            )

        return await self._tx.answer("seller.reinstate", lambda uow: life.reinstate_seller(uow, caller, move), render)

    async def CloseSeller(
        self, request: seller_service_pb2.CloseSellerRequest, context: Context
    ) -> seller_service_pb2.CloseSellerResponse:
        caller = calls.current_caller()
        move = convert.from_move(request)

        def render(seller: Seller) -> seller_service_pb2.CloseSellerResponse:
            return seller_service_pb2.CloseSellerResponse(seller=convert.to_seller(seller, self._media_url, whole=True))

        return await self._tx.answer(
            "seller.close", lambda uow: life.close_seller(uow, caller, move, self._holders), render
        )

    async def GetSeller(
        self, request: seller_service_pb2.GetSellerRequest, context: Context
    ) -> seller_service_pb2.GetSellerResponse:
        caller = calls.current_caller()
        lookup = UUID(request.seller_id) if request.WhichOneof("lookup") == "seller_id" else request.handle
        seller = await self._tx.read(lambda unit: sellers.get_seller(unit, caller, lookup))
        whole = sellers.sees_all(caller, seller)
        return seller_service_pb2.GetSellerResponse(seller=convert.to_seller(seller, self._media_url, whole=whole))

    async def GetMySeller(
        self, request: seller_service_pb2.GetMySellerRequest, context: Context
    ) -> seller_service_pb2.GetMySellerResponse:
        caller = calls.current_caller()
        seller = await self._tx.read(lambda unit: sellers.get_my_seller(unit, caller))
        return seller_service_pb2.GetMySellerResponse(seller=convert.to_seller(seller, self._media_url, whole=True))

    async def ListSellers(
        self, request: seller_service_pb2.ListSellersRequest, context: Context
    ) -> seller_service_pb2.ListSellersResponse:
        caller, query = calls.current_caller(), convert.from_list(request)
        page = await self._pager.list(
            request,
            None if sellers.is_public(caller, query) else caller,
            lambda unit, after, limit: sellers.list_sellers(unit, caller, query, after, limit),
            lambda seller: cursor_of(seller, query.order),
            lambda seller: convert.to_seller(seller, self._media_url, whole=sellers.sees_all(caller, seller)),
        )
        return seller_service_pb2.ListSellersResponse(sellers=page.items, next_page_token=page.next_page_token)
