"""TLS and mTLS on real sockets: who gets in, who a certificate makes one, and renewal without a dropped call (T26)."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from marketd.config import Settings
from marketd.kernel.call import call as kernel_call
from marketd.kernel.call.caller import Caller, Role
from marketd.transport.edge.tls import ServerCertificate, TlsFiles
from marketd.transport.options import server_options
from marketd.transport.rules import RateClass
from marketd.transport.start_errors import CertificateUnusable

from tests.certificates import AN_HOUR, Authority, Issued

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

StartProbe = Callable[..., Awaitable["Probe"]]
SERVICE = "/transport.probe.v1.ProbeService"
SPIFFE = "spiffe://market.example/orders"
ACCOUNT = UUID("0190b7a2-6a54-7d0e-9a3b-2a1f7e1c77d1")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Signs the server's certificate."""
    return Authority("servers")


@pytest.fixture(scope="module")
def clients() -> Authority:
    """Signs clients' certificates."""
    return Authority("clients")


class Secured:
    """A probe behind TLS, the files of its certificate, and the callers that reached a handler."""

    def __init__(self, probe: Probe, certificate: ServerCertificate, folder: Path, authority: Authority) -> None:
        self.probe = probe
        self.certificate = certificate
        self.folder = folder
        self.callers: list[Caller] = []
        self.authority = authority
        self._channels: list[grpc.aio.Channel] = []
        for method in ("Get", "Ask", "GetMine"):
            probe.on[method] = self._note

    async def _note(self, request: Any, context: Any) -> Any:
        self.callers.append(kernel_call.current_caller())
        return self.probe.answer(text=request.text)

    def connect(
        self, *, trust: bytes | None = None, show: Issued | None = None, host: str = "localhost", internal: bool = False
    ) -> grpc.aio.Channel:
        """A connection of its own."""
        port = self.probe.server.internal_port if internal else self.probe.server.port
        credentials = grpc.ssl_channel_credentials(
            self.authority.pem if trust is None else trust,
            show.key if show is not None else None,
            show.chain if show is not None else None,
        )
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", host)]
        channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)
        self._channels.append(channel)
        return channel

    def plain(self) -> grpc.aio.Channel:
        """A connection without TLS."""
        channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{self.probe.server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


StartSecured = Callable[..., Awaitable[Secured]]


@pytest.fixture
async def start_secured(
    start_probe: StartProbe, authority: Authority, clients: Authority, tmp_path: Path
) -> AsyncIterator[StartSecured]:
    """Starts probes with TLS; `ask_clients` on the one port, `internal` on a second one."""
    started: list[Secured] = []

    async def start(*, ask_clients: bool = False, internal: bool = False, **options: Any) -> Secured:
        ca = tmp_path / "clients.pem"
        ca.write_bytes(clients.pem)
        certificate = ServerCertificate(TlsFiles(*authority.server().write(tmp_path), ca))
        probe = await start_probe(
            credentials=certificate.credentials(ask_clients=ask_clients),
            internal_port=0 if internal else None,
            internal_credentials=certificate.credentials(ask_clients=True) if internal else None,
            services={"orders.internal": "orders", SPIFFE: str(ACCOUNT), "billing": "billing"},
            **options,
        )
        started.append(Secured(probe, certificate, tmp_path, authority))
        return started[-1]

    yield start
    for each in started:
        await each.close()


async def ask(channel: grpc.aio.Channel, method: str = "Get", **options: Any) -> str:
    """The name of the status."""
    stub: Any = channel.unary_unary(f"{SERVICE}/{method}")
    try:
        await stub(b"", timeout=5, **options)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def test_a_client_that_trusts_the_authority_gets_in_and_sees_the_right_name(start_secured: StartSecured) -> None:
    secured = await start_secured()
    assert await ask(secured.connect()) == "OK"
    (caller,) = secured.callers
    assert caller.roles == frozenset()


async def test_faults_of_tls_reach_no_handler(
    start_secured: StartSecured, authority: Authority, clients: Authority
) -> None:
    open_port, asking = await start_secured(), await start_secured(ask_clients=True)
    good = clients.issue("billing")
    over = clients.issue("billing", lifetime=-AN_HOUR)
    stranger = Authority("strangers")
    faults = {
        "no TLS": open_port.plain(),
        "no TLS, on a port that asks for certificates": asking.plain(),
        "an authority that the client does not trust": open_port.connect(trust=stranger.pem),
        "another server's name": open_port.connect(host="bank.example"),
        "no certificate": asking.connect(),
        "a certificate of a stranger's": asking.connect(show=stranger.issue("billing", ["orders.internal"])),
        "a certificate of the servers' authority": asking.connect(show=authority.issue("billing")),
        "a certificate that signed itself": asking.connect(show=Authority("billing").issue("billing")),
        "a certificate that is over": asking.connect(show=over),
    }
    found = dict(zip(faults, await asyncio.gather(*(ask(channel) for channel in faults.values())), strict=True))
    assert found == dict.fromkeys(faults, "UNAVAILABLE")
    assert open_port.callers == asking.callers == []
    assert await ask(asking.connect(show=good)) == "OK"
    assert await ask(open_port.connect()) == "OK"


async def _handshake(secured: Secured, context: ssl.SSLContext) -> tuple[str, str]:
    """The version and the cipher that are agreed on."""
    context.load_verify_locations(cadata=secured.authority.pem.decode())
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(
        "127.0.0.1", secured.probe.server.port, ssl=context, server_hostname="localhost"
    )
    agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
    cipher = agreed.cipher()
    assert cipher is not None
    found = (agreed.version() or "", cipher[0])
    writer.close()
    return found


async def test_the_newest_tls_is_agreed_on_first_and_nothing_before_1_2(start_secured: StartSecured) -> None:
    secured = await start_secured()
    assert (await _handshake(secured, ssl.create_default_context()))[0] == "TLSv1.3"
    older = ssl.create_default_context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (await _handshake(secured, older))[0] == "TLSv1.2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        oldest = ssl.create_default_context()
        oldest.set_ciphers("ALL:@SECLEVEL=0")
        oldest.minimum_version = ssl.TLSVersion.TLSv1
        oldest.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await _handshake(secured, oldest)


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
async def test_ciphers_with_forward_secrecy_and_authentication_are_taken(
    start_secured: StartSecured, ciphers: str
) -> None:
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    assert (await _handshake(await start_secured(), context))[1] == ciphers


async def test_ciphers_without_them_are_not(start_secured: StartSecured) -> None:
    secured = await start_secured()
    for ciphers in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256", "NULL:eNULL:aNULL"):
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await _handshake(secured, context)


@pytest.mark.parametrize("garbage", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\xff" * 512])
async def test_a_handshake_that_is_none_harms_nobody_else(start_secured: StartSecured, garbage: bytes) -> None:
    secured = await start_secured(ask_clients=False)
    silent = [await asyncio.open_connection("127.0.0.1", secured.probe.server.port) for _ in range(20)]
    for _, writer in silent:
        writer.write(garbage)
    assert await ask(secured.connect()) == "OK"
    for _, writer in silent:
        writer.close()


async def test_a_known_certificate_is_a_service_and_an_unknown_one_is_nobody(
    start_secured: StartSecured, clients: Authority
) -> None:
    secured = await start_secured(ask_clients=True)
    by_name = clients.issue("irrelevant", ["something.else", "orders.internal"])
    by_uri = clients.issue("irrelevant", [SPIFFE])
    by_common_name = clients.issue("billing")
    unknown = clients.issue("nobody", ["nobody.internal"])
    disguised = clients.issue("billing", ["nobody.internal"])  # the common name counts only where it stands alone
    for issued in (by_name, by_uri, by_common_name, unknown, disguised):
        assert await ask(secured.connect(show=issued)) == "OK"
    known, strangers = secured.callers[:3], secured.callers[3:]
    assert all(caller.roles == {Role.SERVICE} for caller in known)
    assert known[1].user_id == ACCOUNT
    assert len({caller.user_id for caller in known}) == 3
    assert all(caller.user_id is None and not caller.roles for caller in strangers)
    assert all(caller.address == "127.0.0.1" for caller in secured.callers)
    assert await ask(secured.connect(show=by_name), "GetMine") == "OK"
    assert await ask(secured.connect(show=unknown), "GetMine") == "UNAUTHENTICATED"
    # A service is no buyer.
    assert await ask(secured.connect(show=by_name), "Ask") == "PERMISSION_DENIED"


async def test_the_certificate_of_a_revoked_service_account_is_worth_less_than_none(
    start_secured: StartSecured, clients: Authority
) -> None:
    secured = await start_secured(ask_clients=True)
    channel = secured.connect(show=clients.issue("irrelevant", [SPIFFE]))
    assert await ask(channel) == "OK"
    secured.probe.tokens.revoked.add(ACCOUNT)
    assert await ask(channel) == "UNAUTHENTICATED"
    assert len(secured.callers) == 1


async def test_a_service_has_the_same_id_on_every_worker_and_after_every_start(
    start_secured: StartSecured, clients: Authority
) -> None:
    for _ in range(2):
        secured = await start_secured(ask_clients=True)
        await ask(secured.connect(show=clients.issue("billing")))
        assert secured.callers[0].user_id == UUID("87b21a9d-40d8-5805-afd6-e13b4db0773f")


async def test_a_token_goes_before_the_certificate_and_a_bad_one_is_refused(
    start_secured: StartSecured, clients: Authority
) -> None:
    secured = await start_secured(ask_clients=True)
    channel = secured.connect(show=clients.issue("billing"))
    token = secured.probe.tokens.issue(Role.BUYER)
    assert await ask(channel, "Ask", metadata=[("authorization", f"Bearer {token}")]) == "OK"
    assert secured.callers[0].roles == {Role.BUYER}
    assert await ask(channel, metadata=[("authorization", "Bearer forged")]) == "UNAUTHENTICATED"


async def test_services_are_limited_each_by_itself(start_secured: StartSecured, clients: Authority) -> None:
    secured = await start_secured(ask_clients=True, rate_limits={RateClass.READ: (0.001, 2)})
    orders, billing = clients.issue("x", ["orders.internal"]), clients.issue("billing")
    assert [await ask(secured.connect(show=orders)) for _ in range(3)] == ["OK", "OK", "RESOURCE_EXHAUSTED"]
    assert await ask(secured.connect(show=billing)) == "OK"


async def test_services_have_a_port_of_their_own_while_everybody_else_needs_no_certificate(
    start_secured: StartSecured, clients: Authority
) -> None:
    secured = await start_secured(internal=True)
    issued = clients.issue("billing")
    assert await ask(secured.connect()) == "OK"
    assert await ask(secured.connect(internal=True)) == "UNAVAILABLE"
    assert await ask(secured.connect(show=issued, internal=True)) == "OK"
    # Where no certificate is asked for, none counts.
    assert await ask(secured.connect(show=issued)) == "OK"
    assert [caller.roles for caller in secured.callers] == [frozenset(), {Role.SERVICE}, frozenset()]


@pytest.mark.parametrize("internal", [False, True])
async def test_settings_ask_clients_for_a_certificate_where_services_call_and_nowhere_else(
    start_probe: StartProbe, authority: Authority, clients: Authority, tmp_path: Path, internal: bool
) -> None:
    ca = tmp_path / "clients.pem"
    ca.write_bytes(clients.pem)
    certificate, key = authority.server().write(tmp_path)
    settings = Settings(
        tls_cert_file=certificate,
        tls_key_file=key,
        tls_client_ca_file=ca,
        tls_services={"billing": "billing"},
        internal_port=0 if internal else None,
    )
    told = server_options(settings, reuse_port=False)
    names = ("credentials", "internal_port", "internal_credentials", "services")
    probe = await start_probe(**{name: getattr(told, name) for name in names})
    secured = Secured(probe, ServerCertificate(TlsFiles(certificate, key, ca)), tmp_path, authority)
    issued = clients.issue("billing")
    assert await ask(secured.connect()) == ("OK" if internal else "UNAVAILABLE")
    assert await ask(secured.connect(internal=internal)) == "UNAVAILABLE"
    assert await ask(secured.connect(show=issued, internal=internal)) == "OK"
    assert secured.callers[-1].roles == {Role.SERVICE}
    await secured.close()


async def test_a_renewed_certificate_is_shown_to_new_connections_and_ends_no_call(
    start_secured: StartSecured, authority: Authority
) -> None:
    secured = await start_secured()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield secured.probe.answer(text="before")
        begun.set()
        await go_on.wait()
        yield secured.probe.answer(text="after")

    secured.probe.on["Watch"] = watch
    old = secured.connect()
    metadata = [("authorization", f"Bearer {secured.probe.tokens.issue(Role.BUYER)}")]
    stub: Any = old.unary_stream(f"{SERVICE}/Watch")
    stream = stub(b"", metadata=metadata, timeout=20)
    await stream.read()
    await begun.wait()
    other = Authority("the next authority")
    other.server().write(secured.folder)
    assert await ask(secured.connect(trust=other.pem)) == "OK"
    assert await ask(secured.connect(trust=authority.pem)) == "UNAVAILABLE"
    assert await ask(old) == "OK"
    go_on.set()
    assert await stream.read() is not grpc.aio.EOF
    assert await stream.read() is grpc.aio.EOF
    assert (await stream.code()).name == "OK"
    assert secured.certificate.version == 2


async def test_files_that_do_not_fit_together_leave_the_former_certificate_in_place(
    start_secured: StartSecured, authority: Authority
) -> None:
    secured = await start_secured()
    next_one = authority.server("next")
    chain, key = secured.folder / "server.pem", secured.folder / "server.key"
    for step in (
        lambda: chain.write_bytes(next_one.chain),  # the key is still the former one's
        lambda: chain.write_bytes(b""),
        lambda: chain.unlink(),
        lambda: authority.issue("over", ["localhost"], lifetime=-AN_HOUR).write(secured.folder),
        lambda: authority.issue("early", ["localhost"], begin=AN_HOUR).write(secured.folder),
    ):
        step()
        assert await ask(secured.connect()) == "OK"
        assert secured.certificate.version == 1
    chain.write_bytes(next_one.chain)
    key.write_bytes(next_one.key)
    assert await ask(secured.connect()) == "OK"
    assert secured.certificate.version == 2


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder, authority: (folder / "server.pem").unlink(), "server.pem cannot be read"),
        (lambda folder, authority: (folder / "server.key").write_text("no"), "server.key holds no PEM key"),
        (lambda folder, authority: (folder / "server.pem").write_text("no"), "server.pem holds no PEM certificate"),
        (lambda folder, authority: (folder / "clients.pem").write_text("no"), "clients.pem holds no PEM certificate"),
        (
            lambda folder, authority: (folder / "server.key").write_bytes(authority.server().key),
            "is not the key of",
        ),
        (
            lambda folder, authority: authority.issue("x", lifetime=-AN_HOUR).write(folder),
            "server.pem ended on",
        ),
        (
            lambda folder, authority: authority.issue("x", begin=AN_HOUR).write(folder),
            "server.pem is good only from",
        ),
    ],
)
def test_a_server_does_not_start_with_files_that_are_not_right_and_says_why(
    tmp_path: Path, authority: Authority, spoil: Callable[[Path, Authority], object], named: str
) -> None:
    files = TlsFiles(*authority.server().write(tmp_path), tmp_path / "clients.pem")
    (tmp_path / "clients.pem").write_bytes(authority.pem)
    spoil(tmp_path, authority)
    with pytest.raises(CertificateUnusable, match=named):
        ServerCertificate(files)
