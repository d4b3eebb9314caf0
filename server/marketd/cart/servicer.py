"""CartService: one method, one use case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from marketplace.cart.v1 import cart_pb2, cart_service_pb2, cart_service_pb2_grpc

from marketd.auth.convert import from_merge_strategy, to_cart_merge
from marketd.cart import change, convert, merge, promo_codes, read, watch
from marketd.cart.errors import GuestTokenInvalid
from marketd.cart.owner import CartOwner
from marketd.cart.ports import DeliveryQuoter
from marketd.cart.quotes.quote import QuoteTerms, quote_order
from marketd.cart.quotes.tokens import QuoteTokens
from marketd.cart.values import PricedCart
from marketd.cart.watchers import CartWatchers
from marketd.kernel.call import call as calls
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.kernel.db.transactor import M, Transactor, Work
from marketd.kernel.values.clock import Clock

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")


class CartServicer(cart_service_pb2_grpc.CartServiceServicer):
    """The calls on the caller's own cart."""

    def __init__(
        self,
        *,
        tx: Transactor,
        quoter: DeliveryQuoter,
        quotes: QuoteTokens,
        terms: QuoteTerms,
        guests: GuestTokens,
        places: watch.CartPlaces,
        watchers: CartWatchers,
        clock: Clock,
    ) -> None:
        self._tx = tx
        self._quoter = quoter
        self._quotes = quotes
        self._terms = terms
        self._guests = guests
        self._places = places
        self._watchers = watchers
        self._clock = clock
        self._pricing = terms.pricing

    def _show(self, cart: PricedCart) -> cart_pb2.Cart:
        return convert.to_cart(cart, self._terms.media_url)

    async def _answer(self, owner: CartOwner, name: str, work: Work[T], render: Callable[[T], M]) -> M:
        """Answer a change of the owner's cart, and tell who watches it here."""
        answer = await self._tx.answer(name, work, render)
        self._watchers.changed(owner)
        return answer

    async def CreateGuestCart(
        self, request: cart_service_pb2.CreateGuestCartRequest, context: Context
    ) -> cart_service_pb2.CreateGuestCartResponse:
        cart = await self._tx.run("cart.create_guest", lambda uow: read.create_guest_cart(uow, self._pricing))
        return cart_service_pb2.CreateGuestCartResponse(
            cart=self._show(cart), guest_token=self._guests.issue(cart.cart.cart_id)
        )

    async def GetCart(
        self, request: cart_service_pb2.GetCartRequest, context: Context
    ) -> cart_service_pb2.GetCartResponse:
        owner = CartOwner.of(calls.current_caller())
        cart = await self._tx.read(lambda unit: read.find_cart(unit, owner, self._pricing))
        if cart is None:
            cart = await self._tx.run("cart.open", lambda uow: read.open_cart(uow, owner, self._pricing))
        return cart_service_pb2.GetCartResponse(cart=self._show(cart))

    async def AddCartItem(
        self, request: cart_service_pb2.AddCartItemRequest, context: Context
    ) -> cart_service_pb2.AddCartItemResponse:
        owner = CartOwner.of(calls.current_caller())
        command = change.AddItem(UUID(request.variant_id), request.quantity)

        def render(added: change.AddedItem) -> cart_service_pb2.AddCartItemResponse:
            return cart_service_pb2.AddCartItemResponse(cart=self._show(added.cart), item_id=str(added.item_id))

        return await self._answer(
            owner, "cart.add", lambda uow: change.add_item(uow, owner, command, self._pricing), render
        )

    async def UpdateCartItem(
        self, request: cart_service_pb2.UpdateCartItemRequest, context: Context
    ) -> cart_service_pb2.UpdateCartItemResponse:
        owner = CartOwner.of(calls.current_caller())
        command = change.SetQuantity(UUID(request.item.item_id), request.item.quantity, request.cart_etag)
        return await self._answer(
            owner,
            "cart.update",
            lambda uow: change.set_quantity(uow, owner, command, self._pricing),
            lambda cart: cart_service_pb2.UpdateCartItemResponse(cart=self._show(cart)),
        )

    async def RemoveCartItem(
        self, request: cart_service_pb2.RemoveCartItemRequest, context: Context
    ) -> cart_service_pb2.RemoveCartItemResponse:
        owner = CartOwner.of(calls.current_caller())
        command = change.RemoveItem(UUID(request.item_id), request.allow_missing)
        return await self._answer(
            owner,
            "cart.remove",
            lambda uow: change.remove_item(uow, owner, command, self._pricing),
            lambda cart: cart_service_pb2.RemoveCartItemResponse(cart=self._show(cart)),
        )

    async def ClearCart(
        self, request: cart_service_pb2.ClearCartRequest, context: Context
    ) -> cart_service_pb2.ClearCartResponse:
        owner = CartOwner.of(calls.current_caller())
        return await self._answer(
            owner,
            "cart.clear",
            lambda uow: change.clear(uow, owner, self._pricing),
            lambda cart: cart_service_pb2.ClearCartResponse(cart=self._show(cart)),
        )

    async def MergeCarts(
        self, request: cart_service_pb2.MergeCartsRequest, context: Context
    ) -> cart_service_pb2.MergeCartsResponse:
        user_id = calls.current_caller().known_user_id
        owner = CartOwner.account(user_id)
        guest_cart_id = self._guests.read(request.guest_token)
        if guest_cart_id is None:
            raise GuestTokenInvalid
        strategy = from_merge_strategy(request.strategy)

        def render(merged: merge.MergedCart) -> cart_service_pb2.MergeCartsResponse:
            return cart_service_pb2.MergeCartsResponse(
                cart=self._show(merged.cart), report=to_cart_merge(merged.report)
            )

        answer = await self._answer(
            owner,
            "cart.merge",
            lambda uow: merge.merge_carts(uow, user_id, guest_cart_id, strategy, self._pricing),
            render,
        )
        self._watchers.changed(CartOwner.guest(guest_cart_id))
        return answer

    async def WatchCart(
        self, request: cart_service_pb2.WatchCartRequest, context: Context
    ) -> AsyncIterator[cart_service_pb2.WatchCartResponse]:
        caller = calls.current_caller()
        news = watch.watch_cart(
            self._tx,
            self._watchers,
            self._clock,
            CartOwner.of(caller),
            self._pricing,
            self._places.after(caller.key, request.resume_token),
            self._show,
        )
        async with aclosing(news) as each:
            async for place, item in each:
                yield convert.to_watch(item, self._places.token(caller.key, place))

    async def ApplyPromoCode(
        self, request: cart_service_pb2.ApplyPromoCodeRequest, context: Context
    ) -> cart_service_pb2.ApplyPromoCodeResponse:
        owner = CartOwner.of(calls.current_caller())
        return await self._answer(
            owner,
            "cart.apply_code",
            lambda uow: promo_codes.apply_code(uow, owner, request.code, self._pricing),
            lambda cart: cart_service_pb2.ApplyPromoCodeResponse(cart=self._show(cart)),
        )

    async def RemovePromoCode(
        self, request: cart_service_pb2.RemovePromoCodeRequest, context: Context
    ) -> cart_service_pb2.RemovePromoCodeResponse:
        owner = CartOwner.of(calls.current_caller())
        command = promo_codes.RemoveCode(request.code, request.allow_missing)
        return await self._answer(
            owner,
            "cart.remove_code",
            lambda uow: promo_codes.remove_code(uow, owner, command, self._pricing),
            lambda cart: cart_service_pb2.RemovePromoCodeResponse(cart=self._show(cart)),
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
