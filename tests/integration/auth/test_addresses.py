"""Address books on real Postgres: one default whatever comes at once, changes, pages, and whose they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from google.type.latlng_pb2 import LatLng
from marketd.auth.addresses.model import MAX_ADDRESSES
from marketd.auth.errors import AddressBookFull, PrimaryNeeded
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import EtagMismatch, NotFound, PageTokenInvalid, ValidationFailed
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import address_pb2
from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.type.v1.address_pb2 import Address

if TYPE_CHECKING:
    from tests.worlds.auth import House

CONTEXT = cast("Any", None)
HOME = Address(
    recipient="Jo Doe",
    phone="+4930123456",
    lines=["Kastanienallee 9", "Hinterhaus"],
    city="Berlin",
    postal_code="10435",
    region_code="DE",
    point=LatLng(latitude=52.54, longitude=13.41),
    entrance="B",
    floor="3",
    notes="ring twice",
)


class Book:
    """The address book of one account."""

    def __init__(self, house: House, user_id: UUID) -> None:
        self.user_id = user_id
        self._servicer = house.users()

    async def call(self, name: str, request: Any, once: OnceKey | None = None) -> Any:
        """Call the method as the owner, in a task of its own as transport does."""

        async def served() -> Any:
            calls.enter(Call(caller=Caller(self.user_id, None, frozenset({Role.BUYER})), once=once))
            return await getattr(self._servicer, name)(request, CONTEXT)

        return await asyncio.create_task(served())

    async def create(self, label: str = "", *, primary: bool = False) -> address_pb2.SavedAddress:
        """Save HOME."""
        new = address_pb2.SavedAddress(postal_address=HOME, label=label, primary=primary)
        request = pb.CreateAddressRequest(address=new)
        return cast("address_pb2.SavedAddress", (await self.call("CreateAddress", request)).address)

    async def labels(self) -> list[tuple[str, bool]]:
        """What is in it, the newest first."""
        listed = (await self.call("ListAddresses", pb.ListAddressesRequest(page_size=100))).addresses
        return [(saved.label, saved.primary) for saved in listed]


@pytest.fixture
async def book(house: House) -> Book:
    """A fresh account's book."""
    return Book(house, (await house.register()).account.user_id)


async def test_an_address_comes_back_as_it_was_saved(book: Book) -> None:
    saved = await book.create("Home")
    assert saved.postal_address == HOME
    assert (saved.label, saved.primary) == ("Home", True)
    again = (await book.call("GetAddress", pb.GetAddressRequest(address_id=saved.address_id))).address
    assert again == saved


async def test_exactly_one_address_is_the_default(book: Book) -> None:
    first, second = await book.create("first"), await book.create("second")
    assert await book.labels() == [("second", False), ("first", True)]
    await book.create("third", primary=True)
    assert await book.labels() == [("third", True), ("second", False), ("first", False)]
    chosen = (await book.call("SetDefaultAddress", pb.SetDefaultAddressRequest(address_id=first.address_id))).address
    assert chosen.primary
    assert chosen.etag != first.etag
    assert await book.labels() == [("third", False), ("second", False), ("first", True)]
    await book.call("DeleteAddress", pb.DeleteAddressRequest(address_id=first.address_id))
    assert await book.labels() == [("third", True), ("second", False)]
    await book.call("DeleteAddress", pb.DeleteAddressRequest(address_id=second.address_id))
    assert await book.labels() == [("third", True)]


async def test_one_default_is_left_by_twenty_changes_at_once(book: Book) -> None:
    saved = [await book.create(str(number)) for number in range(5)]
    await asyncio.gather(
        *(book.create(f"new {number}", primary=True) for number in range(5)),
        *(book.call("SetDefaultAddress", pb.SetDefaultAddressRequest(address_id=each.address_id)) for each in saved),
        *(book.call("DeleteAddress", pb.DeleteAddressRequest(address_id=each.address_id)) for each in saved[:3]),
        return_exceptions=True,
    )
    assert sum(primary for _, primary in await book.labels()) == 1


