"""What search does before anything runs: it sees that its language is there."""

from __future__ import annotations

import structlog

from marketd.catalog.search import rebuild
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.slice import CannotStart

_log = structlog.get_logger(__name__)


class LanguageUnknown(CannotStart):
    """MARKETD_SEARCH_LANGUAGE is none that the database has."""

    def __init__(self, language: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"MARKETD_SEARCH_LANGUAGE is {language!r}, and the database knows {', '.join(known)}; choose one of these"
        )


async def start(tx: Transactor, language: str) -> None:
    """Search in this language; where it was another, the documents are made anew in the background.

    Raises LanguageUnknown.
    """
    try:
        changed = await tx.run("search.language", lambda uow: rebuild.choose_language(uow.connection, language))
    except rebuild.UnknownLanguage as error:
        raise LanguageUnknown(error.language, error.known) from error
    if changed:
        _log.info("search_rebuild_begins", language=language)
