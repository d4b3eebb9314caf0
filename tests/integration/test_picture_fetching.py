"""Getting a picture's bytes from a web server that may mean harm."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from marketd.catalog.pictures.addresses import Network
from marketd.catalog.pictures.fetch import Fetcher
from marketd.catalog.pictures.values import FetchFailed, FetchFailure

from tests.worlds.web import Names, Web, answer, serving

MAX_BYTES = 100_000
LOCAL: tuple[Network, ...] = (ip_network("127.0.0.0/8"),)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving() as web:
        yield web


def _fetcher(
    *, allowed: tuple[Network, ...] = LOCAL, seconds: float = 15.0, names: Mapping[str, list[str]] | None = None
) -> Fetcher:
    return Fetcher(allowed=allowed, max_bytes=MAX_BYTES, seconds=seconds, resolver=Names(names or {}))


async def _failure(fetcher: Fetcher, url: str, into: Path) -> FetchFailure:
    with pytest.raises(FetchFailed) as failed:
        await fetcher.fetch(url, into)
    return failed.value.failure


async def test_the_bytes_arrive_as_they_are(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy would connect to whatever it is told to, and nobody would judge where that is.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    body = bytes(range(256)) * 300
    web.pages["/a.jpg"] = answer("200 OK", body, {"content-type": "text/plain"})
    await _fetcher().fetch(web.url("/a.jpg"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == body


async def test_redirects_are_followed_three_times_and_no_more(web: Web, tmp_path: Path) -> None:
    for step in range(5):
        web.pages[f"/{step}"] = answer("302 Found", headers={"location": f"/{step + 1}"})
    web.pages["/3"] = answer("200 OK", b"picture")
    await _fetcher().fetch(web.url("/0"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"picture"
    web.pages["/3"] = answer("301 Moved", headers={"location": web.url("/4")})
    web.asked.clear()
    assert await _failure(_fetcher(), web.url("/0"), tmp_path / "b") is FetchFailure.TOO_MANY_REDIRECTS
    assert web.asked == ["/0", "/1", "/2", "/3"]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/secret",
        "http://localhost:{port}/secret",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:{port}/secret",
        "http://[::ffff:127.0.0.1]:{port}/secret",
        "http://[64:ff9b::7f00:1]:{port}/secret",
        "http://10.0.0.1/secret",
        "http://2130706433:{port}/secret",
        "http://0x7f000001:{port}/secret",
        "http://127.1:{port}/secret",
        "http://inside.example:{port}/secret",
        "file:///etc/passwd",
        "ftp://127.0.0.1/secret",
        "gopher://127.0.0.1:{port}/secret",
        "http://user:word@127.0.0.1:{port}/secret",
        "http:///secret",
    ],
)
async def test_no_address_leads_inside(web: Web, tmp_path: Path, target: str) -> None:
    web.pages["/secret"] = answer("200 OK", b"secret")
    inside = target.format(port=web.port)
    names = {"inside.example": ["127.0.0.1"], "localhost": ["127.0.0.1"]}
    found = await _failure(_fetcher(allowed=(), names=names), inside, tmp_path / "a")
    assert found in (FetchFailure.ADDRESS_REFUSED, FetchFailure.HOST_NOT_FOUND)
    assert web.asked == []
    assert not (tmp_path / "a").exists()


async def test_a_redirect_is_judged_by_where_it_leads(web: Web, tmp_path: Path) -> None:
    web.pages["/secret"] = answer("200 OK", b"secret")
    only = _fetcher(allowed=(ip_network("127.0.0.1/32"),), names={"inside.example": ["127.0.0.2"]})
    for inside in (
        f"http://127.0.0.2:{web.port}/secret",
        f"http://inside.example:{web.port}/secret",
        "http://[::1]/",
        f"http://user:word@127.0.0.1:{web.port}/secret",
        f"http://user@127.0.0.1:{web.port}/secret",
    ):
        web.pages["/go"] = answer("307 Temporary Redirect", headers={"location": inside})
        assert await _failure(only, web.url("/go"), tmp_path / "a") is FetchFailure.ADDRESS_REFUSED
    web.pages["/go"] = answer("302 Found", headers={"location": "file:///etc/passwd"})
    assert await _failure(only, web.url("/go"), tmp_path / "a") is FetchFailure.ADDRESS_REFUSED
    assert set(web.asked) == {"/go"}


async def test_a_name_is_judged_by_what_it_leads_to_at_the_connect(web: Web, tmp_path: Path) -> None:
    web.pages["/go"] = answer("302 Found", headers={"location": "/secret"})
    web.pages["/secret"] = answer("200 OK", b"secret")
    # The name says the allowed address first, and another once the redirect is followed.
    names = {"rebinding.example": ["127.0.0.1", "127.0.0.2"]}
    only = _fetcher(allowed=(ip_network("127.0.0.1/32"),), names=names)
    failure = await _failure(only, web.url("/go", "rebinding.example"), tmp_path / "a")
    assert failure is FetchFailure.ADDRESS_REFUSED
    assert web.asked == ["/go"]


async def test_what_is_too_large_is_not_read_to_its_end(web: Web, tmp_path: Path) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    web.pages["/said"] = answer("200 OK", b"", {"content-length": str(MAX_BYTES + 1)})
    web.pages["/endless"] = endless
    assert await _failure(_fetcher(), web.url("/said"), tmp_path / "a") is FetchFailure.TOO_LARGE
    assert await _failure(_fetcher(), web.url("/endless"), tmp_path / "b") is FetchFailure.TOO_LARGE
    assert (tmp_path / "b").stat().st_size <= MAX_BYTES


async def test_crumbs_keep_nobody_from_being_served(web: Web, tmp_path: Path) -> None:
    threads: set[int] = set()

    class Crumbs(Names):
        async def resolve(self, *arguments: Any, **more: Any) -> Any:
            threads.add(threading.get_ident())
            return await super().resolve(*arguments, **more)

    async def crumbling(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5_000)
        await asyncio.Event().wait()

    async def in_pieces(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write((b"40\r\n" + b"x" * 0x40 + b"\r\n") * 1_200 + b"0\r\n\r\n")
        await writer.drain()

    web.pages["/crumbs"], web.pages["/pieces"] = crumbling, in_pieces
    fetcher = Fetcher(allowed=LOCAL, max_bytes=MAX_BYTES, resolver=Crumbs({"crumbs.example": ["127.0.0.1"]}))
    found = await _failure(fetcher, web.url("/crumbs", "crumbs.example"), tmp_path / "a")
    assert found is FetchFailure.REFUSED_BY_HOST
    await fetcher.fetch(web.url("/pieces"), tmp_path / "b")
    assert (tmp_path / "b").stat().st_size == 1_200 * 0x40
    # Even so each read is many steps at once, which belong into another thread than the one that serves.
    assert threads
    assert threading.get_ident() not in threads
    fetcher.close()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", ".example", "xn--", "xn--a"])
async def test_names_that_nobody_can_have_are_refused_for_good(tmp_path: Path, host: str) -> None:
    fetcher = Fetcher(max_bytes=MAX_BYTES)  # with the system's look-up, which such names make stumble
    found = await _failure(fetcher, f"http://{host}/a.jpg", tmp_path / "a")
    assert found is FetchFailure.ADDRESS_REFUSED
    assert not found.may_pass
    fetcher.close()


async def test_a_fetch_that_nobody_waits_for_ends(web: Web, tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless(writer: asyncio.StreamWriter) -> None:
        begun.set()
        try:
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    web.pages["/endless"] = endless
    fetcher = _fetcher()
    fetching = asyncio.create_task(fetcher.fetch(web.url("/endless"), tmp_path / "a"))
    await begun.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    async with asyncio.timeout(5):
        await ended.wait()
    fetcher.close()


async def test_who_is_too_slow_is_left(web: Web, tmp_path: Path) -> None:
    async def silent(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    web.pages["/silent"], web.pages["/dripping"] = silent, dripping
    for path in ("/silent", "/dripping"):
        assert await _failure(_fetcher(seconds=0.1), web.url(path), tmp_path / "a") is FetchFailure.TIMED_OUT


async def test_a_compressed_answer_is_not_unpacked(web: Web, tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    assert len(bomb) < MAX_BYTES
    web.pages["/bomb"] = answer("200 OK", bomb, {"content-encoding": "gzip"})
    assert await _failure(_fetcher(), web.url("/bomb"), tmp_path / "a") is FetchFailure.TYPE_UNSUPPORTED
    # One that does not say so is what it is: bytes that are no picture.
    web.pages["/bomb"] = answer("200 OK", bomb)
    await _fetcher().fetch(web.url("/bomb"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == bomb


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        ("404 Not Found", FetchFailure.REFUSED_BY_HOST),
        ("403 Forbidden", FetchFailure.REFUSED_BY_HOST),
        ("206 Partial Content", FetchFailure.REFUSED_BY_HOST),
        ("302 Found", FetchFailure.REFUSED_BY_HOST),
        ("429 Too Many Requests", FetchFailure.HOST_FAILED),
        ("500 Internal Server Error", FetchFailure.HOST_FAILED),
        ("503 Service Unavailable", FetchFailure.HOST_FAILED),
    ],
)
async def test_a_status_says_whether_another_try_may_help(
    web: Web, tmp_path: Path, status: str, failure: FetchFailure
) -> None:
    web.pages["/a"] = answer(status)
    found = await _failure(_fetcher(), web.url("/a"), tmp_path / "a")
    assert found is failure
    assert found.may_pass == (failure is FetchFailure.HOST_FAILED)


async def test_what_is_not_there_and_what_breaks_off_may_come_back(web: Web, tmp_path: Path) -> None:
    async def short(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
        await writer.drain()

    async def babbling(writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()

    async with serving() as gone:
        nobody = gone.url("/a")
    web.pages["/short"], web.pages["/babbling"] = short, babbling
    for url in (nobody, web.url("/short"), web.url("/babbling")):
        assert await _failure(_fetcher(), url, tmp_path / "a") is FetchFailure.UNREACHABLE
    missing = await _failure(_fetcher(), "http://nowhere.example/a", tmp_path / "a")
    assert missing is FetchFailure.HOST_NOT_FOUND
    assert missing.may_pass