async def test_the_first_of_many_saved_at_once_is_the_default_and_the_only_one(book: Book) -> None:
    await asyncio.gather(*(book.create(str(number)) for number in range(10)))
    labels = await book.labels()
    assert (len(labels), sum(primary for _, primary in labels)) == (10, 1)


async def test_an_update_changes_what_the_mask_names(book: Book) -> None:
    saved = await book.create("Home")
    moved = Address(lines=["Torstr. 1"], city="Berlin")

    async def update(*paths: str, **fields: Any) -> address_pb2.SavedAddress:
        request = pb.UpdateAddressRequest(address=address_pb2.SavedAddress(address_id=saved.address_id, **fields))
        request.update_mask.paths.extend(paths)
        return cast("address_pb2.SavedAddress", (await book.call("UpdateAddress", request)).address)

    named = await update("label", label="Work", postal_address=moved)
    assert (named.label, named.postal_address, named.primary) == ("Work", HOME, True)
    unnamed = await update("label", etag=named.etag)
    assert not unnamed.HasField("label")
    with pytest.raises(EtagMismatch) as stale:
        await update("postal_address", etag=named.etag, postal_address=moved)
    assert stale.value.metadata["etag"] == unnamed.etag
    assert (await update(postal_address=moved)).postal_address == moved  # without a mask: what has a value


async def test_an_update_reaches_into_the_address(book: Book) -> None:
    saved = await book.create("Home")
    request = pb.UpdateAddressRequest(address=saved)
    request.address.postal_address.Clear()
    request.address.postal_address.city = "Potsdam"
    request.update_mask.paths.extend(["postal_address.city", "postal_address.notes", "postal_address.point"])
    after = (await book.call("UpdateAddress", request)).address
    wanted = Address()
    wanted.CopyFrom(HOME)
    wanted.city = "Potsdam"
    wanted.ClearField("notes")
    wanted.ClearField("point")
    assert after.postal_address == wanted
    assert (after.label, after.primary) == ("Home", True)


async def test_what_is_given_back_as_it_was_read_changes_nothing(book: Book) -> None:
    saved = await book.create("Home")
    for paths in ([], ["*"], ["label", "postal_address.city"]):
        request = pb.UpdateAddressRequest(address=saved)
        request.update_mask.paths.extend(paths)
        assert (await book.call("UpdateAddress", request)).address == saved


async def test_an_update_without_a_mask_clears_what_is_there_and_empty(book: Book) -> None:
    saved = await book.create("Home")
    request = pb.UpdateAddressRequest(address=address_pb2.SavedAddress(address_id=saved.address_id, label=""))
    cleared = (await book.call("UpdateAddress", request)).address
    assert not cleared.HasField("label")
    assert cleared.etag != saved.etag


async def test_an_update_makes_an_address_the_default_and_never_leaves_none(book: Book) -> None:
    first, second = await book.create("first"), await book.create("second")
    request = pb.UpdateAddressRequest(address=address_pb2.SavedAddress(address_id=second.address_id, primary=True))
    assert (await book.call("UpdateAddress", request)).address.primary
    assert await book.labels() == [("second", True), ("first", False)]
    request.address.primary = False
    request.update_mask.paths.append("primary")
    with pytest.raises(PrimaryNeeded):
        await book.call("UpdateAddress", request)
    request.address.address_id = first.address_id
    assert not (await book.call("UpdateAddress", request)).address.primary


