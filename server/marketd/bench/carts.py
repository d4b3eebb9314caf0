"""What belongs to one buyer: reading the cart, adding to it, and getting new tokens."""

from __future__ import annotations

from collections.abc import Sequence

from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2

from marketd.bench import statements
from marketd.bench.operations import CONNECTIONS, IN_FLIGHT, Plain, Round, Side, Target, capture, expect, path_on, split
from marketd.bench.plan import FloorMethod, Shape
from marketd.bench.work import Calls, Found, Refreshes, Work
from marketd.bench.world import CALL_SECONDS, Account, World, bearer, gather

_CARTS = "/marketplace.cart.v1.CartService"
_BUYERS = 64


async def fill_carts(world: World, buyers: Sequence[Account]) -> None:
    """Three lines into each buyer's cart; a line that is there grows by one piece."""

    async def fill(numbered: tuple[int, Account]) -> None:
        index, buyer = numbered
        for variant_id in world.lines(index):
            request = cart_service_pb2.AddCartItemRequest(variant_id=variant_id, quantity=1)
            await world.cart.AddCartItem(request, metadata=bearer(buyer), timeout=CALL_SECONDS)

    await gather(fill, enumerate(buyers))


class GetCart(Plain):
    """Carts of three lines of two shops."""

    name = "get_cart"
    target = Target(tuned=2.0)
    _path = f"{_CARTS}/GetCart"

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Fill the carts."""
        await world.open_shops()
        buyers = await world.buyers(_BUYERS)
        await fill_carts(world, buyers)
        self._floor = FloorMethod(
            self.name,
            Shape.UNARY,
            await capture(world, self._path, b"", buyers[0]),
            statements=(statements.CART,),
            call_arguments=[[[buyer.user_id]] for buyer in buyers],
            transaction=True,
        )
        return [self._floor]

    async def begin(self, world: World) -> None:
        """Fresh tokens."""
        self._buyers = await world.buyers(_BUYERS)

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work]:
        """Each buyer in turn."""
        path = path_on(side, self._path, self._floor)
        turns = [(buyer.access_token, b"") for buyer in self._buyers]
        return [
            Calls(side.target, path, part, IN_FLIGHT, CONNECTIONS, size.seconds) for part in split(turns, processes)
        ]


class AddCartItem(Plain):
    """One piece more of a line that is in the cart; the answer is the whole cart."""

    name = "add_cart_item"
    target = Target(tuned=2.0)
    _path = f"{_CARTS}/AddCartItem"

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Fill the carts, and name every line of every buyer."""
        await world.open_shops()
        self._buyers = await world.buyers(_BUYERS)
        await fill_carts(world, self._buyers)
        # By line and then by buyer, so that calls in flight are of different carts.
        self._turns = [(index, world.lines(index)[line]) for line in range(3) for index in range(len(self._buyers))]
        self._floor = FloorMethod(
            self.name,
            Shape.UNARY,
            await capture(world, self._path, _addition(self._turns[0][1]), self._buyers[0]),
            statements=(statements.ADD_LINE, statements.CART),
            call_arguments=[
                [[self._buyers[index].user_id, variant_id], [self._buyers[index].user_id]]
                for index, variant_id in self._turns
            ],
            transaction=True,
        )
        return [self._floor]

    async def begin(self, world: World) -> None:
        """Fresh tokens, and the carts as they were filled: a line holds at most 999 pieces."""
        self._buyers = await world.buyers(_BUYERS)

        async def clear(buyer: Account) -> None:
            request = cart_service_pb2.ClearCartRequest()
            await world.cart.ClearCart(request, metadata=bearer(buyer), timeout=CALL_SECONDS)

        await gather(clear, self._buyers)
        await fill_carts(world, self._buyers)
        self._pieces = len(self._turns)

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work]:
        """Each line of each buyer in turn."""
        path = path_on(side, self._path, self._floor)
        turns = [(self._buyers[index].access_token, _addition(variant_id)) for index, variant_id in self._turns]
        return [
            Calls(side.target, path, part, IN_FLIGHT, CONNECTIONS, size.seconds) for part in split(turns, processes)
        ]

    def absorb(self, side: Side, found: Found) -> None:
        """Each call was one piece."""
        if not side.is_floor:
            self._pieces += found.count

    async def verify(self, world: World) -> None:
        """Every piece is in a cart."""
        statement = (
            "SELECT sum(i.quantity)::int FROM cart_items i JOIN carts c USING (cart_id)"
            " WHERE c.user_id = ANY($1::uuid[])"
        )
        stored = await world.read(statement, [buyer.user_id for buyer in self._buyers])
        expect(self.name, stored, self._pieces)


def _addition(variant_id: str) -> bytes:
    return cart_service_pb2.AddCartItemRequest(variant_id=variant_id, quantity=1).SerializeToString()


class RefreshTokens(Plain):
    """New tokens for old, in chains: each request presents the token of the answer before."""

    name = "refresh_tokens"
    target = Target(tuned=2.5)
    note = "the server also signs an access token (EdDSA), which its floor does not"
    _path = "/marketplace.auth.v1.AuthService/RefreshTokens"

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Chains of their own for the floors: they end where they began."""
        buyers = await self._new_sessions(world)
        first = auth_service_pb2.RefreshTokensRequest(refresh_token=buyers[0].refresh_token).SerializeToString()
        # Captured from another session than the floors' rows stand for: this one is rotated by it.
        self._floor = FloorMethod(
            self.name,
            Shape.UNARY,
            await capture(world, self._path, first, None),
            statements=(statements.ROTATE,),
            call_arguments=[[[buyer.session_id]] for buyer in buyers],
        )
        return [self._floor]

    async def begin(self, world: World) -> None:
        """New chains, one for each call in flight."""
        self._tokens = [session.refresh_token for session in await self._new_sessions(world)]

    async def _new_sessions(self, world: World) -> list[Account]:
        buyers = await world.buyers(2 * IN_FLIGHT)
        return await gather(lambda buyer: world.sign_in(buyer.email), buyers)

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work]:
        """Each chain goes on from where it stood."""
        path = path_on(side, self._path, self._floor)
        return [
            Refreshes(side.target, path, part, CONNECTIONS, size.seconds) for part in split(self._tokens, processes)
        ]

    def absorb(self, side: Side, found: Found) -> None:
        """Keep the server's tokens; a floor's are always the same."""
        if not side.is_floor:
            self._tokens = list(found.tokens)
