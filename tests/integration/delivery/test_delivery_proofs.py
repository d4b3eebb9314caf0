"""Pictures that prove deliveries: whose they are, who looks at them, and until when."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from marketd.auth.events import AccountDeleted
from marketd.config import Settings
from marketd.delivery import proofs
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.refusals import InUse, Refusal, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.media.delete import sweep_unheld
from marketd.media.model import Purpose
from marketplace.delivery.v1 import delivery_pb2
from marketplace.media.v1 import media_service_pb2

from tests.worlds.calls import caller_of

if TYPE_CHECKING:
    from tests.worlds.delivery import Ready, World

MONTHS = Settings().proof_retention


async def looked_at(world: World, caller: Caller, media_id: UUID) -> bytes:
    """GetMedia, and the bytes that DownloadMedia gives."""
    request = media_service_pb2.GetMediaRequest(media_id=str(media_id))
    media = (await world.call(caller, world.media.GetMedia, request)).media
    assert media.media_id == str(media_id)
    assert [rendition.url for rendition in media.renditions] == ["", "", ""]
    return await downloaded(world, caller, media_id)


async def downloaded(world: World, caller: Caller, media_id: UUID) -> bytes:
    """The largest size of it."""

    async def read(request: media_service_pb2.DownloadMediaRequest, context: None) -> bytes:
        return b"".join([part.data async for part in world.media.DownloadMedia(request, context)])  # type: ignore[arg-type]

    return await world.call(caller, read, media_service_pb2.DownloadMediaRequest(media_id=str(media_id)))


async def refusal(answer: Awaitable[object]) -> tuple[object, ...]:
    """All that a status is made of."""
    with pytest.raises(Refusal) as refused:
        await answer
    no = refused.value
    return no.reason, no.message, dict(no.metadata), no.fields, no.preconditions, no.retry_after_seconds


async def is_hidden(world: World, caller: Caller, media_id: UUID) -> bool:
    """Whether both rpcs say what they say of an id that there is not, but for the id."""
    missing = new_id()
    for ask in (
        lambda each: world.call(caller, world.media.GetMedia, media_service_pb2.GetMediaRequest(media_id=str(each))),
        lambda each: downloaded(world, caller, each),
    ):
        said = repr(await refusal(ask(media_id)))
        assert said.replace(str(media_id), str(missing)) == repr(await refusal(ask(missing)))
    return True


async def proven(world: World, *purposes: Purpose) -> tuple[Ready, Caller, list[UUID]]:
    """A delivery that its courier has completed with these pictures, and who was to bring it before somebody else."""
    ready, courier, _ = await world.picked_up()
    pictures = [await world.photograph(courier, purpose=purpose) for purpose in purposes or (Purpose.PROOF,)]
    await world.complete(courier, ready.delivery_id, await world.code(ready), *pictures)
    return ready, courier, pictures


async def test_a_proof_is_read_by_the_parties_of_its_delivery_and_by_nobody_else(world: World) -> None:
    ready, former, _ = await world.assigned()
    courier, courier_id = await world.courier()
    await world.reassign(ready.delivery_id, courier_id, reason="a flat tyre")
    await world.pick_up(courier, ready.delivery_id)
    proof = await world.photograph(courier, b"the door")
    signature = await world.photograph(courier, b"Ada", Purpose.SIGNATURE)
    other, other_courier, _ = await proven(world)
    strangers = {
        "former courier": former,
        "other courier": other_courier,
        "other buyer": other.buyer,
        "other seller": other.seller,
        "anonymous": ANONYMOUS,
        "service": caller_of(new_id(), Role.SERVICE),
    }
    parties = {"buyer": ready.buyer, "seller": ready.seller}
    for media_id, shown in ((proof, b"fullthe door"), (signature, b"fullAda")):
        for caller in (courier, world.admin):
            assert await looked_at(world, caller, media_id) == shown
        for name, caller in {**strangers, **parties}.items():
            assert await is_hidden(world, caller, media_id), f"{name}, before it proves anything"
    code = await world.code(ready)
    completed = await world.complete(courier, ready.delivery_id, code, proof, signature)
    assert list(completed.proof_media_ids) == [str(proof), str(signature)]
    for media_id, shown in ((proof, b"fullthe door"), (signature, b"fullAda")):
        for caller in (courier, world.admin, *parties.values()):
            assert await looked_at(world, caller, media_id) == shown
        for name, caller in strangers.items():
            assert await is_hidden(world, caller, media_id), name
    assert await world.violations() == []


async def test_a_delivery_is_proven_with_the_couriers_own_pictures_of_it_alone(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    code, own = await world.code(ready), await world.photograph(courier)
    stranger, _ = await world.courier()
    wrong = {
        new_id(): "that you have uploaded",
        await world.photograph(stranger): "that you have uploaded",
        await world.photograph(ready.buyer): "that you have uploaded",
        await world.photograph(
            courier, purpose=Purpose.PRODUCT
        ): "uploaded for PROOF or SIGNATURE, and was for PRODUCT",
    }
    for media_id, why in wrong.items():
        with pytest.raises(ValidationFailed) as refused:
            await world.complete(courier, ready.delivery_id, code, own, media_id)
        (field,) = refused.value.fields
        assert field.field == "media_ids[1]"
        assert why in field.description
    assert (await world.get(courier, ready.delivery_id)).state == delivery_pb2.DELIVERY_STATE_PICKED_UP
    assert await world.value("SELECT count(*) FROM media_holds WHERE holder_id = $1", ready.delivery_id) == 0
    await world.complete(courier, ready.delivery_id, code, own)
    delete = media_service_pb2.DeleteMediaRequest(media_id=str(own))
    with pytest.raises(InUse):
        await world.call(courier, world.media.DeleteMedia, delete)
    assert await world.violations() == []


async def test_the_same_bytes_of_two_couriers_are_two_files(world: World) -> None:
    content = new_id().bytes
    (one, _), (other, _) = await world.courier(), await world.courier()
    first, second = await world.photograph(one, content), await world.photograph(other, content)
    assert first != second
    assert await world.photograph(one, content) == first
    files = await world.value(
        "SELECT array_agg(DISTINCT r->>'file') FROM media m CROSS JOIN jsonb_array_elements(m.renditions) r"
        " WHERE media_id = ANY($1::uuid[])",
        [first, second],
    )
    assert len(files) == 6
    await world.call(one, world.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=str(first)))
    assert await looked_at(world, other, second) == b"full" + content
    assert await is_hidden(world, other, first)


async def test_proofs_go_when_they_have_been_kept_long_enough(world: World) -> None:
    ready, courier, pictures = await proven(world, Purpose.PROOF, Purpose.SIGNATURE)
    later, _, kept = await proven(world)
    await age(world, ready, MONTHS + timedelta(minutes=1))
    await age(world, later, MONTHS - timedelta(minutes=1))
    etag = (await world.get(ready.buyer, ready.delivery_id)).etag
    assert await world.tx.run("test.sweep", partial(proofs.sweep, keep=MONTHS)) >= 1
    await world.tx.run("test.sweep", partial(sweep_unheld, lifetime=timedelta(hours=24)))
    for caller in (courier, ready.buyer, ready.seller, world.admin):
        for media_id in pictures:
            assert await is_hidden(world, caller, media_id)
    after = await world.get(ready.buyer, ready.delivery_id)
    assert list(after.proof_media_ids) == []
    assert after.etag != etag
    assert list((await world.get(later.buyer, later.delivery_id)).proof_media_ids) == [str(each) for each in kept]
    assert await looked_at(world, later.buyer, kept[0])
    assert await world.violations() == []

    async def forget(uow: UnitOfWork) -> None:
        await uow.connection.execute("UPDATE deliveries SET proof_media_ids = '{}'")

    await world.tx.run("test.plant", forget)
    (violation,) = await world.violations()
    assert "holds a picture that it does not show" in violation


async def test_a_picture_of_two_deliveries_stays_while_one_of_them_keeps_it(world: World) -> None:
    """Two parcels for one door."""
    courier, courier_id = await world.courier()
    picture, made = await world.photograph(courier, b"both parcels " + new_id().bytes), []
    for _ in range(2):
        ready = await world.ready()
        await world.assign(ready.delivery_id, courier_id)
        await world.pick_up(courier, ready.delivery_id)
        await world.complete(courier, ready.delivery_id, await world.code(ready), picture)
        made.append(ready)
    await age(world, made[0], MONTHS + timedelta(minutes=1))
    await world.tx.run("test.sweep", partial(proofs.sweep, keep=MONTHS))
    await world.tx.run("test.sweep", partial(sweep_unheld, lifetime=timedelta(hours=24)))
    assert await is_hidden(world, made[0].buyer, picture)
    assert await looked_at(world, made[1].buyer, picture)
    assert await world.violations() == []


async def test_proofs_go_with_the_buyers_account_and_stay_when_the_couriers_goes(world: World) -> None:
    ready, courier, (picture,) = await proven(world)
    kept, other_courier, (other,) = await proven(world)

    async def tell(uow: UnitOfWork) -> None:
        uow.emit(AccountDeleted(user_id=ready.buyer.known_user_id))
        uow.emit(AccountDeleted(user_id=other_courier.known_user_id))

    await world.tx.run("test.gone", tell)
    await world.hand_on()
    await world.tx.run("test.sweep", partial(sweep_unheld, lifetime=timedelta(hours=24)))
    for caller in (courier, ready.seller, world.admin):
        assert await is_hidden(world, caller, picture)
    assert list((await world.get(ready.seller, ready.delivery_id)).proof_media_ids) == []
    assert await looked_at(world, kept.buyer, other)
    assert await world.violations() == []


async def age(world: World, ready: Ready, by: timedelta) -> None:
    """As if the delivery had been closed so long ago."""

    async def work(uow: UnitOfWork) -> None:
        await uow.connection.execute(
            "UPDATE deliveries SET close_time = now() - $2::interval WHERE delivery_id = $1", ready.delivery_id, by
        )

    await world.tx.run("test.age", work)
