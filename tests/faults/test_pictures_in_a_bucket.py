"""A real server whose pictures lie in a real bucket: they come back as they went, and an outage is only an outage."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.media.stores.choose import choose_store
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from marketplace.media.v1 import media_pb2, media_service_pb2, media_service_pb2_grpc

from tests.worlds.buckets import BUCKET, KEY, KEY_ID, Weed, weed
from tests.worlds.gateway import require_envoy
from tests.worlds.pictures import unlike
from tests.worlds.served import Served
from tests.worlds.stores import names
from tests.worlds.things import PASSWORD, new_key

pytestmark = pytest.mark.faults
__all__ = ["weed"]

Purpose: TypeAlias = media_pb2.MediaPurpose.ValueType
FOLDER = "shop/pictures"


@pytest.fixture(scope="module")
def server(weed: Weed) -> Iterator[Served]:
    """One worker with the bucket, and a gateway."""
    require_envoy()
    settings = {
        "MARKETD_MEDIA_BUCKET_URL": f"s3://{BUCKET}/{FOLDER}",
        "MARKETD_MEDIA_BUCKET_ENDPOINT": weed.endpoint,
        "MARKETD_MEDIA_BUCKET_KEY_ID": KEY_ID,
        "MARKETD_MEDIA_BUCKET_KEY": KEY,
        "MARKETD_MEDIA_BUCKET_PUBLIC_URL": f"{weed.public_url}{FOLDER}",
    }
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        Path(folder).chmod(0o755)
        server = Served(Path(folder), workers=1, settings=settings, gateway=True)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            server.look()
            server.forget()


class Uploader:
    """Somebody with an account, and the two services that it calls."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._auth = auth_service_pb2_grpc.AuthServiceStub(channel)
        self._media: Any = media_service_pb2_grpc.MediaServiceStub(channel)
        self._metadata: tuple[tuple[str, str], ...] = ()

    async def register(self) -> None:
        """A new account."""
        request = auth_service_pb2.RegisterRequest(
            email=f"{new_key()}@example.com", password=PASSWORD, full_name="Ada Lovelace"
        )
        answer = await self._auth.Register(request)
        self._metadata = (("authorization", f"Bearer {answer.tokens.access_token}"),)

    async def upload(
        self, content: bytes, purpose: media_pb2.MediaPurpose.ValueType = media_pb2.MEDIA_PURPOSE_PRODUCT
    ) -> Any:
        """UploadImage."""

        async def messages() -> AsyncIterator[media_service_pb2.UploadImageRequest]:
            info = media_service_pb2.UploadImageInfo(
                purpose=purpose, size=len(content), sha256=hashlib.sha256(content).hexdigest()
            )
            yield media_service_pb2.UploadImageRequest(info=info)
            for begin in range(0, len(content), 1_000):
                yield media_service_pb2.UploadImageRequest(chunk=content[begin : begin + 1_000])

        return (await self._media.UploadImage(messages(), metadata=self._metadata, timeout=60)).media

    async def download(self, media_id: str, **part: Any) -> bytes:
        """DownloadMedia."""
        request = media_service_pb2.DownloadMediaRequest(media_id=media_id, **part)
        call = self._media.DownloadMedia(request, metadata=self._metadata, timeout=60)
        return b"".join([message.data async for message in call])

    async def listed(self) -> list[str]:
        """ListMedia."""
        answer = await self._media.ListMedia(media_service_pb2.ListMediaRequest(), metadata=self._metadata, timeout=60)
        return [media.media_id for media in answer.media]


def retry_seconds(error: grpc.aio.AioRpcError) -> float:
    """The delay of the status's RetryInfo."""
    (raw,) = (value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin")
    for detail in status_pb2.Status.FromString(raw).details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return 0.0


def fetch(url: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body; redirects are not followed."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=30)
    connection.request("GET", target.path)
    answer = connection.getresponse()
    with contextlib.closing(connection):
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


async def test_the_gateway_leads_to_public_pictures_in_the_bucket(weed: Weed, server: Served) -> None:
    gateway = f"http://127.0.0.1:{server.gateway_port}"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        ada = Uploader(channel)
        await ada.register()
        media = await ada.upload(unlike(4, 300, 200))
        signature = await ada.upload(unlike(5), media_pb2.MEDIA_PURPOSE_SIGNATURE)
        whole = await ada.download(media.media_id)
    weed.publish(FOLDER)
    (full,) = (each for each in media.renditions if each.name == "full")
    status, headers, _ = await asyncio.to_thread(fetch, gateway + full.url)
    assert (status, headers["cache-control"]) == (302, "public, max-age=300")
    assert headers["location"] == f"{weed.public_url}{FOLDER}/{full.url.rpartition('/')[2]}"
    status, headers, body = await asyncio.to_thread(fetch, headers["location"])
    assert (status, headers["content-type"], body) == (200, "image/webp", whole)
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    # What is not for everybody: the bucket refuses it, and the gateway leads nobody there.
    private = f"private/{signature.media_id}/full.webp"
    assert (await asyncio.to_thread(fetch, f"{weed.public_url}{FOLDER}/{private}"))[0] == 403
    status, headers, body = await asyncio.to_thread(fetch, f"{gateway}/media/{private}")
    assert (status, json.loads(body)["details"][0]["reason"]) == (404, "NOT_FOUND")
    assert "location" not in headers


async def test_pictures_go_to_the_bucket_and_come_back(weed: Weed, server: Served) -> None:
    store = choose_store(weed.settings(FOLDER))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        ada = Uploader(channel)
        await ada.register()
        media = await ada.upload(unlike(1, 700, 500))
        signature = await ada.upload(unlike(2), media_pb2.MEDIA_PURPOSE_SIGNATURE)
        whole = await ada.download(media.media_id)
        assert whole[:4] + whole[8:12] == b"RIFFWEBP"
        (full,) = (each for each in media.renditions if each.name == "full")
        assert full.url.endswith(f"/{hashlib.sha256(whole).hexdigest()}.webp")
        assert await ada.download(media.media_id, offset=100, length=50) == whole[100:150]
        kept = await names(store)
        assert {each.url.rpartition("/")[2] for each in media.renditions} <= kept
        assert {each for each in kept if each.startswith(f"private/{signature.media_id}/")} == {
            f"private/{signature.media_id}/{size}.webp" for size in ("thumb", "card", "full")
        }

        weed.kill()
        for attempt in (ada.upload(unlike(3)), ada.download(media.media_id)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await attempt
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert retry_seconds(refused.value) > 0
        assert sorted(await ada.listed()) == sorted([media.media_id, signature.media_id])
        await asyncio.to_thread(weed.start)
        again = await ada.upload(unlike(3))
        assert await ada.download(again.media_id)
        assert await ada.download(media.media_id) == whole
