"""The recipes of accounts, sellers and couriers, and of what the server tells about itself."""

from __future__ import annotations

import secrets

from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from marketd.transport.own_rules import CHANNELZ, HEALTH, REFLECTION
from marketplace.auth.v1 import auth_service_pb2, user_service_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2

from tests.e2e.matrix.scenes import (
    ADMIN,
    AUTHENTICATED,
    BUYER,
    COURIER,
    PUBLIC,
    SELLER,
    SERVICE,
    Book,
    Scene,
    newcomer,
)
from tests.worlds.matrix import Market
from tests.worlds.things import PASSWORD, new_courier, new_key, new_shop

AUTH = Book("marketplace.auth.v1.AuthService")
USER = Book("marketplace.auth.v1.UserService")
SELLERS = Book("marketplace.seller.v1.SellerService")
COURIERS = Book("marketplace.delivery.v1.CourierService")
HEALTHS = Book(HEALTH)
REFLECTIONS = [Book(name) for name in REFLECTION]
CHANNELS = Book(CHANNELZ)
BOOKS = (AUTH, USER, SELLERS, COURIERS, HEALTHS, *REFLECTIONS, CHANNELS)


@AUTH.add("Register", PUBLIC)
async def register(market: Market, who: str) -> Scene:
    email = f"{secrets.token_hex(8)}@example.com"
    request = auth_service_pb2.RegisterRequest(
        email=email, username=f"u{secrets.token_hex(6)}", password=PASSWORD, full_name="Grace Hopper"
    )
    return Scene(None, (request,))


@AUTH.add("Login", PUBLIC)
async def login(market: Market, who: str) -> Scene:
    person = await market.register()
    return Scene(None, (auth_service_pb2.LoginRequest(login=person.email, password=PASSWORD, device_name="test"),))


@AUTH.add("RefreshTokens", PUBLIC)
async def refresh(market: Market, who: str) -> Scene:
    person = await market.register()
    return Scene(None, (auth_service_pb2.RefreshTokensRequest(refresh_token=person.refresh_token),))


@AUTH.add("Logout", AUTHENTICATED)
async def logout(market: Market, who: str) -> Scene:
    return Scene(await newcomer(market, who), (auth_service_pb2.LogoutRequest(),))


@AUTH.add("GetJsonWebKeySet", PUBLIC)
async def key_set(market: Market, who: str) -> Scene:
    return Scene(None, (auth_service_pb2.GetJsonWebKeySetRequest(),))


