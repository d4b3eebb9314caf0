"""How the embedded server is configured: everything is given on its command line, no file is edited.

The values suit one machine that runs the marketplace and its database side by side.
"""

from pathlib import Path

PORT = 5432  # names the socket file only: TCP is not listened on

INITDB_OPTIONS = (
    "--username=postgres",
    # Who may open the socket's folder is decided by its mode, 0700.
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    # The same order of texts on every machine, with Unicode-aware lower and upper.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


def server_options(*, socket_dir: Path, cluster_name: str, durable: bool) -> dict[str, str]:
    """The settings of the server by name.

    Not durable means: a crash of the machine may spoil everything; a kill of the server still loses no commit.
    """
    options = {
        "listen_addresses": "",
        "port": str(PORT),
        # A list in PostgreSQL's eyes: quoted, so that commas and spaces in the path stay part of it.
        "unix_socket_directories": '"' + str(socket_dir).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "cluster_name": cluster_name,
        # A worker holds up to 25 with the pool that it ships with; a slot that nobody uses costs some kilobytes.
        "max_connections": "500",
        "shared_buffers": "128MB",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "min_wal_size": "64MB",
        "max_wal_size": "512MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # The application logs its own refusals; here they would carry addresses and positions into a file.
        "log_min_messages": "log",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "synchronous_commit": "on",
    }
    if not durable:
        # Commits are still written before they are acknowledged, which costs little; only the disk is not waited for.
        options |= {"fsync": "off", "full_page_writes": "off"}
    return options
