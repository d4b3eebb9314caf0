"""MediaService: from messages to use cases and back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast
from uuid import UUID

from google.api.httpbody_pb2 import HttpBody
from marketplace.media.v1 import media_pb2, media_service_pb2_grpc
from marketplace.media.v1 import media_service_pb2 as pb

from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.pages import Pager, parse_order
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.media import convert, read, repository
from marketd.media.delete import delete_media
from marketd.media.errors import UploadOutOfOrder
from marketd.media.keep import keep
from marketd.media.ports import LateHolder, PrivateReaders
from marketd.media.spool import Spool
from marketd.media.store import StoredFileMissing
from marketd.media.taking import MediaTaker
from marketd.media.values import Media

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_INLINE_BYTES: Final = 3 * 1024 * 1024
_Asked: TypeAlias = "pb.UploadImageInfo | pb.UploadImageInlineRequest"
_R = TypeVar("_R", pb.UploadImageResponse, pb.UploadImageInlineResponse)
_UPLOAD: Final = "/marketplace.media.v1.MediaService/UploadImage"


class MediaServicer(media_service_pb2_grpc.MediaServiceServicer):
    """marketplace.media.v1.MediaService. `readers` say who else may read what is not public, `late_holders` what is
    shown without being held.
    """

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        taker: MediaTaker,
        readers: Sequence[PrivateReaders],
        late_holders: Sequence[LateHolder],
        media_url: str,
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._taker = taker
        self._readers = readers
        self._late_holders = late_holders
        self._media_url = media_url
        self._quota = taker.quota

    async def UploadImage(
        self, request_iterator: AsyncIterator[pb.UploadImageRequest], context: Context
    ) -> pb.UploadImageResponse:
        call = calls.current()
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("payload") != "info":
            raise UploadOutOfOrder
        info = first.info
        call.once = _once_key(call, info)
        if (answer := await self._tx.stored_answer()) is not None:
            return cast("pb.UploadImageResponse", answer)
        with Spool(self._taker.max_bytes, info.size, info.sha256) as spool:
            async for message in request_iterator:
                if message.WhichOneof("payload") != "chunk":
                    raise UploadOutOfOrder
                spool.take(message.chunk)
            return await self._keep(call, info, spool, pb.UploadImageResponse)

    async def UploadImageInline(
        self, request: pb.UploadImageInlineRequest, context: Context
    ) -> pb.UploadImageInlineResponse:
        call = calls.current()
        if (answer := await self._tx.stored_answer()) is not None:
            return cast("pb.UploadImageInlineResponse", answer)
        with Spool(MAX_INLINE_BYTES, request.size, request.sha256) as spool:
            # Hashing megabytes takes milliseconds that belong to others.
            await asyncio.to_thread(spool.take, request.image)
            return await self._keep(call, request, spool, pb.UploadImageInlineResponse)

    async def _keep(self, call: Call, asked: _Asked, spool: Spool, response: type[_R]) -> _R:
        """The answer to an upload whose bytes have come. `asked` has purpose and file_name."""
        purpose = convert.PURPOSES.from_wire(asked.purpose)
        prepared = await self._taker.prepare(call.caller.known_user_id, purpose, asked.file_name, spool)

        def render(media: Media) -> _R:
            return response(media=self._show_own(media))

        return await self._tx.answer("media.upload", lambda uow: keep(uow, prepared, self._quota), render)

    async def GetMedia(self, request: pb.GetMediaRequest, context: Context) -> pb.GetMediaResponse:
        caller, media_id = calls.current_caller(), UUID(request.media_id)
        media = await self._tx.read(lambda unit: read.get_media(unit, caller, media_id, self._readers))
        return pb.GetMediaResponse(media=convert.to_media(media, self._media_url, own=read.is_own(caller, media)))

    async def ListMedia(self, request: pb.ListMediaRequest, context: Context) -> pb.ListMediaResponse:
        caller = calls.current_caller()
        purposes = [convert.PURPOSES.from_wire(number) for number in request.purposes]
        _, descending = parse_order(request.order_by, repository.ORDERS, "create_time desc")
        own = read.OwnMedia(caller, purposes, descending=descending)
        page = await self._pager.list(request, caller, own.fetch, repository.cursor_of, self._show_own)
        return pb.ListMediaResponse(
            media=page.items, next_page_token=page.next_page_token, used_size=own.used, max_size=self._quota
        )

    def _show_own(self, media: Media) -> media_pb2.Media:
        return convert.to_media(media, self._media_url, own=True)

    async def DownloadMedia(self, request: pb.DownloadMediaRequest, context: Context) -> AsyncIterator[HttpBody]:
        caller, media_id = calls.current_caller(), UUID(request.media_id)
        media = await self._tx.read(lambda unit: read.get_media(unit, caller, media_id, self._readers))
        length = request.length if request.HasField("length") else None
        part = read.part_of(media, request.rendition or "full", request.offset, length, request.if_none_match)
        call = calls.current()
        if call.by_http:
            call.leading.extend(convert.to_headers(part))
        message = HttpBody(content_type=convert.CONTENT_TYPE) if call.by_http else convert.to_first_message(part)
        if not part.length:
            yield message
            return
        pieces = self._taker.store.read(part.file, part.offset, part.length)
        try:
            async with aclosing(cast("AsyncGenerator[bytes, None]", pieces)):
                async for piece in pieces:
                    message.data = piece
                    yield message
                    message = HttpBody(content_type=convert.CONTENT_TYPE)
        except StoredFileMissing:
            raise NotFound("media", media_id) from None  # it was deleted just now

    async def DeleteMedia(self, request: pb.DeleteMediaRequest, context: Context) -> pb.DeleteMediaResponse:
        caller, media_id = calls.current_caller(), UUID(request.media_id)

        def render(_: None) -> pb.DeleteMediaResponse:
            return pb.DeleteMediaResponse()

        return await self._tx.answer(
            "media.delete",
            lambda uow: delete_media(
                uow,
                caller,
                media_id,
                request.etag,
                allow_missing=request.allow_missing,
                late_holders=self._late_holders,
            ),
            render,
        )


def _once_key(call: Call, info: pb.UploadImageInfo) -> OnceKey | None:
    """The key of a streamed upload; None without a request id. The info names the file by its hash, so it is all."""
    if not info.request_id:
        return None
    said = pb.UploadImageInfo()
    said.CopyFrom(info)
    said.ClearField("request_id")  # it may be written in capitals
    content = hashlib.sha256(said.SerializeToString(deterministic=True)).digest()
    return OnceKey(call.caller.key, _UPLOAD, info.request_id.lower(), content)
