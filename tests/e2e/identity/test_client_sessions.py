"""A session that ends elsewhere, as a user of the typed client meets it, against the real server."""

from __future__ import annotations

import secrets

import pytest
from marketplace.auth.v1 import auth_service_pb2 as pb
from marketplace.auth.v1 import user_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError, SignInRequired

from tests.worlds.things import new_shop
from tests.worlds.workers import PASSWORD, Worker

Workers = tuple[Worker, Worker]
pytestmark = pytest.mark.asyncio(loop_scope="session")
ME = user_service_pb2.GetUserRequest(user_id="me")


def client_of(worker: Worker) -> MarketplaceClient:
    """A client of the worker."""
    return MarketplaceClient(f"127.0.0.1:{worker.app.port}")


async def browse(client: MarketplaceClient, email: str) -> None:
    """What needs no session: a list, and the way back to a lost password."""
    await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest(page_size=1))
    await client.auth.RequestPasswordReset(pb.RequestPasswordResetRequest(email=email))


@pytest.mark.parametrize("how", ["logged out elsewhere", "a spent token came again"])
async def test_whoever_was_signed_out_elsewhere_browses_on_and_is_asked_to_sign_in_for_the_rest(
    workers: Workers, how: str
) -> None:
    worker, email = workers[0], f"{secrets.token_hex(8)}@shop.example"
    async with client_of(worker) as client:
        await client.register(email, PASSWORD)
        assert client.tokens is not None
        if how == "logged out elsewhere":
            await worker.auth.LogoutAll(pb.LogoutAllRequest(), metadata=(await worker.login(email)).metadata)
        else:
            spent = pb.RefreshTokensRequest(refresh_token=client.tokens.refresh_token)
            await worker.auth.RefreshTokens(spent)
            # These workers have no grace.
            with pytest.raises(MarketplaceError):
                await client.refresh()
            assert client.tokens is None
        await browse(client, email)
        with pytest.raises(SignInRequired, match="sign in again"):
            await client.user.GetUser(ME)
        await browse(client, email)
        await client.login(email, PASSWORD)
        assert (await client.user.GetUser(ME)).user.email == email


async def test_an_owner_sees_by_the_client_what_is_not_public_yet(workers: Workers) -> None:
    async with client_of(workers[0]) as owner, client_of(workers[0]) as stranger:
        await owner.register(f"{secrets.token_hex(8)}@shop.example", PASSWORD)
        made = await owner.seller.CreateSeller(new_shop())
        request = seller_service_pb2.GetSellerRequest(seller_id=made.seller.seller_id)
        assert (await owner.seller.GetSeller(request)).seller == made.seller
        with pytest.raises(MarketplaceError) as refused:
            await stranger.seller.GetSeller(request)
        assert refused.value.reason == "NOT_FOUND"
