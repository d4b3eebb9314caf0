"""Who uploads pictures, without a socket: the servicer on a database and a folder of the test's own."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from google.protobuf.message import Message
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.db.transactor import Transactor, Work
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.media.rendering.child import answer
from marketd.media.rendering.pool import RenderPool, read_answer
from marketd.media.servicer import MediaServicer
from marketd.media.taking import taker_of
from marketd.media.values import RENDITIONS, Rendered
from marketplace.media.v1 import media_pb2
from marketplace.media.v1 import media_service_pb2 as pb

from tests.worlds.built import Build, Built
from tests.worlds.parts import make_parts, make_settings

CONTEXT: Any = None  # no method here looks at it
PRODUCT: Final = media_pb2.MEDIA_PURPOSE_PRODUCT
PROOF: Final = media_pb2.MEDIA_PURPOSE_PROOF


def somebody(*roles: Role) -> Caller:
    """A caller with an account of their own."""
    return Caller(new_id(), new_id(), frozenset(roles or (Role.BUYER,)))


def messages(data: bytes, *, step: int = 16_384, purpose: Any = PRODUCT, **info: Any) -> list[pb.UploadImageRequest]:
    """An upload in chunks of `step` bytes; `info` goes before what is true of the data."""
    said: dict[str, Any] = {
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "file_name": "cup.png",
    } | info
    first = pb.UploadImageRequest(info=pb.UploadImageInfo(purpose=purpose, **said))
    return [first, *(pb.UploadImageRequest(chunk=data[at : at + step]) for at in range(0, len(data), step))]


class InProcess:
    """Does in a thread what the pool has children do."""

    async def render(self, file: int, owner: Hashable = None) -> Rendered:
        """See RenderPool."""
        return read_answer(*await asyncio.to_thread(answer, file, RENDITIONS))


class Uploads:
    """A process's media, and one caller."""

    def __init__(
        self,
        tx: Transactor,
        folder: Path,
        *,
        children: bool = False,
        instead: Mapping[str, Build] | None = None,
        **settings: Any,
    ) -> None:
        """children: whether pictures are made in children as they should be; they take a while to begin."""
        self.tx = tx
        self.folder = folder
        parts = make_parts(tx, settings=make_settings(media_dir=folder, **settings))
        self.built = Built(parts, "media", instead=instead)
        self.taker = taker_of(parts)
        self.children = self.taker.pool
        if not children:
            self.taker.pool = cast("RenderPool", InProcess())
        self.servicer = self.built.servicer(MediaServicer)
        self.owner = somebody()

    async def __aenter__(self) -> Uploads:
        await self.taker.store.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.children.close()

    def enter(self, caller: Caller | None = None, once: OnceKey | None = None) -> Call:
        """What follows is a call of theirs: the owner's, unless somebody else is named."""
        call = Call(caller=caller or self.owner, once=once, deadline=time.monotonic() + 300)
        calls.enter(call)
        return call

    async def stream(self, upload: Iterable[pb.UploadImageRequest], caller: Caller | None = None) -> media_pb2.Media:
        """Upload with these messages; the media that is answered."""
        self.enter(caller)

        async def requests() -> AsyncIterator[pb.UploadImageRequest]:
            for message in upload:
                yield message

        answered: Any = await self.servicer.UploadImage(requests(), CONTEXT)
        return (pb.UploadImageResponse.FromString(answered) if isinstance(answered, bytes) else answered).media

    async def upload(self, data: bytes, caller: Caller | None = None, **info: Any) -> media_pb2.Media:
        """Upload a file as it should be done."""
        return await self.stream(messages(data, **info), caller)

    async def call(self, request: Message, caller: Caller = ANONYMOUS) -> Any:
        """The answer to another request; of a stream, all its messages."""
        self.enter(caller)
        name = type(request).__name__.removesuffix("Request")
        answer = getattr(self.servicer, name)(request, CONTEXT)
        if hasattr(answer, "__aiter__"):
            return [message async for message in answer]
        return await answer

    async def download(self, media_id: str, caller: Caller = ANONYMOUS, **asked: Any) -> tuple[pb.DownloadInfo, bytes]:
        """What a download tells first, and its bytes."""
        found = await self.call(pb.DownloadMediaRequest(media_id=media_id, **asked), caller)
        info = pb.DownloadInfo()
        assert found[0].extensions[0].Unpack(info)
        assert all(message.content_type == "image/webp" and len(message.data) <= 65536 for message in found)
        return info, b"".join(message.data for message in found)

    # -- what is there

    def files(self) -> set[str]:
        """The files in the store."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}

    async def rows(self, table: str = "media") -> int:
        """How many rows the table has."""
        statement = f"SELECT count(*) FROM {table}"
        return int(await self.tx.read(lambda unit: unit.connection.fetchval(statement)))

    async def later(self, work: Work[Any], by: timedelta = timedelta(0)) -> Any:
        """Run the work when so much time has passed."""

        async def then(uow: UnitOfWork) -> Any:
            uow.now += by
            return await work(uow)

        return await self.tx.run("test.later", then)

    async def clean(self, by: timedelta) -> None:
        """Sweep as it is done when so much time has passed, and do the jobs that come of it."""
        await self.later(self.built.sweep("media.sweep"), by)
        await self.later(self.built.sweep("media.sweep_files"), by)
        # The jobs are due in the future from which the sweep came.
        await self.later(lambda uow: uow.connection.execute("UPDATE jobs SET run_time = $1", uow.now - by))
        await self.built.run_jobs()

    async def settled(self) -> None:
        """Let what waits take its next steps."""
        for _ in range(5):
            await asyncio.sleep(0)


def id_of(media: media_pb2.Media) -> UUID:
    """The id."""
    return UUID(media.media_id)
