"""The recipes of what the server tells about itself in the marketplace's own words."""

from __future__ import annotations

from marketplace.server.v1 import server_service_pb2

from tests.e2e.matrix.scenes import PUBLIC, Book, Scene
from tests.worlds.matrix import Market

SERVERS = Book("marketplace.server.v1.ServerService")
BOOKS = (SERVERS,)


@SERVERS.add("GetServerInfo", PUBLIC)
async def server_info(market: Market, who: str) -> Scene:
    return Scene(None, (server_service_pb2.GetServerInfoRequest(),))