@USER.add("GetUser", BUYER, SELLER, COURIER, ADMIN, SERVICE)
async def get_user(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    # Admins and services may read anybody's account.
    wanted = market.buyer.user_id if who in ("ADMIN", "SERVICE") else caller.user_id
    return Scene(caller, (user_service_pb2.GetUserRequest(user_id=wanted),))


@SELLERS.add("CreateSeller", AUTHENTICATED)
async def create_seller(market: Market, who: str) -> Scene:
    return Scene(await newcomer(market, who), (new_shop(),))


@SELLERS.add("UpdateSeller", BUYER, SELLER, COURIER, ADMIN)
async def update_seller(market: Market, who: str) -> Scene:
    owner = await newcomer(market, who if who != "ADMIN" else "BUYER")
    applied = (await market.call(new_shop(), owner)).seller
    change = seller_pb2.Seller(seller_id=applied.seller_id, description="Moved around the corner.", etag=applied.etag)
    request = seller_service_pb2.UpdateSellerRequest(seller=change)
    return Scene(market.admin if who == "ADMIN" else owner, (request,))


@SELLERS.add("ApproveSeller", ADMIN)
async def approve_seller(market: Market, who: str) -> Scene:
    applied = (await market.call(new_shop(), await market.register())).seller
    request = seller_service_pb2.ApproveSellerRequest(seller_id=applied.seller_id, reason="looks fine")
    return Scene(market.admin, (request,))


@SELLERS.add("RejectSeller", ADMIN)
async def reject_seller(market: Market, who: str) -> Scene:
    applied = (await market.call(new_shop(), await market.register())).seller
    request = seller_service_pb2.RejectSellerRequest(seller_id=applied.seller_id, reason="no papers")
    return Scene(market.admin, (request,))


@SELLERS.add("SuspendSeller", ADMIN)
async def suspend_seller(market: Market, who: str) -> Scene:
    shop = await market.open_shop()
    return Scene(market.admin, (seller_service_pb2.SuspendSellerRequest(seller_id=shop.seller_id, reason="late"),))


@SELLERS.add("ReinstateSeller", ADMIN)
async def reinstate_seller(market: Market, who: str) -> Scene:
    shop = await market.open_shop()
    suspend = seller_service_pb2.SuspendSellerRequest(seller_id=shop.seller_id, reason="late")
    await market.call(suspend, market.admin)
    return Scene(market.admin, (seller_service_pb2.ReinstateSellerRequest(seller_id=shop.seller_id, reason="sorry"),))


@SELLERS.add("CloseSeller", BUYER, SELLER, COURIER, ADMIN)
async def close_seller(market: Market, who: str) -> Scene:
    owner = await market.register() if who == "ADMIN" else await newcomer(market, who)
    applied = (await market.call(new_shop(), owner)).seller
    request = seller_service_pb2.CloseSellerRequest(seller_id=applied.seller_id, reason="moving away")
    return Scene(market.admin if who == "ADMIN" else owner, (request,))


@SELLERS.add("GetMySeller", SELLER)
async def get_my_seller(market: Market, who: str) -> Scene:
    return Scene(market.shop.owner, (seller_service_pb2.GetMySellerRequest(),))


@SELLERS.add("ListSellers", PUBLIC)
async def list_sellers(market: Market, who: str) -> Scene:
    return Scene(None, (seller_service_pb2.ListSellersRequest(order_by="create_time desc", page_size=3),))


@SELLERS.add("GetSeller", PUBLIC)
async def get_seller(market: Market, who: str) -> Scene:
    return Scene(None, (seller_service_pb2.GetSellerRequest(handle=market.shop.handle),))


@COURIERS.add("CreateCourier", AUTHENTICATED)
async def create_courier(market: Market, who: str) -> Scene:
    return Scene(await newcomer(market, who), (new_courier(),))


@COURIERS.add("ApproveCourier", ADMIN)
async def approve_courier(market: Market, who: str) -> Scene:
    applied = (await market.call(new_courier(), await market.register())).courier
    request = courier_service_pb2.ApproveCourierRequest(courier_id=applied.courier_id, reason="looks fine")
    return Scene(market.admin, (request,))


@COURIERS.add("GetCourier", AUTHENTICATED)
async def get_courier(market: Market, who: str) -> Scene:
    person = await newcomer(market, who)
    await market.call(new_courier(), person)
    return Scene(person, (courier_service_pb2.GetCourierRequest(courier_id="me"),))


@COURIERS.add("ListCouriers", ADMIN)
async def list_couriers(market: Market, who: str) -> Scene:
    request = courier_service_pb2.ListCouriersRequest(
        page_size=5, order_by="create_time", states=[courier_pb2.COURIER_STATE_ACTIVE]
    )
    return Scene(market.admin, (request,))


@COURIERS.add("RejectCourier", ADMIN)
async def reject_courier(market: Market, who: str) -> Scene:
    applied = (await market.call(new_courier(), await market.register())).courier
    request = courier_service_pb2.RejectCourierRequest(courier_id=applied.courier_id, reason="no papers")
    return Scene(market.admin, (request,))


@COURIERS.add("SuspendCourier", ADMIN)
async def suspend_courier(market: Market, who: str) -> Scene:
    rider = await market.ride()
    request = courier_service_pb2.SuspendCourierRequest(courier_id=rider.courier_id, reason="complaints")
    return Scene(market.admin, (request,))


@COURIERS.add("ReinstateCourier", ADMIN)
async def reinstate_courier(market: Market, who: str) -> Scene:
    rider = await market.ride()
    suspend = courier_service_pb2.SuspendCourierRequest(courier_id=rider.courier_id, reason="complaints")
    await market.call(suspend, market.admin)
    request = courier_service_pb2.ReinstateCourierRequest(courier_id=rider.courier_id, reason="all clear")
    return Scene(market.admin, (request,))


@COURIERS.add("CloseCourier", AUTHENTICATED)
async def close_courier(market: Market, who: str) -> Scene:
    person = await newcomer(market, who)
    applied = (await market.call(new_courier(), person)).courier
    request = courier_service_pb2.CloseCourierRequest(courier_id=applied.courier_id, reason="moving away")
    return Scene(person, (request,))


@COURIERS.add("StartShift", COURIER)
async def start_shift(market: Market, who: str) -> Scene:
    rider = await market.ride(on_shift=False)
    return Scene(rider.person, (courier_service_pb2.StartShiftRequest(request_id=new_key()),))


@COURIERS.add("EndShift", COURIER)
async def end_shift(market: Market, who: str) -> Scene:
    rider = await market.ride()
    return Scene(rider.person, (courier_service_pb2.EndShiftRequest(request_id=new_key()),))


@HEALTHS.add("Check", PUBLIC)
@HEALTHS.add("Watch", PUBLIC, take=1)
async def health(market: Market, who: str) -> Scene:
    return Scene(None, (health_pb2.HealthCheckRequest(service="marketplace.order.v1.OrderService"),))


@HEALTHS.add("List", PUBLIC)
async def health_list(market: Market, who: str) -> Scene:
    return Scene(None, (health_pb2.HealthCheckRequest(),))


@REFLECTIONS[0].add("ServerReflectionInfo", PUBLIC)
@REFLECTIONS[1].add("ServerReflectionInfo", PUBLIC)
async def reflection(market: Market, who: str) -> Scene:
    return Scene(None, (reflection_pb2.ServerReflectionRequest(list_services=""),))


@CHANNELS.add("GetTopChannels", ADMIN)
async def top_channels(market: Market, who: str) -> Scene:
    return Scene(market.admin, (channelz_pb2.GetTopChannelsRequest(),))


@CHANNELS.add("GetServers", ADMIN)
async def servers(market: Market, who: str) -> Scene:
    return Scene(market.admin, (channelz_pb2.GetServersRequest(),))


@CHANNELS.add("GetServer", ADMIN)
async def server(market: Market, who: str) -> Scene:
    return Scene(market.admin, (channelz_pb2.GetServerRequest(server_id=await _server_id(market)),))


@CHANNELS.add("GetServerSockets", ADMIN)
async def server_sockets(market: Market, who: str) -> Scene:
    return Scene(market.admin, (channelz_pb2.GetServerSocketsRequest(server_id=await _server_id(market)),))


@CHANNELS.add("GetSocket", ADMIN)
async def socket(market: Market, who: str) -> Scene:
    # Servers of earlier tests in this process may still be known, without a socket.
    answer = await market.send(f"/{CHANNELZ}/GetServers", channelz_pb2.GetServersRequest(), by=market.admin)
    for known in channelz_pb2.GetServersResponse.FromString(answer.answers[0]).server:
        request = channelz_pb2.GetServerSocketsRequest(server_id=known.ref.server_id)
        answer = await market.send(f"/{CHANNELZ}/GetServerSockets", request, by=market.admin)
        for found in channelz_pb2.GetServerSocketsResponse.FromString(answer.answers[0]).socket_ref:
            return Scene(market.admin, (channelz_pb2.GetSocketRequest(socket_id=found.socket_id),))
    raise AssertionError("no server has a socket, though we are connected to one")


@CHANNELS.add("GetChannel", ADMIN)
async def channel(market: Market, who: str) -> Scene:
    found = (await _channels(market))[0]
    return Scene(market.admin, (channelz_pb2.GetChannelRequest(channel_id=found.ref.channel_id),))


@CHANNELS.add("GetSubchannel", ADMIN)
async def subchannel(market: Market, who: str) -> Scene:
    found = [ref for one in await _channels(market) for ref in one.subchannel_ref]
    return Scene(market.admin, (channelz_pb2.GetSubchannelRequest(subchannel_id=found[0].subchannel_id),))


async def _server_id(market: Market) -> int:
    answer = await market.send(f"/{CHANNELZ}/GetServers", channelz_pb2.GetServersRequest(), by=market.admin)
    return int(channelz_pb2.GetServersResponse.FromString(answer.answers[0]).server[-1].ref.server_id)


async def _channels(market: Market) -> list[channelz_pb2.Channel]:
    answer = await market.send(f"/{CHANNELZ}/GetTopChannels", channelz_pb2.GetTopChannelsRequest(), by=market.admin)
    return list(channelz_pb2.GetTopChannelsResponse.FromString(answer.answers[0]).channel)