async def test_moves_are_repeated_and_judged_by_their_etags(book: Book) -> None:
    first, second = await book.create("first"), await book.create("second")
    stale = pb.SetDefaultAddressRequest(address_id=second.address_id, etag="v77")
    with pytest.raises(EtagMismatch):
        await book.call("SetDefaultAddress", stale)
    choose = pb.SetDefaultAddressRequest(address_id=second.address_id, etag=second.etag)
    chosen = await book.call("SetDefaultAddress", choose)
    # The answer was lost, say: the etag is that from before, and nothing happens.
    assert await book.call("SetDefaultAddress", choose) == chosen
    with pytest.raises(EtagMismatch):
        await book.call("DeleteAddress", pb.DeleteAddressRequest(address_id=first.address_id, etag=first.etag))
    await book.call("DeleteAddress", pb.DeleteAddressRequest(address_id=first.address_id))
    with pytest.raises(NotFound):
        await book.call("DeleteAddress", pb.DeleteAddressRequest(address_id=first.address_id))
    await book.call("DeleteAddress", pb.DeleteAddressRequest(address_id=first.address_id, allow_missing=True))


async def test_the_addresses_of_others_are_not_there(house: House, book: Book) -> None:
    saved = await book.create()
    other = Book(house, (await house.register()).account.user_id)
    update = pb.UpdateAddressRequest()
    update.address.label = "mine"
    messages: list[list[str]] = []
    for foreign in (saved.address_id, str(new_id())):
        update.address.address_id = foreign
        requests = {
            "GetAddress": pb.GetAddressRequest(address_id=foreign),
            "UpdateAddress": update,
            "DeleteAddress": pb.DeleteAddressRequest(address_id=foreign),
            "SetDefaultAddress": pb.SetDefaultAddressRequest(address_id=foreign),
        }
        found = []
        for name, request in requests.items():
            with pytest.raises(NotFound) as refused:
                await other.call(name, request)
            found.append(refused.value.message.replace(foreign, "X"))
        messages.append(found)
    assert messages[0] == messages[1]
    assert await other.labels() == []
    assert len(await book.labels()) == 1


async def test_a_book_has_pages_and_their_tokens_are_its_owners(house: House, book: Book) -> None:
    for number in range(5):
        await book.create(str(number))
    seen: list[str] = []
    token = ""
    while True:
        page = await book.call("ListAddresses", pb.ListAddressesRequest(page_size=2, page_token=token))
        seen += [saved.label for saved in page.addresses]
        if not page.next_page_token:
            break
        token = page.next_page_token
    assert seen == ["4", "3", "2", "1", "0"]
    upwards = pb.ListAddressesRequest(page_size=3, order_by="create_time")
    first_page = await book.call("ListAddresses", upwards)
    assert [saved.label for saved in first_page.addresses] == ["0", "1", "2"]
    upwards.page_token = first_page.next_page_token
    assert [saved.label for saved in (await book.call("ListAddresses", upwards)).addresses] == ["3", "4"]
    for wrong in ("label", "create_time up"):
        with pytest.raises(ValidationFailed, match="order_by"):
            await book.call("ListAddresses", pb.ListAddressesRequest(order_by=wrong))
    other = Book(house, (await house.register()).account.user_id)
    with pytest.raises(PageTokenInvalid):
        await other.call("ListAddresses", pb.ListAddressesRequest(page_token=token))


async def test_a_full_book_takes_no_more(house: House, book: Book) -> None:
    await house.tx.run(
        "test.fill",
        lambda uow: uow.connection.execute(
            'INSERT INTO addresses (address_id, user_id, label, postal_address, "primary", create_time, update_time)'
            " SELECT gen_random_uuid(), $1, '', '{\"city\": \"Berlin\"}', false, now(), now()"
            " FROM generate_series(2, $2)",
            book.user_id,
            MAX_ADDRESSES,
        ),
    )
    await book.create()
    with pytest.raises(AddressBookFull):
        await book.create()


async def test_a_repeat_with_the_same_request_id_saves_once(book: Book) -> None:
    once = OnceKey(str(book.user_id), "CreateAddress", str(new_id()), b"same")
    answers = [
        await book.call(
            "CreateAddress", pb.CreateAddressRequest(address=address_pb2.SavedAddress(postal_address=HOME)), once=once
        )
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert len(await book.labels()) == 1
