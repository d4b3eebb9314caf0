"""What a recipe is: whom the contract opens a method to, and how a call that must succeed is made ready for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message
from marketd.kernel.call.caller import Role
from marketd.transport.rules import Access, Open

from tests.worlds.matrix import Market
from tests.worlds.things import Person

PUBLIC: Final = Open.PUBLIC
AUTHENTICATED: Final = Open.AUTHENTICATED
BUYER, SELLER, COURIER = Role.BUYER, Role.SELLER, Role.COURIER
ADMIN, SERVICE = Role.ADMIN, Role.SERVICE
GUEST, VIEWER = Role.GUEST, Role.VIEWER


@dataclass(frozen=True)
class Scene:
    """A call that is ready to be made: by `caller`, or by whoever likes when there is none."""

    caller: Person | None
    bodies: tuple[Message, ...]


Prepare = Callable[[Market, str], Awaitable[Scene]]
"""Makes the scene for a caller by its kind: a role's name, or one of people.WELCOME."""


@dataclass(frozen=True)
class Recipe:
    """`access` is the contract's, written down here a second time: a rule that is changed by mistake differs from it.

    `take`: how many answers of a stream without end say that it stands.
    """

    access: Access
    prepare: Prepare
    take: int | None = None


@dataclass
class Book:
    """Recipes by method; each domain writes its own."""

    service: str
    recipes: dict[str, Recipe] = field(default_factory=dict)

    def add(self, name: str, access: Open | Role, *more: Role, take: int | None = None) -> Callable[[Prepare], Prepare]:
        """The decorated function is the recipe of the method."""
        wanted: Access = access if isinstance(access, Open) else frozenset({access, *more})

        def take_down(prepare: Prepare) -> Prepare:
            self.recipes[f"/{self.service}/{name}"] = Recipe(wanted, prepare, take)
            return prepare

        return take_down


async def newcomer(market: Market, who: str) -> Person:
    """A new account that has the role and nothing of its own; without a role's name, no role."""
    return await market.person(Role(who)) if who in Role.__members__ else await market.person()


def caller_for(recipe: Recipe) -> str:
    """One of those whom the method is open to; never a guest or a viewer, of whom there are none."""
    if recipe.access is PUBLIC:
        return "anonymous"
    if recipe.access is AUTHENTICATED:
        return "BUYER"
    assert isinstance(recipe.access, frozenset)
    return min(role.value for role in recipe.access if role.value not in ("GUEST", "VIEWER"))
