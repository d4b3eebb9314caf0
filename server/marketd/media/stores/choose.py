"""Which store the settings mean. obstore is imported only where a bucket is used."""

from __future__ import annotations

import importlib
from typing import cast

from pydantic import SecretStr

from marketd.config import Settings
from marketd.media.store import Store, StoreUnfit
from marketd.media.stores.local import LocalStore


def choose_store(settings: Settings) -> Store:
    """The bucket when one is named, else the directory. Raises StoreUnfit."""
    if settings.media_bucket_url is None:
        return LocalStore(settings.media_folder)
    try:
        s3 = importlib.import_module("marketd.media.stores.s3")
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise StoreUnfit(
            "MARKETD_MEDIA_BUCKET_URL is set, and obstore is not installed; `pip install 'marketd[s3]'`."
        ) from None
    name, prefix = s3.parse_url(settings.media_bucket_url)
    bucket = s3.Bucket(
        name=name,
        prefix=prefix,
        endpoint=settings.media_bucket_endpoint,
        region=settings.media_bucket_region,
        key_id=_shown(settings.media_bucket_key_id),
        key=_shown(settings.media_bucket_key),
        allow_http=not settings.production,
    )
    return cast("Store", s3.BucketStore(bucket))


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
