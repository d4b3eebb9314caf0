"""`marketd policy`: its titles, and what it explains, which must be what the chain does."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest
from marketd.app import access_table
from marketd.cli import application
from marketd.commands.explain import NoSuchName, explained, find_role, find_rule, judged, refusal_of
from marketd.commands.policy import list_methods
from marketd.config import STRICT_LIMITS, Settings
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.refusals import Refusal
from marketd.transport.access import AccessTable
from marketd.transport.links import caller as links
from marketd.transport.rules import Rule
from rich.console import Console
from typer.testing import CliRunner, Result

TABLE = access_table()
PLACE = "/marketplace.order.v1.OrderService/PlaceOrder"


def run(*arguments: str) -> Result:
    """Run `marketd policy …`."""
    return CliRunner().invoke(application(["policy"]), ["policy", *arguments])


class Passage:
    """What the link of access looks at: a caller."""

    def __init__(self, caller: Caller) -> None:
        self.call = self
        self.caller = caller


def refused_by_the_chain(rule: Rule, role: Role | None) -> str | None:
    """The reason that the link gives to a caller of this role, or None when it lets them pass."""
    step = links.access(cast(Any, None), rule)
    if step is None:
        return None
    has_account = role not in (None, Role.GUEST, Role.VIEWER)
    caller = Caller(uuid4() if has_account else None, None, frozenset({role})) if role is not None else ANONYMOUS
    try:
        step(cast(Any, Passage(caller)))
    except Refusal as refusal:
        return refusal.reason.value
    return None


def test_what_is_explained_is_what_the_chain_does_for_every_method_and_role() -> None:
    judged_pairs = 0
    for rule in TABLE:
        for role in (None, *Role):
            reason = refusal_of(rule, role)
            assert reason == refused_by_the_chain(rule, role), (rule.method, role)
            words = judged(rule, role)
            assert (" may not call " in words) is (reason is not None)
            assert reason is None or reason in words
            judged_pairs += 1
    assert judged_pairs > 500


@pytest.mark.parametrize(
    "name",
    [
        PLACE,
        "marketplace.order.v1.OrderService/PlaceOrder",
        "marketplace.order.v1.OrderService.PlaceOrder",
        "OrderService/PlaceOrder",
        "OrderService.PlaceOrder",
        "PlaceOrder",
        "placeorder",
    ],
)
def test_a_method_is_found_by_as_much_of_its_name_as_tells_it_apart(name: str) -> None:
    assert find_rule(TABLE, name).method == PLACE


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("PlaceOrdr", r"is no method; near to it: marketplace\.order\.v1\.OrderService/PlaceOrder"),
        ("OrderService", r"is a service; name one of its methods: .*PlaceOrder"),
        ("OrderService/Place", r"is no method; near to it: .*OrderService/PlaceOrder"),
        ("ServerReflectionInfo", "is several methods: .*v1alpha.*v1.ServerReflection/"),
        ("zzzzzzzz", "`marketd policy` lists them all"),
        ("", "is no method"),
        ("/", "is no method"),
    ],
)
def test_a_name_that_is_none_or_several_is_answered_with_those_near_to_it(name: str, says: str) -> None:
    with pytest.raises(NoSuchName, match=says):
        find_rule(TABLE, name)


def test_only_whole_words_of_a_name_count() -> None:
    assert find_rule(TABLE, "Watch").method == "/grpc.health.v1.Health/Watch"  # and not WatchOrder


@pytest.mark.parametrize("name", ["BUYER", "buyer", "Buyer", " role_buyer"])
def test_a_role_is_found_in_any_case(name: str) -> None:
    assert find_role(name) is Role.BUYER


def test_nobody_in_particular_is_a_role_too_and_an_unknown_one_is_answered_with_the_near_one() -> None:
    assert find_role("Anonymous") is None
    with pytest.raises(NoSuchName, match="is no role; is COURIER meant"):
        find_role("curier")


@pytest.mark.parametrize(
    ("method", "title", "words"),
    [
        ("PlaceOrder", "request_id", "required (a UUID)"),
        ("PlaceOrder", "rate class", "CHECKOUT: 2 calls a second, 20 at once, for each account"),
        ("PlaceOrder", "open to", "BUYER"),
        ("Login", "open to", "everybody, without a token"),
        ("Login", "rate class", "LOGIN: 0.5 calls a second, 10 at once, for each account and for each address"),
        ("AddCartItem", "rate class", "for each account or guest"),
        # Each cart has limits of its own, so they are no cheaper to make than what those limit.
        ("CreateGuestCart", "rate class", "CHECKOUT: 2 calls a second, 20 at once"),
        ("CreateGuestCart", "rate class", "for each account (without one, each address)"),
        ("Login", "audit", "every call is written"),
        ("GetOrder", "audit", "calls are not audited"),
        ("Health/Check", "rate class", "never limited"),
        ("StreamLocations", "call", "streams both ways"),
        ("GetServerInfo", "stability", "STABLE: complete"),
    ],
)
def test_what_holds_for_a_method_besides_is_said(method: str, title: str, words: str) -> None:
    assert words in dict(explained(find_rule(TABLE, method), STRICT_LIMITS))[title]


def test_the_limits_are_those_of_the_settings_and_productions_stand_beside_them() -> None:
    generous = dict(explained(find_rule(TABLE, "PlaceOrder"), Settings().limits()))["rate class"]
    assert "100,000 calls a second" in generous
    assert "in production 2 and 20" in generous
    assert "production" not in dict(explained(find_rule(TABLE, "PlaceOrder"), STRICT_LIMITS))["rate class"]


def test_the_table_has_its_titles_on_top_and_fits_a_terminal() -> None:
    ran = run()
    lines = ran.stdout.splitlines()
    assert ran.exit_code == 0
    assert lines[0].split() == ["method", "access", "request_id", "rate", "audit", "stability"]
    row = next(line for line in lines if line.strip().startswith("PlaceOrder"))
    assert row.index("required") == lines[0].index("request_id")
    assert row.index("CHECKOUT") == lines[0].index("rate")
    assert any(" audited " in line for line in lines)
    assert all(line.split()[-1] in ("beta", "stable") for line in lines if " audited " in line)
    assert max(map(len, lines)) <= 80


def test_machines_get_the_table_as_before() -> None:
    document = json.loads(run("--json").stdout)
    assert document.keys() == {"methods"}
    assert {
        "method": PLACE,
        "access": ["BUYER"],
        "idempotency": "KEY_REQUIRED",
        "rate_class": "CHECKOUT",
        "audit": False,
        "stability": "STABLE",
        "unrepeatable": "",
        "replacement": "",
    } in document["methods"]


def test_what_is_deprecated_and_what_cannot_be_repeated_is_said_with_the_reason() -> None:
    old = replace(find_rule(TABLE, PLACE), replacement="marketplace.order.v2.OrderService/PlaceOrder")
    assert dict(explained(old, STRICT_LIMITS))["deprecated"] == f"call {old.replacement} instead"
    secret = replace(find_rule(TABLE, "Login"), unrepeatable="the answer holds a secret")
    assert dict(explained(secret, STRICT_LIMITS))["request_id"] == "none is taken: the answer holds a secret"
    console = Console(width=80, record=True, file=io.StringIO())
    list_methods(console, AccessTable({rule.method: rule for rule in (old, secret)}).policy_document()["methods"])
    text = console.export_text()
    lines = [line.rstrip() for line in text.splitlines()]
    assert next(line for line in lines if line.strip().startswith("PlaceOrder")).endswith(" deprecated")
    writes = lines[lines.index("Writes that take no request_id") + 1 :]
    assert [line.split(maxsplit=1) for line in writes] == [["AuthService/Login", "the answer holds a secret"]]


def test_the_command_explains_and_refuses_what_it_does_not_know_in_one_line() -> None:
    ran = run("--explain", "PlaceOrder", "--as", "admin")
    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[:2] == [
        PLACE[1:],
        "An ADMIN may not call PlaceOrder: it takes BUYER (ROLE_REQUIRED).",
    ]
    assert run("--explain", "PlaceOrder").exit_code == 0
    for wrong in (
        ["--explain", "PlaceOrdr"],
        ["--explain", "PlaceOrder", "--as", "king"],
        ["--as", "BUYER"],
        ["--explain", "PlaceOrder", "--json"],
    ):
        ran = run(*wrong)
        assert (ran.exit_code, ran.stdout) == (2, ""), wrong
        assert ran.stderr.count("\n") == 1, ran.stderr
