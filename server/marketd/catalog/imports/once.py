"""One answer for each request id of an import. An import is many transactions, so a repeat is recognised before the
first of them, and the answer is stored after the last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

from marketd.kernel.call.call import OnceKey
from marketd.kernel.db.transactor import M, Transactor
from marketd.kernel.db.uow import UnitOfWork

T = TypeVar("T")

_METHOD = "/marketplace.catalog.v1.CatalogService/ImportProducts"


def once_key(caller_key: str, request_id: str, options: bytes) -> OnceKey | None:
    """The key of a streamed import; None without a request id.

    `options` is the serialized message: it names the file by its hash, so it stands for the whole request.
    """
    if not request_id:
        return None
    return OnceKey(caller_key, _METHOD, request_id.lower(), hashlib.sha256(options).digest())


async def store_answer(tx: Transactor, result: T, render: Callable[[T], M]) -> M:
    """The answer, stored under the current call's request id; the first one, when a repeat was quicker."""

    async def work(uow: UnitOfWork) -> T:
        return result

    return await tx.answer("catalog.import_answer", work, render)
