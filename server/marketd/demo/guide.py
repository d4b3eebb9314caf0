"""What `serve --demo` tells a newcomer: who can sign in, and commands to paste."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from marketd.demo.seed import SeededLogins


def _reading(path: str) -> str:
    """A shell filter that takes one value out of an answer in JSON."""
    return f"python3 -c 'import json,sys; print(json.load(sys.stdin){path})'"


_READ_ACCESS = _reading('["tokens"]["accessToken"]')
_READ_DELIVERY = _reading('["deliveries"][0]["deliveryId"]')


def tool(name: str) -> str:
    """How to call a tool: by its name when the shell finds it, else beside this Python."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) is not None or not beside.exists():
        return name
    return os.path.relpath(beside)


def commands(target: str, buyer_email: str, password: str) -> list[tuple[str, str]]:
    """Commands for a shell, each with what it does; later ones use the variables that earlier ones set."""
    login = f'{{"login": "{buyer_email}", "password": "{password}"}}'
    auth, catalog = "marketplace.auth.v1.AuthService", "marketplace.catalog.v1.CatalogService"
    delivery, tracking = "marketplace.delivery.v1.DeliveryService", "marketplace.tracking.v1.TrackingService"
    curl = f"{tool('buf')} curl --protocol grpc --http2-prior-knowledge http://{target}"
    bearer = '-H "authorization: Bearer $TOKEN"'
    underway = '{"states": ["DELIVERY_STATE_ASSIGNED", "DELIVERY_STATE_PICKED_UP"]}'
    followed = '"{\\"deliveryId\\": \\"$DELIVERY\\"}"'
    page = '{"pageSize": 3}'
    return [
        ("with grpcurl: what can be called, and some products", f"grpcurl -plaintext {target} list"),
        ("", f"grpcurl -plaintext -d '{page}' {target} {catalog}/ListProducts"),
        (
            "sign in as a buyer, find the delivery that is on its way, and watch it live",
            f"TOKEN=$(grpcurl -plaintext -d '{login}' {target} {auth}/Login | {_READ_ACCESS})",
        ),
        (
            "",
            f"DELIVERY=$(grpcurl -plaintext {bearer} -d '{underway}' {target} {delivery}/ListDeliveries"
            f" | {_READ_DELIVERY})",
        ),
        ("", f"grpcurl -plaintext {bearer} -d {followed} {target} {tracking}/WatchDelivery"),
        ("the same with buf curl", f"{curl}/{catalog}/ListProducts -d '{page}'"),
        ("", f"TOKEN=$({curl}/{auth}/Login -d '{login}' | {_READ_ACCESS})"),
        ("", f"DELIVERY=$({curl}/{delivery}/ListDeliveries {bearer} -d '{underway}' | {_READ_DELIVERY})"),
        ("", f"{curl}/{tracking}/WatchDelivery {bearer} -d {followed}"),
        ("the whole story, checked step by step", f"{tool('marketd')} demo --target {target}"),
    ]


def show(console: Console, target: str, logins: SeededLogins) -> None:
    """Print logins and commands."""
    table = Table(title=f"Demo logins (password: {logins.password})", title_justify="left", box=None, pad_edge=False)
    for column in ("role", "name", "login"):
        table.add_column(column)
    for login in logins.all():
        table.add_row(login.role, login.name, login.email)
    console.print(table)
    if logins.admin_password != logins.password:
        console.print("The admin has the password that MARKETD_ADMIN_PASSWORD holds.")
    console.print("\nCommands to paste:")
    for what, line in commands(target, logins.buyers[0].email, logins.password):
        heading = f"  # {what}\n" if what else ""
        console.print(f"{heading}  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\n{len(logins.couriers)} couriers are delivering; Ctrl-C ends everything.")
