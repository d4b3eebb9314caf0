"""The whole app as it is built from settings: letters that go out, certificates that count, limits that are shared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import grpc
import pytest
from marketd import app as composition
from marketd.config import Settings
from marketd.kernel.db.uow import UnitOfWork
from marketd.mail.jobs import mail_job
from marketd.mail.render import Wording
from marketd.process.core import StartRefused
from marketd.process.process import App
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc

from tests.canaries import MARK
from tests.canary_looks import look_at_metrics
from tests.certificates import Authority
from tests.worlds.jobs import run_due

StartApp = Callable[[Settings], Awaitable[App]]
DEADLINE_SECONDS = 10.0


@pytest.fixture
async def start_app() -> AsyncIterator[StartApp]:
    """Starts apps as workers are started."""
    async with AsyncExitStack() as stack:

        async def start(settings: Settings) -> App:
            built = await composition.build(settings)
            await built.start()
            stack.push_async_callback(built.stop, 0.5)
            stack.callback(look_at_metrics, built.admin_port)
            return built

        yield start


async def login(channel: grpc.aio.Channel) -> str:
    """The name of the status of a login that must fail."""
    stub = auth_service_pb2_grpc.AuthServiceStub(channel)
    request = auth_service_pb2.LoginRequest(login="nobody@example.com", password=f"not a password {MARK}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Login(request, timeout=DEADLINE_SECONDS)
    return caught.value.code().name


async def test_a_letter_written_with_a_commit_becomes_a_file_with_the_shops_name(
    start_app: StartApp, settings: Settings
) -> None:
    app = await start_app(settings.model_copy(update={"shop_name": "Käse & Söhne", "run_worker": False}))

    async def write(uow: UnitOfWork) -> None:
        uow.enqueue(mail_job(Wording.PASSWORD_CHANGED, "kim@example.com", {"time": "2026-11-22T10:00:00+00:00"}))

    await app.parts.tx.run("test.letter", write)
    assert await run_due(app.core.jobs)
    (path,) = (settings.data_dir / "mail").glob("*.eml")
    letter = message_from_bytes(path.read_bytes(), policy=default)
    assert letter["To"] == "kim@example.com"
    assert letter["Subject"] == "Your Käse & Söhne password was changed"


async def test_two_workers_count_logins_together(start_app: StartApp, settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limits": {"LOGIN": (0.001, 3)}})
    workers = [await start_app(limited), await start_app(limited)]
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{worker.port}")) for worker in workers
        ]
        found = [await login(channels[number % 2]) for number in range(6)]
    assert found == ["UNAUTHENTICATED"] * 3 + ["RESOURCE_EXHAUSTED"] * 3


async def test_the_app_speaks_tls_and_asks_services_for_certificates_on_a_port_of_their_own(
    start_app: StartApp, settings: Settings, tmp_path: Path
) -> None:
    authority, clients = Authority("servers"), Authority("clients")
    cert, key = authority.server().write(tmp_path)
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(clients.pem)
    app = await start_app(
        settings.model_copy(
            update={
                "tls_cert_file": cert,
                "tls_key_file": key,
                "tls_client_ca_file": client_ca,
                "tls_services": {"orders.internal": "orders"},
                "internal_port": 0,
            }
        )
    )
    shown = clients.issue("orders", ["orders.internal"])
    anybody = grpc.ssl_channel_credentials(authority.pem)
    service = grpc.ssl_channel_credentials(authority.pem, shown.key, shown.chain)
    async with AsyncExitStack() as stack:

        async def connect(port: int, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
            target = f"localhost:{port}"
            return await stack.enter_async_context(
                grpc.aio.insecure_channel(target)
                if credentials is None
                else grpc.aio.secure_channel(target, credentials)
            )

        assert await login(await connect(app.port, anybody)) == "UNAUTHENTICATED"
        assert await login(await connect(app.port, None)) == "UNAVAILABLE"
        assert await login(await connect(app.internal_port, anybody)) == "UNAVAILABLE"
        assert await login(await connect(app.internal_port, service)) == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tls_cert_file": Path("no.pem"), "tls_key_file": Path("no.key")}, "no.pem cannot be read"),
        ({"mail_from": "nobody"}, "MARKETD_MAIL_FROM"),
        ({"sms_sender": "no.such:thing"}, "MARKETD_SMS_SENDER"),
    ],
)
async def test_an_app_whose_files_or_names_are_not_there_does_not_start(
    settings: Settings, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(StartRefused, match=named):
        await composition.build(settings.model_copy(update=changes))
