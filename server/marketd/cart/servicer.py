"""CartService: one method, one use case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.cart.v1 import cart_service_pb2, cart_service_pb2_grpc

from marketd.auth.convert import from_merge_strategy, to_cart_merge
from marketd.cart import change, convert, merge, read
from marketd.cart.errors import GuestTokenInvalid
from marketd.cart.owner import CartOwner
from marketd.cart.ports import DeliveryQuoter
from marketd.cart.quotes.quote import QuoteTerms, quote_order
from marketd.cart.quotes.tokens import QuoteTokens
from marketd.kernel.call import call as calls
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.kernel.db.transactor import Transactor

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class CartServicer(cart_service_pb2_grpc.CartServiceServicer):
    """The calls on the caller's own cart."""

    def __init__(
        self, *, tx: Transactor, quoter: DeliveryQuoter, quotes: QuoteTokens, terms: QuoteTerms, guests: GuestTokens
    ) -> None:
        self._tx = tx
        self._quoter = quoter
        self._quotes = quotes
        self._terms = terms
        self._guests = guests
        self._currency = terms.currency

    async def CreateGuestCart(
        self, request: cart_service_pb2.CreateGuestCartRequest, context: Context
    ) -> cart_service_pb2.CreateGuestCartResponse:
        cart = await self._tx.run("cart.create_guest", lambda uow: read.create_guest_cart(uow, self._currency))
        return cart_service_pb2.CreateGuestCartResponse(
            cart=convert.to_cart(cart, self._terms.media_url), guest_token=self._guests.issue(cart.cart.cart_id)
        )

    async def GetCart(
        self, request: cart_service_pb2.GetCartRequest, context: Context
    ) -> cart_service_pb2.GetCartResponse:
        owner = CartOwner.of(calls.current_caller())
        cart = await self._tx.read(lambda unit: read.find_cart(unit, owner, self._currency))
        if cart is None:
            cart = await self._tx.run("cart.open", lambda uow: read.open_cart(uow, owner, self._currency))
        return cart_service_pb2.GetCartResponse(cart=convert.to_cart(cart, self._terms.media_url))

    async def AddCartItem(
        self, request: cart_service_pb2.AddCartItemRequest, context: Context
    ) -> cart_service_pb2.AddCartItemResponse:
        owner = CartOwner.of(calls.current_caller())
        command = change.AddItem(UUID(request.variant_id), request.quantity)

        def render(added: change.AddedItem) -> cart_service_pb2.AddCartItemResponse:
            return cart_service_pb2.AddCartItemResponse(
                cart=convert.to_cart(added.cart, self._terms.media_url), item_id=str(added.item_id)
            )

        return await self._tx.answer(
            "cart.add", lambda uow: change.add_item(uow, owner, command, self._currency), render
        )

    async def UpdateCartItem(
        self, request: cart_service_pb2.UpdateCartItemRequest, context: Context
    ) -> cart_service_pb2.UpdateCartItemResponse:
        owner = CartOwner.of(calls.current_caller())
        command = change.SetQuantity(UUID(request.item.item_id), request.item.quantity, request.cart_etag)
        return await self._tx.answer(
            "cart.update",
            lambda uow: change.set_quantity(uow, owner, command, self._currency),
            lambda cart: cart_service_pb2.UpdateCartItemResponse(cart=convert.to_cart(cart, self._terms.media_url)),
        )

    async def RemoveCartItem(
        self, request: cart_service_pb2.RemoveCartItemRequest, context: Context
    ) -> cart_service_pb2.RemoveCartItemResponse:
        owner = CartOwner.of(calls.current_caller())
        command = change.RemoveItem(UUID(request.item_id), request.allow_missing)
        return await self._tx.answer(
            "cart.remove",
            lambda uow: change.remove_item(uow, owner, command, self._currency),
            lambda cart: cart_service_pb2.RemoveCartItemResponse(cart=convert.to_cart(cart, self._terms.media_url)),
        )

    async def ClearCart(
        self, request: cart_service_pb2.ClearCartRequest, context: Context
    ) -> cart_service_pb2.ClearCartResponse:
        owner = CartOwner.of(calls.current_caller())
        return await self._tx.answer(
            "cart.clear",
            lambda uow: change.clear(uow, owner, self._currency),
            lambda cart: cart_service_pb2.ClearCartResponse(cart=convert.to_cart(cart, self._terms.media_url)),
        )

    async def MergeCarts(
        self, request: cart_service_pb2.MergeCartsRequest, context: Context
    ) -> cart_service_pb2.MergeCartsResponse:
        user_id = calls.current_caller().known_user_id
        guest_cart_id = self._guests.read(request.guest_token)
        if guest_cart_id is None:
            raise GuestTokenInvalid
        strategy = from_merge_strategy(request.strategy)

        def render(merged: merge.MergedCart) -> cart_service_pb2.MergeCartsResponse:
            return cart_service_pb2.MergeCartsResponse(
                cart=convert.to_cart(merged.cart, self._terms.media_url), report=to_cart_merge(merged.report)
            )

        return await self._tx.answer(
            "cart.merge",
            lambda uow: merge.merge_carts(uow, user_id, guest_cart_id, strategy, self._currency),
            render,
        )

    async def QuoteOrder(
        self, request: cart_service_pb2.QuoteOrderRequest, context: Context
    ) -> cart_service_pb2.QuoteOrderResponse:
        caller = calls.current_caller()
        destination = convert.from_destination(request)
        result = await self._tx.run(
            "cart.quote",
            lambda uow: quote_order(uow, caller, destination, self._quoter, self._terms),
        )
        token = self._quotes.issue(result.quote.quote_id, result.expire_time) if result.expire_time is not None else ""
        return convert.to_quote(result, token)
