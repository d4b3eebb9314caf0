"""Lists: how large a page is, where it ends, what its token is bound to, and what they can be sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import MAX_PAGE_BYTES, Page, Pager, parse_order
from marketd.kernel.call.refusals import PageTokenInvalid, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as catalog
from marketplace.order.v1 import order_service_pb2 as order

ME, YOU = (Caller(new_id(), None, frozenset()) for _ in range(2))


class Reads:
    """Stands for a transactor: what is read here needs no database."""

    async def read(self, work: Any) -> Any:
        return await work(None)


def pager(secret: bytes = b"s" * 32) -> Pager:
    return Pager(cast("Transactor", Reads()), secret)


async def page(
    request: Any, rows: Sequence[int], *, caller: Caller | None = ME, bytes_each: int = 1, of: Pager | None = None
) -> Page[StringValue]:
    """A page of these numbers, each shown as a text that is so long."""

    async def fetch(_unit: object, after: int | None, limit: int) -> list[int]:
        return [row for row in rows if after is None or row > after][:limit]

    def show(row: int) -> StringValue:
        return StringValue(value=f"{row} ".ljust(bytes_each, "."))

    return await (of or pager()).list(request, caller, fetch, lambda row: row, show)


def numbers(found: Page[StringValue]) -> list[int]:
    return [int(item.value.split()[0]) for item in found.items]


async def test_a_page_has_twenty_five_when_nothing_is_asked_and_a_hundred_at_most() -> None:
    for asked, given in ((0, 25), (1, 1), (99, 99), (100, 100), (101, 100), (1_000_000, 100)):
        found = await page(catalog.ListBrandsRequest(page_size=asked), range(200))
        assert numbers(found) == list(range(given))
        assert found.next_page_token
    whole = await page(catalog.ListBrandsRequest(), range(25))
    assert (numbers(whole), whole.next_page_token) == (list(range(25)), "")


async def test_a_page_ends_before_it_is_too_large_and_has_one_item_however_large_that_is() -> None:
    half = MAX_PAGE_BYTES // 2 + 10
    for bytes_each in (half, MAX_PAGE_BYTES + 10):
        seen: list[int] = []
        token = ""
        while token or not seen:
            found = await page(catalog.ListBrandsRequest(page_token=token), range(3), bytes_each=bytes_each)
            assert len(found.items) == 1
            seen += numbers(found)
            token = found.next_page_token
        assert seen == [0, 1, 2]
    assert numbers(await page(catalog.ListBrandsRequest(), range(3), bytes_each=half // 2)) == [0, 1, 2]


async def test_a_token_goes_on_with_its_own_list_in_pages_of_any_size() -> None:
    asked = catalog.ListBrandsRequest(name_prefix="a", page_size=2)
    token = (await page(asked, range(9))).next_page_token
    assert numbers(await page(catalog.ListBrandsRequest(name_prefix="a", page_token=token), range(9))) == [*range(2, 9)]
    # Whoever has shown the beginning in another way goes on with a token of the pager's.
    made = pager().token(asked, ME, 4)
    assert numbers(await page(catalog.ListBrandsRequest(name_prefix="a", page_token=made), range(9))) == [*range(5, 9)]
    everybodys = (await page(asked, range(9), caller=None)).next_page_token
    again = catalog.ListBrandsRequest(name_prefix="a", page_size=1, page_token=everybodys)
    assert numbers(await page(again, range(9), caller=None)) == [2]

    for request, caller, secret in (
        (catalog.ListBrandsRequest(page_token=token), ME, b"s" * 32),
        (catalog.ListBrandsRequest(name_prefix="b", page_token=token), ME, b"s" * 32),
        (catalog.ListBrandsRequest(name_prefix="a", page_token=token), YOU, b"s" * 32),
        (catalog.ListBrandsRequest(name_prefix="a", page_token=token), None, b"s" * 32),
        (catalog.ListBrandsRequest(name_prefix="a", page_token=token), ME, b"t" * 32),
        (catalog.ListBrandsRequest(name_prefix="a", page_token=token + "A"), ME, b"s" * 32),
    ):
        with pytest.raises(PageTokenInvalid):
            await page(request, range(9), caller=caller, of=pager(secret))


async def test_a_token_of_another_method_is_refused_though_both_were_asked_for_nothing() -> None:
    token = (await page(catalog.ListBrandsRequest(page_size=1), range(3))).next_page_token
    with pytest.raises(PageTokenInvalid):
        await page(order.ListOrdersRequest(page_token=token), range(3))


@pytest.mark.parametrize(
    "cursor",
    ["text", 7, UUID(int=7), datetime(2026, 11, 30, 1, 2, 3, 456789, tzinfo=UTC), (None, "a", UUID(int=7), 5)],
    ids=lambda cursor: type(cursor).__name__,
)
async def test_a_cursor_comes_back_as_it_was(cursor: Any) -> None:
    given: list[object] = []

    async def fetch(_unit: object, after: Any, limit: int) -> list[int]:
        given.append(after)
        return [1, 2]

    request = catalog.ListBrandsRequest(page_size=1)
    first = await pager().list(request, ME, fetch, lambda _: cursor, lambda _: StringValue())
    request.page_token = first.next_page_token
    await pager().list(request, ME, fetch, lambda _: cursor, lambda _: StringValue())
    assert given == [None, cursor]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("time", True)),
        ("  ", ("time", True)),
        ("title", ("title", False)),
        ("title asc", ("title", False)),
        (" title  desc ", ("title", True)),
        ("time", ("time", False)),
    ],
)
def test_a_list_is_sorted_by_one_name_either_way(text: str, found: tuple[str, bool]) -> None:
    assert parse_order(text, ["title", "time"], "time desc") == found


@pytest.mark.parametrize(
    "text", ["price", "title down", "title desc desc", "title, time", "desc", "Title", "title DESC"]
)
def test_what_a_list_cannot_be_sorted_by_is_refused_with_what_it_can(text: str) -> None:
    with pytest.raises(ValidationFailed, match="title, time") as refused:
        parse_order(text, ["title", "time"], "time desc")
    assert [violation.field for violation in refused.value.fields] == ["order_by"]
