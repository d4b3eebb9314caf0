"""Walking through lists page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar


class PagedRequest(Protocol):
    """A request of a list: everything but the token stays the same from page to page."""

    page_token: str

    def CopyFrom(self, other: Any) -> None:  # noqa: N802 - protobuf's name
        """Become equal to another request."""


class PagedResponse(Protocol):
    """An answer of a list."""

    @property
    def next_page_token(self) -> str:
        """The token of the next page; empty on the last."""


_Q = TypeVar("_Q", bound=PagedRequest)
_R = TypeVar("_R", bound=PagedResponse)


async def pages(method: Callable[[_Q], Awaitable[_R]], request: _Q) -> AsyncIterator[_R]:
    """Every page of a list from the request's own token on. The request is not changed."""
    asked = type(request)()
    asked.CopyFrom(request)
    while True:
        page = await method(asked)
        yield page
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token
