"""Where a server is for those who call it, and in words why nobody answers there. It imports nothing that is slow."""

from __future__ import annotations


def reachable(target: str) -> str:
    """Where clients of this machine find a server that listens here: IPv6 in brackets, loopback for every address."""
    host, _, port = target.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))  # noqa: S104 - nobody binds
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# What gRPC's core says when it finds no host, and when nobody listens there.
_UNKNOWN_HOST = ("DNS resolution failed", "Domain name not found", "Name or service not known")
_REFUSED = "Connection refused"


def no_answer(target: str, details: str) -> str:
    """Why nobody answers at the target and what to do, in a sentence.

    details: what gRPC says of the call that was not answered; it is only repeated where it tells more.
    """
    if _REFUSED in details:
        return (
            f"nothing listens on {target}; start a server with marketd serve (make run), or name another with --target."
        )
    if any(words in details for words in _UNKNOWN_HOST):
        return f"there is no host of the name in {target}; name another with --target."
    return (
        f"no server answers so at {target}; use --tls or --ca where it speaks TLS, neither where it speaks plain text "
        f"({' '.join(details.split())})."
    )
