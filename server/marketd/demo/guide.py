"""What `serve --demo` tells a newcomer: the page to open, who can sign in, and commands to paste in any folder.

It fits a screen. Only tools that are there are named, and what a command needs is there once it is printed.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from marketplace_client.channel import is_this_machine
from rich.console import Console

from marketd.demo.defaults import ADMIN_EMAIL, CODE, DEFAULT_TARGET, SHOP_CODE, SLIP
from marketd.demo.seed import Login, SeededLogins

INDENT = "  "
_PRODUCTS = "marketplace.catalog.v1.CatalogService/ListProducts"
_SEARCH = "marketplace.catalog.v1.CatalogService/SearchProducts"
_ORDERS = "marketplace.order.v1.OrderService/ListOrders"
_BEARER = '-H "authorization: Bearer $TOKEN"'
_FIRST_PRODUCT = "/v1/products?pageSize=1"
_PAGE = """'{"pageSize": 2}'"""
_SLIP = f"""'{{"query": "{SLIP}", "pageSize": 2}}'"""


def tool(name: str) -> str | None:
    """How a shell calls a tool from any folder: beside this Python, else where it is found; None when it is nowhere."""
    beside = Path(sys.executable).absolute().parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return shlex.quote(str(Path(found).absolute())) if found is not None else None


def commands(target: str, logins: SeededLogins, gateway: str = "") -> list[tuple[str, list[str]]]:
    """Groups of commands under what they are for; within one, later ones may use variables that earlier ones set.

    gateway: its address; empty without one.
    """
    marketd = tool("marketd") or f"{shlex.quote(str(Path(sys.executable).absolute()))} -m marketd"
    where = "" if target == DEFAULT_TARGET else f" --target {shlex.quote(target)}"
    if not is_this_machine(target):  # an address of this machine by which others reach it, too
        where += " --plaintext"
    admin = "" if logins.admin.email == ADMIN_EMAIL else f" --admin-email {shlex.quote(logins.admin.email)}"
    groups = []
    if gateway and shutil.which("curl") is not None:
        groups.append(("JSON over HTTP", [f"curl {shlex.quote(gateway + _FIRST_PRODUCT)}"]))
    groups += [
        ("The whole story, each step checked", [f"{marketd} demo{where}{admin}"]),
        ("A delivery, watched live", [f"{marketd} demo --watch{where}{admin}"]),
    ]
    call = _caller(target)
    if call is not None:
        password, buyer = shlex.quote(logins.password), logins.buyers[0].email
        token = f"TOKEN=$(echo {password} | {marketd} token --login {buyer} --password-stdin{where})"
        by_hand = [
            call.format(method=_PRODUCTS, token="", data=_PAGE),
            call.format(method=_SEARCH, token="", data=_SLIP),
            token,
            call.format(method=_ORDERS, token=f" {_BEARER}", data=_PAGE),
        ]
        groups.append(("gRPC by hand: what is sold, a search with a slip in it, and a buyer's orders", by_hand))
    return groups


def _caller(target: str) -> str | None:
    """A command that sends {data} to {method} with {token}, by grpcurl where somebody has installed it, else by buf."""
    if shutil.which("grpcurl") is not None:
        return f"grpcurl -plaintext{{token}} -d {{data}} {shlex.quote(target)} {{method}}"
    if (buf := tool("buf")) is not None:
        address = shlex.quote(f"http://{target}/")
        return f"{buf} curl --protocol grpc --http2-prior-knowledge{{token}} -d {{data}} {address}{{method}}"
    return None


def show(console: Console, target: str, logins: SeededLogins, gateway: str = "") -> None:
    """Print the page, logins and commands. gateway: its address, where it serves the page; empty without one."""

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    codes = f"promo codes {CODE} (a tenth off), {SHOP_CODE} (2 off from 10 on at {logins.shops[0].name})"
    if gateway:
        line(f"Open {gateway}/ in a browser: sign in as {logins.visitor.email}, order, and watch the courier come.")
    sellers, buyers = [shop.login for shop in logins.shops], logins.buyers
    people = ", ".join(_named(group) for group in ((logins.admin,), sellers, buyers, logins.couriers))
    line(f"Demo logins: {people}; the password is {logins.password}; {codes}")
    if logins.admin_password != logins.password:
        line("The admin's is the one that MARKETD_ADMIN_PASSWORD holds here; `demo` needs it too.")
    line("Commands to paste, in any folder:")
    for what, lines in commands(target, logins, gateway):
        line(f"# {what}")
        for text in lines:
            line(f"{INDENT}{text}")
    line(f"{len(logins.couriers)} couriers set out in a moment, pictures and reviews follow; Ctrl-C ends everything.")


def _named(group: tuple[Login, ...] | list[Login]) -> str:
    """Logins of one role; several are numbered from 1 on."""
    first, last = group[0].email, group[-1].email
    return first if first == last else f"{first} … {last.partition('@')[0]}"
