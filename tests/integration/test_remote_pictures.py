"""Pictures that are given by their address: fetched by the work beside the server, attached, and told of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from marketd.catalog.imports.values import ImportOptions
from marketd.catalog.pictures import repository
from marketd.catalog.pictures.fetch import Fetcher
from marketd.catalog.pictures.fetching import AT_A_HOST, AT_ONCE, OF_A_SHOP, PAUSES, PictureFetching
from marketd.catalog.pictures.repository import MOST_LANES
from marketd.catalog.pictures.values import ClaimedImage, FetchFailed, FetchFailure
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2, remote_image_pb2
from marketplace.media.v1 import media_service_pb2
from marketplace.type.v1 import image_pb2

from tests.integration.test_catalog_products import CONTEXT, picture
from tests.integration.test_product_pictures import Gallery
from tests.worlds import pictures
from tests.worlds.catalog_files import Shop as Importing
from tests.worlds.catalog_files import file, outcome
from tests.worlds.media import Uploads
from tests.worlds.web import Names, Web, answer, certified, serving

State = remote_image_pb2.RemoteImageState
Failure = remote_image_pb2.RemoteImageFailure
WAITING = remote_image_pb2.REMOTE_IMAGE_STATE_WAITING
FETCHED = remote_image_pb2.REMOTE_IMAGE_STATE_FETCHED
FAILED = remote_image_pb2.REMOTE_IMAGE_STATE_FAILED
ADMIN = Caller(new_id(), None, frozenset({Role.ADMIN}))
AGAIN = ImportOptions(publish=True, update_existing=True)


@dataclass
class Fetching:
    """A shop, a web server whose name is shop.example, and the work that fetches from it."""

    shop: Gallery
    web: Web
    work: PictureFetching
    folder: Path

    def url(self, path: str) -> str:
        """An https address of the web server."""
        return self.web.url(path, "shop.example")

    async def pass_by(self, time: timedelta) -> None:
        """Let what waits have waited so much longer."""
        await self.shop.tx.run(
            "test.pass",
            lambda uow: uow.connection.execute(
                "UPDATE remote_images SET next_try_time = next_try_time - $1::interval", time
            ),
        )

    async def fetch(self) -> None:
        """Fetch all that is due."""
        async with asyncio.TaskGroup() as group:
            while await self.work.begin_due(group, self.folder) or self.work.is_busy:
                if self.work.is_busy:
                    await self.work.ended.wait()
                    self.work.ended.clear()

    async def told(self, caller: Caller | None = None, **asked: Any) -> list[remote_image_pb2.RemoteImage]:
        """What the owner, or somebody else, is told of them."""
        self.shop.enter(caller)
        answered = await self.shop.catalog.ListRemoteImages(pb.ListRemoteImagesRequest(**asked), CONTEXT)
        return list(answered.remote_images)


@pytest.fixture
async def fetching(tx: Transactor, tmp_path: Path) -> AsyncIterator[Fetching]:
    server, client = certified(tmp_path, "shop.example")
    async with Uploads(tx, tmp_path / "media") as uploads, serving(server) as web:
        shop = await Gallery(tx, uploads).open()
        fetcher = Fetcher(
            allowed=(ip_network("127.0.0.1/32"),),
            max_bytes=1_000_000,
            resolver=Names({"shop.example": ["127.0.0.1"], "inside.example": ["10.0.0.1"]}),
            tls=client,
        )
        yield Fetching(shop, web, PictureFetching(tx, fetcher, uploads.taker, shop.on_change), tmp_path)


async def test_a_link_becomes_an_upload_of_its_shop(fetching: Fetching) -> None:
    shop = fetching.shop
    fetching.web.pages["/cup%20one.png"] = answer("200 OK", pictures.unlike(1), {"content-type": "text/html"})
    made = await shop.make(images=[picture(fetching.url("/cup%20one.png"), "a cup")])
    (waiting,) = await fetching.told()
    assert (waiting.state, waiting.tries, waiting.url) == (WAITING, 0, fetching.url("/cup%20one.png"))
    shop.changes.clear()
    await fetching.fetch()
    (told,) = await fetching.told()
    (image,) = made.images
    assert (told.state, told.tries, told.image_id, told.product_id) == (FETCHED, 1, image.image_id, made.product_id)
    assert not (told.HasField("failure"))
    assert not (told.HasField("next_try_time"))
    after = await shop.get(made, shop.owner)
    (shown,) = after.images
    assert (shown.image_id, shown.image.alt_text, shown.position) == (image.image_id, "a cup", 1)
    assert [one.name for one in shown.image.renditions] == ["thumb", "card", "full"]
    assert (shown.image.width, shown.image.height) == (64, 48)
    assert shown.image.url.startswith("/media/")
    assert after.etag != made.etag
    assert shop.changes, "kept answers are dropped"
    assert await shop.holds() == [UUID(shown.image.media_id)]
    (media,) = (await shop.uploads.call(media_service_pb2.ListMediaRequest(), shop.owner)).media
    assert (media.media_id, media.file_name) == (shown.image.media_id, "cup one.png")
    # Adding the address once more finds the same picture; removing it lets the media go.
    shop.enter()
    assert (await shop.add(made, picture(fetching.url("/cup%20one.png")))).product.images == after.images
    await shop.remove(made, image.image_id)
    assert await shop.holds() == []
    assert await fetching.told() == []
    assert await shop.uploads.built.violations() == []


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        ("/gone.jpg", "REFUSED_BY_HOST"),
        ("/page.jpg", "TYPE_UNSUPPORTED"),
        ("/cut.jpg", "CORRUPT"),
        ("/bomb.png", "TOO_LARGE"),
        ("/away.jpg", "ADDRESS_REFUSED"),
    ],
)
async def test_what_is_no_picture_stays_a_link_and_says_why(fetching: Fetching, path: str, failure: str) -> None:
    fetching.web.pages |= {
        "/page.jpg": answer("200 OK", b"<html><script>alert(1)</script></html>", {"content-type": "image/jpeg"}),
        "/cut.jpg": answer("200 OK", pictures.unlike(1)[:200]),
        "/bomb.png": answer("200 OK", pictures.png_bomb(9_000, 9_000)),
        "/away.jpg": answer("302 Found", headers={"location": "https://inside.example/secret.jpg"}),
    }
    made = await fetching.shop.make(images=[picture(fetching.url(path))])
    await fetching.fetch()
    (told,) = await fetching.told(states=[FAILED])
    assert (Failure.Name(told.failure), told.tries) == (f"REMOTE_IMAGE_FAILURE_{failure}", 1)
    assert not told.HasField("next_try_time")
    (shown,) = (await fetching.shop.get(made, fetching.shop.owner)).images
    assert (shown.image.url, shown.image.media_id) == (fetching.url(path), "")
    # A seller who has put it right adds it once more.
    fetching.web.pages[path] = answer("200 OK", pictures.unlike(2))
    fetching.shop.enter()
    await fetching.shop.add(made, picture(fetching.url(path)))
    await fetching.fetch()
    assert [one.state for one in await fetching.told()] == [FETCHED]


async def test_what_may_pass_is_tried_again_and_given_up_in_the_end(fetching: Fetching) -> None:
    fetching.web.pages["/a.jpg"] = answer("503 Service Unavailable")
    await fetching.shop.make(images=[picture(fetching.url("/a.jpg"))])
    # For most of nine hours: a host that is down at night is up in the morning.
    pauses = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360)]
    for tries, pause in enumerate(pauses, 1):
        await fetching.fetch()
        (told,) = await fetching.told()
        assert (told.state, told.tries) == (WAITING, tries)
        assert told.failure == remote_image_pb2.REMOTE_IMAGE_FAILURE_HOST_FAILED
        assert told.HasField("next_try_time")
        await fetching.pass_by(pause - timedelta(seconds=5))
        await fetching.fetch()
        assert len(fetching.web.asked) == tries, "not before its time"
        await fetching.pass_by(timedelta(seconds=10))
    await fetching.fetch()
    (told,) = await fetching.told()
    assert (told.state, told.tries, told.HasField("next_try_time")) == (FAILED, len(pauses) + 1, False)


async def test_a_server_without_room_says_so_and_one_without_its_store_comes_again(fetching: Fetching) -> None:
    shop, taker = fetching.shop, fetching.shop.uploads.taker
    fetching.web.pages["/a.png"] = answer("200 OK", pictures.unlike(1))
    made = await shop.make(images=[picture(fetching.url("/a.png"))])
    kept = shop.uploads.folder.rename(fetching.folder / "elsewhere")
    shop.uploads.folder.touch()  # nothing can be written into a file
    await fetching.fetch()
    (told,) = await fetching.told()
    assert (told.state, told.tries, told.HasField("failure")) == (WAITING, 0, False), "it is no fault of the picture's"
    shop.uploads.folder.unlink()
    kept.rename(shop.uploads.folder)
    quota, taker.quota = taker.quota, 10
    await fetching.pass_by(timedelta(seconds=31))
    await fetching.fetch()
    (told,) = await fetching.told()
    assert (told.state, told.failure) == (FAILED, remote_image_pb2.REMOTE_IMAGE_FAILURE_QUOTA_EXCEEDED)
    taker.quota = quota
    shop.enter()
    await shop.add(made, picture(fetching.url("/a.png")))
    await fetching.fetch()
    assert [one.state for one in await fetching.told()] == [FETCHED]
    assert await shop.uploads.built.violations() == []


async def test_what_breaks_in_a_way_that_nobody_thought_of_is_given_up_too(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaking(_fetcher: Fetcher, url: str, into: Path) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(Fetcher, "fetch", breaking)
    await fetching.shop.make(images=[picture(fetching.url("/a.jpg"))])
    for _ in range(len(PAUSES) + 1):
        (told,) = await fetching.told()
        assert told.state == WAITING
        await fetching.fetch()
        await fetching.pass_by(timedelta(minutes=2))
    (told,) = await fetching.told()
    assert (told.state, told.failure) == (FAILED, remote_image_pb2.REMOTE_IMAGE_FAILURE_UNREACHABLE)


async def test_a_fetch_comes_to_nothing_when_the_picture_is_gone_meanwhile(fetching: Fetching) -> None:
    shop, asked, go = fetching.shop, asyncio.Event(), asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go.wait()
        await answer("200 OK", pictures.unlike(1))(writer)

    fetching.web.pages["/slow.png"] = slow
    removed, deleted = [await shop.make(title, images=[picture(fetching.url("/slow.png"))]) for title in ("A", "B")]
    work = asyncio.create_task(fetching.fetch())
    await asked.wait()
    shop.enter()
    # The same address again is another picture, which waits for its own turn.
    await shop.remove(removed, removed.images[0].image_id)
    again = (await shop.add(removed, picture(fetching.url("/slow.png")))).image
    await shop.delete(deleted)
    go.set()
    await work
    assert [one.image_id for one in await fetching.told()] == [again.image_id]
    assert len(await shop.holds()) == 1
    assert await shop.uploads.built.violations() == []


async def test_two_addresses_of_one_picture_are_two_pictures_of_one_media(fetching: Fetching) -> None:
    shop = fetching.shop
    for path in ("/a.png", "/b.png"):
        fetching.web.pages[path] = answer("200 OK", pictures.unlike(1))
    made = await shop.make(images=[picture(fetching.url(path)) for path in ("/a.png", "/b.png")])
    await fetching.fetch()
    one, two = (await shop.get(made, shop.owner)).images
    assert one.image.media_id == two.image.media_id
    shop.enter()
    await shop.remove(made, one.image_id)
    assert await shop.holds() == [UUID(two.image.media_id)]
    await shop.remove(made, two.image_id)
    assert await shop.holds() == []


async def test_an_import_keeps_what_was_fetched_and_lets_go_of_what_it_leaves_out(fetching: Fetching) -> None:
    shop = Importing(fetching.shop.tx)
    shop.seller_id, shop.owner = fetching.shop.seller_id, fetching.shop.owner
    for number in range(3):
        fetching.web.pages[f"/{number}.png"] = answer("200 OK", pictures.unlike(number))
    rows = [
        {"Image Src": fetching.url("/0.png"), "Image Alt Text": "zero"},
        {"Image Src": fetching.url("/1.png")},
    ]
    data = file({"Handle": "cup", "Title": "Cup", "Variant Price": "4.50", **rows[0]}, {"Handle": "cup", **rows[1]})
    assert outcome(await shop.bring(data, AGAIN)) == (1, 0, 0, 0)
    before = await shop.product("cup")
    await fetching.fetch()
    fetched = await shop.product("cup")
    assert all(image.image.media_id for image in fetched.images)
    # An upload of the shop's own is in no file, and no file takes it away.
    own = await fetching.shop.upload(9)
    fetching.shop.enter()
    added = (await fetching.shop.add(fetched, _upload(own), position=1)).product
    fetching.web.asked.clear()
    exported = (await shop.export()).data
    assert fetching.url("/0.png").encode() in exported
    assert b"/media/" not in exported
    for same in (exported, data):
        assert outcome(await shop.bring(same, AGAIN)) == (0, 0, 1, 0)
        assert await shop.product("cup") == added
    # Another order, text and picture: what stays is not fetched anew.
    changed = file(
        {"Handle": "cup", "Title": "Cup", "Variant Price": "4.50", **rows[1]},
        {"Handle": "cup", "Image Src": fetching.url("/2.png")},
    )
    assert outcome(await shop.bring(changed, AGAIN)) == (0, 1, 0, 0)
    after = await shop.product("cup")
    kept = [image.image_id for image in fetched.images]
    assert after.images[0].image_id == kept[1]
    assert after.images[0].image.media_id == fetched.images[1].image.media_id
    assert after.images[2].image.media_id == own.media_id
    assert [image.position for image in after.images] == [1, 2, 3]
    await fetching.fetch()
    assert fetching.web.asked == ["/2.png"]
    assert {image.image_id for image in before.images} == set(kept)
    last = await shop.product("cup")
    assert {UUID(image.image.media_id) for image in last.images} == set(await fetching.shop.holds())
    assert len(last.images) == 3
    assert await fetching.shop.uploads.built.violations() == []


def _upload(media: Any) -> product_pb2.ProductImage:
    return product_pb2.ProductImage(image=image_pb2.Image(media_id=media.media_id))


async def test_shops_and_hosts_take_turns(fetching: Fetching) -> None:
    large, small = fetching.shop, await Gallery(fetching.shop.tx, fetching.shop.uploads).open()
    busy = [picture(f"https://busy.example/{number}.jpg") for number in range(30)]
    await large.make(images=[*busy, picture("https://other.example/1.jpg")])
    await small.make(images=[picture("https://third.example/1.jpg"), picture("https://busy.example/x.jpg")])
    start = (UUID(int=0), "")

    async def claim(limit: int, **room: int) -> Counter[tuple[UUID, str]]:
        async def work(uow: UnitOfWork) -> Counter[tuple[UUID, str]]:
            end = uow.now + timedelta(minutes=1)
            hosts = {f"{host}.example": left for host, left in room.items()}
            found, last = await repository.claim(
                uow.connection,
                uow.now,
                end,
                start,
                limit=limit,
                of_host=AT_A_HOST,
                room=hosts,
                of_shop=OF_A_SHOP,
                room_of_shops={},
            )
            assert last is None
            return Counter((image.seller_id, image.host) for image in found)

        return await large.tx.run("test.claim", work)

    first = await claim(AT_ONCE)
    assert first == {
        (large.seller_id, "busy.example"): 1,
        (large.seller_id, "other.example"): 1,
        (small.seller_id, "third.example"): 1,
        (small.seller_id, "busy.example"): 1,
    }
    assert await claim(AT_ONCE, busy=0) == {}, "no host is asked for more than its share at once"
    assert await claim(AT_ONCE, busy=1) == {(large.seller_id, "busy.example"): 1}
    assert (await claim(1)).total() == 1


async def test_what_was_claimed_by_a_process_that_died_is_due_again_after_its_lease(fetching: Fetching) -> None:
    fetching.web.pages["/a.png"] = answer("200 OK", pictures.unlike(1))
    await fetching.shop.make(images=[picture(fetching.url("/a.png"))])

    async def claim(uow: UnitOfWork) -> ClaimedImage:
        end = uow.now + timedelta(minutes=1)
        (found,), _ = await repository.claim(
            uow.connection,
            uow.now,
            end,
            (UUID(int=0), ""),
            limit=9,
            of_host=2,
            room={},
            of_shop=9,
            room_of_shops={},
        )
        return found

    tx = fetching.shop.tx
    first = await tx.run("test.claim", claim)
    await fetching.fetch()
    assert [(one.state, one.tries) for one in await fetching.told()] == [(WAITING, 1)]
    await fetching.pass_by(timedelta(minutes=1, seconds=1))
    await tx.run("test.claim", claim)
    # The first has not died but was slow, and speaks for nobody any more.
    refused = FetchFailure.REFUSED_BY_HOST
    await tx.run("t", lambda uow: repository.set_failed(uow.connection, first, refused, None))
    await tx.run("t", lambda uow: repository.postpone(uow.connection, first, uow.now))
    assert [(one.state, one.tries, one.failure) for one in await fetching.told()] == [(WAITING, 2, 0)]
    await fetching.pass_by(timedelta(minutes=1, seconds=1))
    await fetching.fetch()
    assert [(one.state, one.tries) for one in await fetching.told()] == [(FETCHED, 3)]


async def test_only_a_shops_owner_and_admins_are_told(fetching: Fetching) -> None:
    other = await Gallery(fetching.shop.tx, fetching.shop.uploads).open()
    mine = await fetching.shop.make(images=[picture(f"https://x.example/{number}.jpg") for number in range(3)])
    await other.make(images=[picture("https://x.example/1.jpg")])
    ids = [image.image_id for image in mine.images]
    assert [one.image_id for one in await fetching.told()] == ids
    assert [one.image_id for one in await fetching.told(order_by="create_time desc")] == ids[::-1]
    assert await fetching.told(seller_ids=[str(other.seller_id)]) == []
    assert await fetching.told(Caller(new_id(), None, frozenset({Role.SELLER}))) == []
    assert len(await fetching.told(ADMIN)) == 4
    assert len(await fetching.told(ADMIN, seller_ids=[str(other.seller_id)])) == 1
    assert len(await fetching.told(ADMIN, states=[WAITING], product_ids=[mine.product_id])) == 3
    assert await fetching.told(states=[FETCHED, FAILED]) == []
    request = pb.ListRemoteImagesRequest(page_size=2)
    fetching.shop.enter()
    page = await fetching.shop.catalog.ListRemoteImages(request, CONTEXT)
    request.page_token = page.next_page_token
    rest = await fetching.shop.catalog.ListRemoteImages(request, CONTEXT)
    assert [one.image_id for one in (*page.remote_images, *rest.remote_images)] == ids
    assert not rest.next_page_token


async def test_the_work_beside_the_server_fetches_until_it_is_cancelled(fetching: Fetching) -> None:
    fetching.web.pages["/a.png"] = answer("200 OK", pictures.unlike(1))
    await fetching.shop.make(images=[picture(fetching.url("/a.png")), picture(fetching.url("/gone.png"))])
    running = asyncio.create_task(fetching.work.run())
    try:
        async with asyncio.timeout(30):
            while {one.state for one in await fetching.told()} != {FETCHED, FAILED}:
                await fetching.work.ended.wait()
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_shop_with_a_thousand_hosts_leaves_places_to_others(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = fetching.shop, await Gallery(fetching.shop.tx, fetching.shop.uploads).open()
    if large.seller_id > small.seller_id:
        large, small = small, large  # its lanes come first
    hosts = [picture(f"https://{number}.example/1.jpg") for number in range(2 * MOST_LANES)]
    await large.make(images=hosts)
    await small.make(images=[picture("https://honest.example/1.jpg")])
    asked, go = [], asyncio.Event()

    async def slow(_fetcher: Fetcher, url: str, into: Path) -> None:
        asked.append(url)
        await go.wait()
        raise FetchFailed(FetchFailure.REFUSED_BY_HOST)

    monkeypatch.setattr(Fetcher, "fetch", slow)
    async with asyncio.TaskGroup() as group:
        while await fetching.work.begin_due(group, fetching.folder):
            pass
        while len(asked) < OF_A_SHOP + 1:  # noqa: ASYNC110 - what is awaited is in many tasks
            await asyncio.sleep(0.005)
        assert "https://honest.example/1.jpg" in asked
        assert len(asked) == OF_A_SHOP + 1
        go.set()
