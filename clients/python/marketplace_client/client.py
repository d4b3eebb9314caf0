"""The client: one connection and one session, with the stubs of `Services` on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeAlias

import grpc
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc, token_pb2, user_pb2
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.catalog.v1 import brand_pb2, catalog_service_pb2, category_pb2, product_pb2
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.type.v1 import cart_merge_pb2

from marketplace_client.calls import links
from marketplace_client.channel import PlainTextRefused, is_this_machine, open_channel
from marketplace_client.errors import MarketplaceError, SignInRequired, from_rpc_error
from marketplace_client.pages import pages
from marketplace_client.services import Services
from marketplace_client.tokens import TokenSource

Strategy: TypeAlias = cart_merge_pb2.CartMergeStrategy.ValueType
"""Which quantity wins when a guest's cart and an account's hold the same variant."""
SUM: Final = cart_merge_pb2.CART_MERGE_STRATEGY_SUM


class MarketplaceClient(Services):
    """A client of one marketplace for one person or service; use it with `async with`, on one event loop.

    `target` is host:port. Without `credentials` (grpc.ssl_channel_credentials()) the connection is plain text, which
    to another machine is refused with PlainTextRefused unless `plaintext` says that it may be. Sign in with `login` or
    `register`, or bring `tokens` of an earlier session, or an `access_token` that somebody else keeps fresh. Who has
    not signed in may fill a cart after `open_guest_cart`, or with the `guest_token` of an earlier one; it comes along
    when they sign in. Tokens are refreshed by themselves; `on_tokens` hears of new ones, to store them. Calls raise
    MarketplaceError; unary ones have a deadline and, where it is safe, are repeated when the server was unavailable.

    When the server ends the session, its tokens are dropped: `tokens` is None, what is open to everybody goes on, and
    everything else raises SignInRequired until somebody signs in again.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        plaintext: bool = False,
        access_token: str | None = None,
        guest_token: str | None = None,
        tokens: token_pb2.Tokens | None = None,
        on_tokens: Callable[[token_pb2.Tokens], None] | None = None,
        user_agent: str = "marketplace-client-python",
    ) -> None:
        if credentials is None and not plaintext and not is_this_machine(target):
            raise PlainTextRefused(target)
        self.target = target
        self._credentials = credentials
        self._user_agent = user_agent
        self._tokens = TokenSource(self._exchange, on_tokens)
        if tokens is not None:
            self._tokens.use(tokens)
        elif access_token is not None:
            self._tokens.use_access_token(access_token)
        if guest_token is not None:
            self._tokens.use_guest_token(guest_token)
        # Refreshing has no token and no retries of this package around it; it runs beside the links of other calls.
        self._bare: grpc.aio.Channel | None = None
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        """Open the connection; nothing is sent yet."""
        self._bare = open_channel(self.target, self._credentials, self._user_agent)
        self._channel = open_channel(self.target, self._credentials, self._user_agent, links(self._tokens))
        self._make_stubs(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection and whatever still runs on it; the session stays as it is."""
        await self._tokens.aclose()
        if self._channel is not None:
            await self._channel.close()
        if self._bare is not None:
            await self._bare.close()

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel with this client's tokens, deadlines and retries, for stubs that are not in `Services`."""
        if self._channel is None:
            raise RuntimeError("the client is not open; use it with `async with`")
        return self._channel

    # -- the session

    @property
    def tokens(self) -> token_pb2.Tokens | None:
        """The tokens of the session; None when not signed in by this client."""
        return self._tokens.tokens

    @property
    def can_refresh(self) -> bool:
        """Whether the session goes on by itself when its access token ends."""
        return self._tokens.can_refresh

    @property
    def owner(self) -> object:
        """Whose the session is now, an account or a guest of a cart, to tell one from the next; None when nobody's."""
        return self._tokens.owner

    @property
    def guest_token(self) -> str | None:
        """The token of the guest's cart, to keep it for another time; None when there is none, or it has come along."""
        return self._tokens.guest_token

    async def open_guest_cart(self) -> cart_pb2.Cart:
        """Make a cart for who is not signed in; calls on the cart are about it from now on."""
        answer = await self.cart.CreateGuestCart(cart_service_pb2.CreateGuestCartRequest())
        self._tokens.use_guest_token(answer.guest_token)
        return answer.cart

    async def merge_guest_cart(self, strategy: Strategy = SUM) -> cart_merge_pb2.CartMergeReport | None:
        """Move the guest's cart into that of who is signed in by now; None when there is none, or it is gone.

        `login` and `register` do so by themselves.
        """
        guest_token = self._tokens.guest_token
        if guest_token is None:
            return None
        request = cart_service_pb2.MergeCartsRequest(guest_token=guest_token, strategy=strategy)
        try:
            report = (await self.cart.MergeCarts(request)).report
        except MarketplaceError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            report = None
        self._tokens.forget_guest(guest_token)
        return report

    async def register(
        self,
        email: str,
        password: str,
        *,
        full_name: str = "",
        username: str = "",
        phone: str = "",
        language_code: str = "",
        device_name: str = "",
    ) -> user_pb2.User:
        """Register an account and be signed in as it; the guest's cart comes along.

        Where that fails, the account stands all the same, and `merge_guest_cart` tries again.
        """
        answer = await self.auth.Register(
            auth_service_pb2.RegisterRequest(
                email=email,
                password=password,
                full_name=full_name,
                username=username,
                phone=phone,
                language_code=language_code,
                device_name=device_name,
            )
        )
        self._tokens.use(answer.tokens)
        with suppress(MarketplaceError):
            await self.merge_guest_cart()
        return answer.user

    async def login(
        self,
        login: str,
        password: str,
        *,
        totp_code: str = "",
        recovery_code: str = "",
        device_name: str = "",
        guest_cart_token: str = "",
        merge_strategy: Strategy = SUM,
    ) -> auth_service_pb2.LoginResponse:
        """Sign in by e-mail address, username or phone.

        The guest's cart comes along, this client's or else that of `guest_cart_token`; `cart_merge` of the answer says
        how. Of `totp_code` and `recovery_code` at most one is given, where the account has a second factor.
        """
        if totp_code and recovery_code:
            raise ValueError("the second factor is a totp_code or a recovery_code, not both")
        guest_cart_token = guest_cart_token or self._tokens.guest_token or ""
        request = auth_service_pb2.LoginRequest(
            login=login,
            password=password,
            device_name=device_name,
            guest_cart_token=guest_cart_token,
            cart_merge_strategy=merge_strategy,
        )
        if totp_code:
            request.totp_code = totp_code
        if recovery_code:
            request.recovery_code = recovery_code
        answer = await self.auth.Login(request)
        self._tokens.use(answer.tokens)
        self._tokens.forget_guest(guest_cart_token)
        return answer

    async def refresh(self) -> None:
        """Exchange the tokens now; calls do it by themselves before the access token ends. Raises SignInRequired."""
        if self._tokens.tokens is not None:
            await self._tokens.refresh(self._tokens.tokens.access_token)

    async def logout(self) -> None:
        """End the session on the server and forget it here; one that is over already is only forgotten."""
        with suppress(SignInRequired):
            await self.auth.Logout(auth_service_pb2.LogoutRequest())
        self._tokens.forget()

    async def _exchange(self, refresh_token: str) -> token_pb2.Tokens:
        if self._bare is None:
            raise RuntimeError("the client is not open; use it with `async with`")
        stub = auth_service_pb2_grpc.AuthServiceStub(self._bare)
        request = auth_service_pb2.RefreshTokensRequest(refresh_token=refresh_token)
        try:
            answer = await stub.RefreshTokens(request, timeout=10.0)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, "/marketplace.auth.v1.AuthService/RefreshTokens") from None
        return answer.tokens

    # -- lists

    async def products(
        self, request: catalog_service_pb2.ListProductsRequest | None = None
    ) -> AsyncIterator[product_pb2.Product]:
        """Every product of a list, page by page."""
        async for page in pages(self.catalog.ListProducts, request or catalog_service_pb2.ListProductsRequest()):
            for product in page.products:
                yield product

    async def categories(
        self, request: catalog_service_pb2.ListCategoriesRequest | None = None
    ) -> AsyncIterator[category_pb2.Category]:
        """Every category of a list, page by page."""
        async for page in pages(self.catalog.ListCategories, request or catalog_service_pb2.ListCategoriesRequest()):
            for category in page.categories:
                yield category

    async def brands(
        self, request: catalog_service_pb2.ListBrandsRequest | None = None
    ) -> AsyncIterator[brand_pb2.Brand]:
        """Every brand, page by page."""
        async for page in pages(self.catalog.ListBrands, request or catalog_service_pb2.ListBrandsRequest()):
            for brand in page.brands:
                yield brand

    async def orders(
        self, request: order_service_pb2.ListOrdersRequest | None = None
    ) -> AsyncIterator[order_pb2.Order]:
        """Every order of a list, newest first, page by page."""
        async for page in pages(self.order.ListOrders, request or order_service_pb2.ListOrdersRequest()):
            for order in page.orders:
                yield order

    async def deliveries(
        self, request: delivery_service_pb2.ListDeliveriesRequest | None = None
    ) -> AsyncIterator[delivery_pb2.Delivery]:
        """Every delivery of a list, newest first, page by page."""
        async for page in pages(self.delivery.ListDeliveries, request or delivery_service_pb2.ListDeliveriesRequest()):
            for delivery in page.deliveries:
                yield delivery
