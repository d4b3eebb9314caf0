"""Pages and pictures that the gateway hands out, and everything beside them that it does not."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from marketplace.media.v1 import media_pb2, media_service_pb2, media_service_pb2_grpc

from tests.worlds import pictures
from tests.worlds.gateway import RunningGateway
from tests.worlds.pages import LARGE, NAME, PICTURE, SCRIPT, SECRET
from tests.worlds.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEDIA = f"/media/{NAME}.webp"


def ask(
    gateway: RunningGateway, path: str, method: str = "GET", **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """One request with its path exactly as it is given; `_` in a header's name is `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        connection.putrequest(method, "/", skip_accept_encoding=True)
        # http.client would refuse or escape some of what an attacker sends.
        connection._buffer[0] = f"{method} {path} HTTP/1.1".encode()  # type: ignore[attr-defined]
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def reason(headers: Mapping[str, str], body: bytes) -> str:
    """The reason of an error in JSON."""
    assert headers["content-type"] == "application/json"
    document: dict[str, Any] = json.loads(body)
    return str(document["details"][0]["reason"])


@pytest.mark.parametrize(
    ("path", "content_type", "content"),
    [
        ("/", "text/html; charset=utf-8", b"<h1>front</h1>"),
        ("/?next=/shop.js", "text/html; charset=utf-8", b"<h1>front</h1>"),
        ("/shop.js", "text/javascript; charset=utf-8", SCRIPT),
        ("/a%20b.txt", "text/plain; charset=utf-8", b"blank"),
        ("/fish/", "text/html; charset=utf-8", b"<h1>fish</h1>"),
        ("/empty.css", "text/css; charset=utf-8", b""),
        ("/bare/readme", "application/octet-stream", b"no ending"),
        ("/large.bin", "application/octet-stream", LARGE),
    ],
)
async def test_pages_come_with_their_type_and_with_headers_for_browsers(
    gateway: RunningGateway, path: str, content_type: str, content: bytes
) -> None:
    status, headers, body = ask(gateway, path)
    assert (status, headers["content-type"], body) == (200, content_type, content)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-cache"
    head_status, head, nothing = ask(gateway, path, "HEAD")
    assert (head_status, head["content-length"], nothing) == (200, str(len(content)), b"")
    assert head.get("etag") == headers.get("etag")


async def test_a_folder_is_its_index_behind_a_slash(gateway: RunningGateway) -> None:
    status, headers, body = ask(gateway, "/fish?a=1")
    assert (status, headers["location"], body) == (308, "/fish/?a=1", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/missing.html",
        "/fish/missing.html",
        "/bare",
        "/bare/",
        "/shop.js/",
        "/.env",
        "/.git/config",
        "/fish/.hidden/x.txt",
        "/%2eenv",
        "/.%65nv",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/fish/..%2f..%2fsecret.txt",
        "/fish/....//secret.txt",
        "/fish/%252e%252e/secret.txt",
        "/..\\secret.txt",
        "/fish\\..\\..\\secret.txt",
        "//secret.txt",
        "/shop.js%00.txt",
        "/.env%00.js",
        "/%c0%ae%c0%ae/secret.txt",
        "/~/secret.txt",
        f"/media/private/{NAME}.webp",
    ],
)
async def test_what_is_hidden_or_outside_is_missing_like_any_other_page(gateway: RunningGateway, path: str) -> None:
    for method in ("GET", "HEAD"):
        status, headers, body = ask(gateway, path, method)
        # A path that no server should take is refused before anybody asks what it means.
        assert status in (400, 404)
        assert SECRET not in body
        if method == "GET":
            assert reason(headers, body) == {404: "NOT_FOUND", 400: "MALFORMED_REQUEST"}[status]


async def test_pages_are_read_and_never_written(gateway: RunningGateway) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/shop.js", MEDIA):
            status, headers, body = ask(gateway, path, method, content_length="0")
            assert (status, headers["allow"]) == (405, "GET, HEAD")
            assert reason(headers, body) == "METHOD_UNKNOWN"


async def test_a_page_that_did_not_change_is_not_sent_again(gateway: RunningGateway, pages: Path) -> None:
    _, first, _ = ask(gateway, "/shop.js")
    for known in (first["etag"], f'"other", {first["etag"]}', first["etag"].removeprefix("W/"), "*"):
        status, headers, body = ask(gateway, "/shop.js", if_none_match=known)
        assert (status, headers["etag"], body) == (304, first["etag"], b"")
        assert "content-type" not in headers
    page = pages / "changing.html"
    page.write_bytes(b"one")
    _, before, _ = ask(gateway, "/changing.html")
    page.write_bytes(b"another")
    status, after, body = ask(gateway, "/changing.html", if_none_match=before["etag"])
    assert (status, body) == (200, b"another")
    assert after["etag"] != before["etag"]


