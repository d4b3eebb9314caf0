"""The people of the story: each has a client of their own, and a name that no run before has used."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from google.type import latlng_pb2
from marketplace.type.v1 import address_pb2
from marketplace_client import MarketplaceClient

from marketd.demo.records import DemoOptions
from marketd.demo.traces.points import TracePoint


@dataclass(frozen=True)
class Cast:
    """Everybody who plays, with the suffix of this run and the password that all of them were given."""

    suffix: str
    password: str
    admin: MarketplaceClient
    seller: MarketplaceClient
    neighbour: MarketplaceClient
    buyer: MarketplaceClient
    courier: MarketplaceClient

    def email(self, role: str) -> str:
        """The e-mail address of one of them."""
        return f"demo-{role}-{self.suffix}@example.com"


def open_client(options: DemoOptions, access_token: str | None = None) -> MarketplaceClient:
    """A client of the server that the options name, to be entered. Raises PlainTextRefused."""
    return MarketplaceClient(
        options.target,
        credentials=options.credentials,
        plaintext=options.plaintext,
        access_token=access_token,
        user_agent="marketd-demo",
    )


@asynccontextmanager
async def assemble(options: DemoOptions) -> AsyncIterator[Cast]:
    """Open everybody's client; nobody is signed in yet but an admin who brings a token."""
    async with AsyncExitStack() as stack:

        async def person(access_token: str | None = None) -> MarketplaceClient:
            return await stack.enter_async_context(open_client(options, access_token))

        yield Cast(
            suffix=secrets.token_hex(4),
            password=f"Story-{secrets.token_urlsafe(12)}",
            admin=await person(options.admin_token),
            seller=await person(),
            neighbour=await person(),
            buyer=await person(),
            courier=await person(),
        )


def address_at(point: TracePoint, recipient: str, line: str) -> address_pb2.Address:
    """An address at a point of the trace, in the words of nobody's real street."""
    return address_pb2.Address(
        recipient=recipient,
        phone="+4930901820",
        lines=[line],
        city="Demo Town",
        postal_code="10115",
        region_code="DE",
        point=latlng_pb2.LatLng(latitude=point.latitude, longitude=point.longitude),
    )
