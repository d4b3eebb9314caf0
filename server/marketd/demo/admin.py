"""Signing the demo's admin in; on a server that has just started, once its demo data are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import grpc
from marketplace.auth.v1 import user_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError

from marketd.demo.addresses import no_answer
from marketd.demo.records import CheckFailed, DemoOptions

_PAUSE_SECONDS = 0.5


async def sign_in_admin(client: MarketplaceClient, options: DemoOptions, say: Callable[[str], None]) -> None:
    """Sign the admin of the options in, or see that their token is taken.

    Raises CheckFailed with what to do, and MarketplaceError.

    `serve --demo` makes its admin and then its shops in the first seconds after it serves. While nothing is sold yet,
    that is waited for; trying to sign in again and again would count as failures.
    """
    if options.admin_token is not None:
        await _check_token(client, options)
        return
    if await _signs_in(client, options):
        return
    waited, end = "", time.monotonic() + options.patience_seconds
    while options.patience_seconds and not await _has_products(client):
        if not waited:
            say(
                f"Nothing is sold here yet: waiting up to {options.patience_seconds:g} s for the data of serve --demo …"
            )
            waited = f", and no demo data came within {options.patience_seconds:g} s"
        if time.monotonic() >= end:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    if not (options.patience_seconds and await _signs_in(client, options)):
        raise CheckFailed(
            f"no admin signs in as {options.admin_email} with this password{waited}; make one with marketd "
            f"create-admin and give it with --admin-email and --admin-password (or MARKETD_ADMIN_EMAIL and "
            f"MARKETD_ADMIN_PASSWORD), or run serve --demo"
        )


async def _check_token(client: MarketplaceClient, options: DemoOptions) -> None:
    try:
        await client.user.GetUser(user_service_pb2.GetUserRequest(user_id="me"))
    except MarketplaceError as error:
        if error.was_dropped and not error.from_server:
            raise CheckFailed(no_answer(options.target, error.message)) from None
        if error.code is grpc.StatusCode.UNAUTHENTICATED:
            raise CheckFailed(
                f"--admin-token is no token that the server takes ({error.reason}); marketd token --login … prints one"
            ) from None
        raise


async def _signs_in(client: MarketplaceClient, options: DemoOptions) -> bool:
    try:
        await client.login(options.admin_email, options.admin_password, device_name="demo")
    except MarketplaceError as error:
        if error.was_dropped and not error.from_server:
            raise CheckFailed(no_answer(options.target, error.message)) from None
        if error.reason != "INVALID_CREDENTIALS":
            raise
        return False
    return True


async def _has_products(client: MarketplaceClient) -> bool:
    """Whether anything is sold; the demo's products come after its admin."""
    try:
        request = catalog_service_pb2.ListProductsRequest(page_size=1)
        return bool((await client.catalog.ListProducts(request)).products)
    except MarketplaceError as error:
        if error.was_dropped:
            return False  # a worker may just be starting again
        raise
