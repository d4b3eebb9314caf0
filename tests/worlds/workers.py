"""Two workers on one database, each the real app on a socket of its own, and people who sign in to them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from marketd import app as composition
from marketd.auth import operator
from marketd.config import Settings
from marketd.process.process import App
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc, token_pb2, user_service_pb2_grpc
from marketplace.delivery.v1 import (
    courier_service_pb2,
    courier_service_pb2_grpc,
    delivery_service_pb2,
    delivery_service_pb2_grpc,
)

from tests.canaries import MARK
from tests.canary_looks import look_at_metrics, look_at_tables
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD, new_courier

PASSWORD = f"correct horse battery {MARK}"


@dataclass(frozen=True)
class Person:
    """Somebody with a session."""

    user_id: str
    email: str
    tokens: token_pb2.Tokens

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """What the person's calls carry."""
        return bearer(self.tokens.access_token)


def bearer(token: str) -> list[tuple[str, str]]:
    """The metadata of a token."""
    return [("authorization", f"Bearer {token}")]


class Worker:
    """One app, and the stubs of a client of it."""

    def __init__(self, app: App, channel: grpc.aio.Channel) -> None:
        self.app = app
        self.channel = channel
        # The generated classes know blocking and asyncio channels; mypy sees only the former's types.
        self.auth: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        self.users: Any = user_service_pb2_grpc.UserServiceStub(channel)
        self.couriers: Any = courier_service_pb2_grpc.CourierServiceStub(channel)
        self.deliveries: Any = delivery_service_pb2_grpc.DeliveryServiceStub(channel)

    async def register(self) -> Person:
        """A new buyer."""
        email = f"{secrets.token_hex(8)}@shop.example"
        request = auth_service_pb2.RegisterRequest(email=email, password=PASSWORD, full_name="Ada Lovelace")
        answer = await self.auth.Register(request)
        return Person(answer.user.user_id, email, answer.tokens)

    async def login(self, email: str, password: str = PASSWORD, **more: Any) -> Person:
        """A further session."""
        request = auth_service_pb2.LoginRequest(login=email, password=password, **more)
        answer = await self.auth.Login(request)
        return Person(answer.user.user_id, email, answer.tokens)

    async def courier(self, admin: Person) -> Person:
        """An approved courier, signed in since."""
        applicant = await self.register()
        made = await self.couriers.CreateCourier(new_courier(), metadata=applicant.metadata)
        approve = courier_service_pb2.ApproveCourierRequest(courier_id=made.courier.courier_id)
        await self.couriers.ApproveCourier(approve, metadata=admin.metadata)
        return await self.login(applicant.email)

    async def stream(self, person: Person) -> Any:
        """A stream of the courier that has brought its first message."""
        call = self.deliveries.WatchDeliveries(
            delivery_service_pb2.WatchDeliveriesRequest(), metadata=person.metadata, timeout=60
        )
        assert await call.read() is not grpc.aio.EOF
        return call


@asynccontextmanager
async def pair(
    settings: Settings, sockets: tuple[Path | None, Path | None] = (None, None)
) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two of them, that share nothing but the database. `sockets`: where they listen for a gateway."""
    async with AsyncExitStack() as stack:
        made = []
        apps = [await composition.build(settings, gateway_socket=socket) for socket in sockets]
        stack.push_async_callback(_stop, apps)
        for app in apps:
            await app.start()
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{app.port}"))
            made.append(Worker(app, channel))
        yield made[0], made[1]
        for worker in made:
            look_at_metrics(worker.app.admin_port)
        await look_at_tables(made[0].app.core.url)


async def _stop(apps: list[App]) -> None:
    await asyncio.gather(*(app.stop(0) for app in apps))


async def make_admin(settings: Settings) -> None:
    """Make the administrator of the tests."""
    assert settings.database_url is not None
    await operator.create_admin(settings, settings.database_url.get_secret_value(), ADMIN_EMAIL, ADMIN_PASSWORD)
