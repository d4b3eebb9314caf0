"""What the server says about itself and about each call: its policy, health, channelz, correlation ids."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from marketd import app as composition
from marketd.cli import application
from marketd.kernel.call.caller import Caller
from marketd.transport.collector import Collector
from marketd.transport.own_rules import CHANNELZ, HEALTH
from marketd.transport.rules import Idempotency, Kind, Open, RateClass, Rule
from marketd.transport.server import ServerOptions, build_server
from marketd.transport.start_errors import MethodsWithoutRule
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.policy.v1 import policy_pb2
from typer.testing import CliRunner

from tests.worlds.agreed import agreed
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES
from tests.worlds.things import new_key
from tests.worlds.wire import check_refusal

PROTOS = Path(__file__).resolve().parents[3] / "protos" / "marketplace"
SERVING = health_pb2.HealthCheckResponse.SERVING
GET_PRODUCT = "/marketplace.catalog.v1.CatalogService/GetProduct"


def declared() -> dict[str, policy_pb2.Rule]:
    """The rule of every rpc that the .proto files declare, found by their text and read from the descriptors."""
    rules = {}
    for path in sorted(PROTOS.rglob("*.proto")):
        text = path.read_text()
        package = re.search(r"^package ([\w.]+);", text, re.M)
        assert package is not None, path
        for name in re.findall(r"^service (\w+) {", text, re.M):
            service = descriptor_pool.Default().FindServiceByName(f"{package[1]}.{name}")
            assert len(service.methods) == len(re.findall(r"^  rpc ", text, re.M)), path
            for method in service.methods:
                rules[f"/{service.full_name}/{method.name}"] = method.GetOptions().Extensions[policy_pb2.rule]
    return rules


def test_the_policy_command_lists_every_rpc_with_the_rule_that_was_agreed_for_it() -> None:
    given = ["policy", "--json"]
    printed = CliRunner().invoke(application(given), given, catch_exceptions=False)
    assert printed.exit_code == 0
    methods = {method["method"]: method for method in json.loads(printed.stdout)["methods"]}
    rules = declared()
    assert {path for path in methods if path.startswith("/marketplace.")} == set(rules)
    assert set(methods) == set(RULES)
    for path, line in agreed().items():
        rule = rules.get(path, policy_pb2.Rule())
        assert methods[path] == {
            "method": path,
            "access": line.access,
            "idempotency": line.idempotency,
            "rate_class": line.rate_class,
            "audit": line.is_audited,
            "stability": line.stability,
            "unrepeatable": rule.unrepeatable,
            "replacement": rule.replacement,
        }


class _NoTokens:
    """An authenticator for a server that never starts."""

    def cached(self, token: str) -> Caller | None:
        return None

    async def authenticate(self, token: str) -> Caller:
        raise AssertionError(token)

    def cached_service(self, service_account_id: UUID) -> Caller | None:
        return None

    async def authenticate_service(self, service_account_id: UUID) -> Caller:
        raise AssertionError(service_account_id)


async def test_a_server_with_an_unruled_method_does_not_start() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="matrix/unruled.proto", package="matrix.unruled", syntax="proto3")
    file.message_type.add(name="Nothing")
    service = file.service.add(name="HoleService")
    service.method.add(name="Slip", input_type=".matrix.unruled.Nothing", output_type=".matrix.unruled.Nothing")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())

    async def slip(request: Any, context: Any) -> Any:
        raise AssertionError("nobody may come here")

    def add(servicer: None, server: Any) -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(slip)
        server.add_registered_method_handlers("matrix.unruled.HoleService", {"Slip": handler})

    collector = Collector()
    collector.add(add, None)
    with pytest.raises(MethodsWithoutRule, match=r"/matrix\.unruled\.HoleService/Slip"):
        build_server(collector, ServerOptions(), authenticator=_NoTokens(), fingerprint_secret=b"x" * 16)


@pytest.mark.asyncio(loop_scope="session")
async def test_health_answers_for_the_server_and_for_each_service(market: Market) -> None:
    for service in ("", *composition.SERVICES):
        request = health_pb2.HealthCheckRequest(service=service)
        checked = await market.send(f"/{HEALTH}/Check", request)
        watched = await market.send(f"/{HEALTH}/Watch", request, take=1)
        for outcome in (checked, watched):
            assert health_pb2.HealthCheckResponse.FromString(outcome.answers[0]).status == SERVING
    unknown = health_pb2.HealthCheckRequest(service="nobody.v1.NothingService")
    outcome = await market.send(f"/{HEALTH}/Check", unknown)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    check_refusal(outcome)
    outcome = await market.send(f"/{HEALTH}/Watch", unknown, take=1)
    status = health_pb2.HealthCheckResponse.FromString(outcome.answers[0]).status
    assert status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.mark.asyncio(loop_scope="session")
async def test_channelz_shows_administrators_this_server_and_its_calls(market: Market) -> None:
    outcome = await market.send(f"/{CHANNELZ}/GetServers", channelz_pb2.GetServersRequest(), by=market.admin)
    ports, started = set(), 0
    for server in channelz_pb2.GetServersResponse.FromString(outcome.answers[0]).server:
        started += server.data.calls_started
        wanted = channelz_pb2.GetServerSocketsRequest(server_id=server.ref.server_id)
        outcome = await market.send(f"/{CHANNELZ}/GetServerSockets", wanted, by=market.admin)
        for ref in channelz_pb2.GetServerSocketsResponse.FromString(outcome.answers[0]).socket_ref:
            request = channelz_pb2.GetSocketRequest(socket_id=ref.socket_id)
            found = await market.send(f"/{CHANNELZ}/GetSocket", request, by=market.admin)
            ports.add(channelz_pb2.GetSocketResponse.FromString(found.answers[0]).socket.local.tcpip_address.port)
    assert started > 0
    # This very connection is among them.
    assert market.app.port in ports


@pytest.mark.asyncio(loop_scope="session")
async def test_every_answer_carries_the_correlation_id_that_was_given_or_one_of_its_own(market: Market) -> None:
    good = catalog_service_pb2.GetProductRequest(product_id=market.goods.product_id)
    missing = catalog_service_pb2.GetProductRequest(product_id=new_key())
    made = set()
    for body in (good, missing, b"\xff"):
        named = await market.send(GET_PRODUCT, body, metadata=[("x-request-id", "matrix-4711")])
        assert named.request_id == "matrix-4711"
        forged = await market.send(GET_PRODUCT, body, metadata=[("x-request-id", "two words {}")])
        assert forged.request_id not in ("", "two words {}")
        for _ in range(3):
            made.add((await market.send(GET_PRODUCT, body)).request_id)
    assert "" not in made
    assert len(made) == 9


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("kind", [Kind.UNARY, Kind.SERVER_STREAM, Kind.BIDI])
@pytest.mark.parametrize(
    "path",
    [
        "/marketplace.order.v1.OrderService/GiveEverythingAway",
        "/marketplace.order.v2.OrderService/GetOrder",
        "/nothing.at.All/Do",
        "/OrderService/GetOrder",
        "/" + "x" * 2000,
    ],
    ids=lambda path: path[:40],
)
async def test_a_method_that_there_is_not_is_told_as_such_whoever_asks(market: Market, kind: Kind, path: str) -> None:
    rule = Rule(
        path,
        Open.PUBLIC,
        Idempotency.NONE,
        RateClass.READ,
        False,
        kind,
        reflection_pb2.ServerReflectionRequest,
        reflection_pb2.ServerReflectionResponse,
    )
    for token in (None, market.admin.token, "not.a.token"):
        outcome = await market.wire.send(rule, [b"\xff\xff"], token=token)
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
        check_refusal(outcome)
