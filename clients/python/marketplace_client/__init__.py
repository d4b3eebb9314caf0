"""A typed asyncio client of the marketplace: connection, tokens, retries, refusals as exceptions, watches, uplinks and
files.

The messages and service stubs come from the generated package `marketplace`; nothing of the server is needed here.
"""

from __future__ import annotations

from marketplace_client.channel import PlainTextRefused
from marketplace_client.client import MarketplaceClient
from marketplace_client.errors import (
    FieldViolation,
    MarketplaceError,
    PreconditionViolation,
    SignInRequired,
    UnconditionalUpdate,
)
from marketplace_client.files import FileNotWhole, download_media, export_products, import_products, upload_image
from marketplace_client.uplink import CourierUplink, Outcome
from marketplace_client.watch import watch_cart, watch_deliveries, watch_delivery, watch_order, watch_orders

__version__ = "0.1.0"

__all__ = [
    "CourierUplink",
    "FieldViolation",
    "FileNotWhole",
    "MarketplaceClient",
    "MarketplaceError",
    "Outcome",
    "PlainTextRefused",
    "PreconditionViolation",
    "SignInRequired",
    "UnconditionalUpdate",
    "download_media",
    "export_products",
    "import_products",
    "upload_image",
    "watch_cart",
    "watch_deliveries",
    "watch_delivery",
    "watch_order",
    "watch_orders",
]
