"""Calls of a servicer's methods as transport makes them, without a wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.ids import new_id

Request = TypeVar("Request")
Response = TypeVar("Response")


def caller_of(user_id: UUID, *roles: Role) -> Caller:
    """A caller with a session."""
    return Caller(user_id, new_id(), frozenset(roles))


async def call(
    caller: Caller,
    method: Callable[[Request, Any], Awaitable[Response]],
    request: Request,
    once: OnceKey | None = None,
) -> Response:
    """Call the method as this caller, in a task of its own."""

    async def served() -> Response:
        calls.enter(Call(caller=caller, once=once))
        return await method(request, None)  # no method of ours takes anything from the rpc's context

    return await asyncio.create_task(served())
