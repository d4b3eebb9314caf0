"""Adding, removing and ordering the pictures of one product. Nothing here commits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from marketd.catalog.locking import lock_own, read_whole
from marketd.catalog.model import MAX_IMAGES
from marketd.catalog.owners import record_foreign
from marketd.catalog.pictures import repository
from marketd.catalog.repository import specs
from marketd.catalog.values import NewImage, Product, ProductImage
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.media import service as media
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind
from marketd.seller import service as sellers


async def add_image(
    uow: UnitOfWork, caller: Caller, product_id: UUID, new: NewImage, position: int | None, etag: str
) -> tuple[Product, UUID]:
    """Add a picture to an own product, behind the others or at a place among them; gives its id with the product.

    One that is there already stays as it is, whatever the `etag`; when it could not be fetched, that begins anew.
    Raises NotFound, EtagMismatch, and ValidationFailed as the contract says.
    """
    _, product = await lock_own(uow, caller, product_id)
    known = next((image for image in product.images if new.is_same(image)), None)
    if known is not None:
        await repository.begin_anew(uow.connection, known.image_id, uow.now)
        return product, known.image_id
    check_etag(etag, product.version)
    if len(product.images) >= MAX_IMAGES:
        problem = f"the product has {len(product.images)} pictures, and may have {MAX_IMAGES}; remove one first"
        raise ValidationFailed(FieldViolation("image", problem))
    _check_variants(new, {variant.variant_id for variant in product.variants}, "image")
    await hold_images(uow, caller, product.seller_id, product_id, [new], ["image.image.media_id"])
    behind = len(product.images) + 1
    place = behind if position is None else min(position, behind)
    image = planned_image(product_id, new, place)
    await repository.set_order(uow.connection, product_id, ())
    await repository.make_room(uow.connection, product_id, place)
    await specs.insert_images(uow.connection, [image], uow.now)
    await specs.touch_products(uow.connection, [product_id], uow.now)
    await record_foreign(uow, caller, product.seller_id, ("product_image", image.image_id), after=image)
    return await read_whole(uow, product_id), image.image_id


async def remove_image(
    uow: UnitOfWork, caller: Caller, product_id: UUID, image_id: UUID, etag: str, *, allow_missing: bool
) -> Product:
    """Take a picture from an own product; its media is let go unless another of its pictures is the same.

    Raises NotFound (with `allow_missing` not for a picture that is gone) and EtagMismatch.
    """
    _, product = await lock_own(uow, caller, product_id)
    image = next((image for image in product.images if image.image_id == image_id), None)
    if image is None:
        if allow_missing:
            return product
        raise NotFound("product_image", image_id)
    check_etag(etag, product.version)
    await repository.remove(uow.connection, product_id, image_id)
    # Two addresses may have led to the same picture.
    rest = {each.media_id for each in product.images if each is not image}
    if image.media_id is not None and image.media_id not in rest:
        await media.release(uow, [image.media_id], Holder(HolderKind.PRODUCT, product_id))
    await specs.touch_products(uow.connection, [product_id], uow.now)
    await record_foreign(uow, caller, product.seller_id, ("product_image", image_id), before=image)
    return await read_whole(uow, product_id)


async def reorder_images(
    uow: UnitOfWork, caller: Caller, product_id: UUID, image_ids: Sequence[UUID], etag: str
) -> Product:
    """Put the pictures of an own product into this order; those that stand so stay as they are, whatever the `etag`.

    Raises NotFound, EtagMismatch, and ValidationFailed when the ids are not those of all its pictures.
    """
    spec, product = await lock_own(uow, caller, product_id)
    stand = [image.image_id for image in product.images]
    if list(image_ids) == stand:
        return product
    check_etag(etag, product.version)
    if sorted(image_ids) != sorted(stand):
        problem = f"must be the ids of all {len(stand)} pictures of the product, each once"
        raise ValidationFailed(FieldViolation("image_ids", problem))
    await repository.set_order(uow.connection, product_id, image_ids)
    await specs.touch_products(uow.connection, [product_id], uow.now)
    await record_foreign(uow, caller, spec.seller_id, ("product", product_id), before=spec, after=spec)
    return await read_whole(uow, product_id)


async def hold_images(
    uow: UnitOfWork,
    caller: Caller,
    seller_id: UUID,
    product_id: UUID,
    images: Sequence[NewImage],
    paths: Sequence[str],
) -> None:
    """Have the product hold the uploads among the pictures. paths: where the media of each stands in the request.

    Uploads are the caller's or the shop's owner's. Raises ValidationFailed for others, and for other purposes.
    """
    uploads = [(image.media_id, path) for image, path in zip(images, paths, strict=True) if image.media_id is not None]
    if not uploads:
        return
    seller = await sellers.read_seller(uow, seller_id)
    owners = [caller.known_user_id, *([] if seller is None else [seller.owner_user_id])]
    await media.hold(
        uow,
        owners,
        [media_id for media_id, _ in uploads],
        Purpose.PRODUCT,
        Holder(HolderKind.PRODUCT, product_id),
        field=[path for _, path in uploads],
    )


def planned_image(product_id: UUID, new: NewImage, position: int) -> ProductImage:
    """The picture as it is written down; what is an upload has no address of its own."""
    return ProductImage(
        image_id=new_id(),
        product_id=product_id,
        position=position,
        media_id=new.media_id,
        url="" if new.media_id is not None else new.url,
        alt_text=new.alt_text,
        variant_ids=new.variant_ids,
    )


def _check_variants(new: NewImage, variant_ids: Collection[UUID], path: str) -> None:
    """Raise ValidationFailed when the picture shows variants that the product does not have."""
    wrong = [
        FieldViolation(f"{path}.variant_ids[{index}]", "the product has no such variant")
        for index, variant_id in enumerate(new.variant_ids)
        if variant_id not in variant_ids
    ]
    if wrong:
        raise ValidationFailed(*wrong)