async def test_text_is_compressed_for_who_takes_it_and_keeps_its_etag(gateway: RunningGateway) -> None:
    status, headers, body = ask(gateway, "/shop.js", accept_encoding="gzip")
    assert (status, headers["content-encoding"], headers["vary"].lower()) == (200, "gzip", "accept-encoding")
    assert gzip.decompress(body) == SCRIPT
    assert len(body) < len(SCRIPT) / 10
    assert headers["etag"] == ask(gateway, "/shop.js")[1]["etag"]
    for path in (MEDIA, "/large.bin"):
        assert "content-encoding" not in ask(gateway, path, accept_encoding="gzip")[1]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-9", 5, 9),
        ("bytes=100-", 100, None),
        ("bytes=0-", 0, None),
        ("bytes=-7", -7, None),
        ("bytes=-99999999", 0, None),
        ("bytes=10-99999999", 10, None),
        ("bytes=3-18446744073709551615", 3, None),
    ],
)
async def test_ranges_are_what_they_say(gateway: RunningGateway, asked: str, first: int, last: int | None) -> None:
    for path, content in ((MEDIA, PICTURE), ("/large.bin", LARGE)):
        begin = first if first >= 0 else len(content) + first
        end = len(content) - 1 if last is None else last
        status, headers, body = ask(gateway, path, range=asked)
        assert (status, headers["content-range"]) == (206, f"bytes {begin}-{end}/{len(content)}")
        assert body == content[begin : end + 1]
        assert headers["content-length"] == str(len(body))


async def test_a_range_that_is_none_is_the_whole_file_and_one_behind_its_end_is_refused(
    gateway: RunningGateway,
) -> None:
    for asked in ("bytes=9-3", "bytes=1-2,4-5", "bytes=-", "bytes=a-b", "lines=1-2", ""):
        status, headers, body = ask(gateway, MEDIA, range=asked)
        assert (status, body) == (200, PICTURE)
        assert headers["accept-ranges"] == "bytes"
    for path, content in ((MEDIA, PICTURE), ("/shop.js", SCRIPT)):
        for asked in (f"bytes={len(content)}-", f"bytes={len(content) + 1}-", "bytes=9999999999-", "bytes=-0"):
            status, headers, body = ask(gateway, path, range=asked)
            assert (status, headers["content-range"]) == (416, f"bytes */{len(content)}")
            assert reason(headers, body) == "VALIDATION_FAILED"


async def test_a_range_of_another_version_is_the_whole_file(gateway: RunningGateway) -> None:
    assert ask(gateway, MEDIA, range="bytes=0-3", if_range=f'"{NAME}"')[0] == 206
    for path, known in ((MEDIA, '"other"'), ("/shop.js", ask(gateway, "/shop.js")[1]["etag"])):
        assert ask(gateway, path, range="bytes=0-3", if_range=known)[0] == 200


async def test_public_pictures_may_be_kept_for_ever(gateway: RunningGateway) -> None:
    status, headers, body = ask(gateway, f"{MEDIA}?size=2")
    assert (status, headers["content-type"], body) == (200, "image/webp", PICTURE)
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["etag"] == f'"{NAME}"'
    status, headers, body = ask(gateway, MEDIA, if_none_match=f'"{NAME}"')
    assert (status, headers["cache-control"], body) == (304, "public, max-age=31536000, immutable", b"")


@pytest.mark.parametrize(
    "path",
    [
        f"/media/{'00' * 32}.webp",
        "/media/",
        "/media",
        "/media/check.webp",
        f"/media/{'ef' * 32}",
        f"/media/{'ef' * 32}.part",
        f"/media/{'AB' * 32}.webp",
        "/media/private/0190-a/full.webp",
        f"/media/private/{'cd' * 32}.webp",
        f"/media/.incoming/{'ef' * 16}.part",
        f"/media/private%2f{'cd' * 32}.webp",
        f"/media/%70rivate/{'cd' * 32}.webp",
        f"/media/private\\{'cd' * 32}.webp",
        f"/media/{NAME}.webp/../private/{'cd' * 32}.webp",
        f"/media/./private/{'cd' * 32}.webp",
        f"/media//private/{'cd' * 32}.webp",
        f"/media/{NAME}.webp%00",
        f"/media/{NAME}.webp/",
        f"/MEDIA/{NAME}.webp",
    ],
)
async def test_nothing_but_public_pictures_comes_from_their_folder(gateway: RunningGateway, path: str) -> None:
    for headers in ({}, {"range": "bytes=0-9"}):
        status, answered, body = ask(gateway, path, **headers)
        assert status in (400, 404)
        assert SECRET[:9] not in body
        assert "immutable" not in answered.get("cache-control", "")
        assert reason(answered, body) == {404: "NOT_FOUND", 400: "MALFORMED_REQUEST"}[status]


async def test_the_address_of_a_picture_is_good_as_it_is_given(
    gateway: RunningGateway, workers: tuple[Worker, Worker]
) -> None:
    person = await workers[0].register()
    stub: Any = media_service_pb2_grpc.MediaServiceStub(workers[0].channel)
    for purpose, is_public in ((media_pb2.MEDIA_PURPOSE_PRODUCT, True), (media_pb2.MEDIA_PURPOSE_PROOF, False)):
        request = media_service_pb2.UploadImageInlineRequest(purpose=purpose, image=pictures.unlike(41))
        made = (await stub.UploadImageInline(request, metadata=person.metadata)).media
        for rendition in made.renditions:
            if not is_public:
                assert not rendition.url
                continue
            status, headers, body = await gateway.fetch(rendition.url)
            assert (status, headers["content-type"], len(body)) == (200, "image/webp", rendition.size)
            assert body[:4] + body[8:12] == b"RIFFWEBP"
