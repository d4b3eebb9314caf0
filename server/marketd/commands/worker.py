"""`marketd worker`."""

from __future__ import annotations

import typer

from marketd.commands.settings import fail_line, read_settings, require_database_folder, require_startable, say
from marketd.embedded import EmbeddedPostgresError
from marketd.process.supervision.port import CannotServe
from marketd.process.supervision.supervisor import Supervisor, migrate_once


def command() -> None:
    """Run only the background work (event relay, timers, jobs) until SIGTERM.

    `marketd serve` runs it too, unless MARKETD_RUN_WORKER=false.
    """
    settings = read_settings()
    require_startable(settings)
    require_database_folder(settings)
    supervisor = Supervisor(
        settings, say, fail_line, only_background=True, migrate=migrate_once(settings.data_dir, say)
    )
    try:
        code = supervisor.run()
    except (CannotServe, EmbeddedPostgresError) as error:
        fail_line(str(error))
        code = 2
    raise typer.Exit(code)
