"""How the connection is made: keepalive, message sizes, and the retries that grpc itself does for reads."""

from __future__ import annotations

import ipaddress
import json
import re

import grpc

from marketplace_client.methods import METHODS, Repetition

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_SCHEME = re.compile(r"^(?:dns:(?://[^/]*/)?|ipv4:|ipv6:|passthrough:(?:///)?)", re.IGNORECASE)


class PlainTextRefused(ValueError):
    """Passwords and tokens would go unencrypted to another machine, and nobody said that they may."""

    def __init__(self, target: str) -> None:
        super().__init__(
            f"{target} is another machine and the connection would be plain text; pass"
            " credentials=grpc.ssl_channel_credentials(), or plaintext=True where the network itself is trusted."
        )


def is_this_machine(target: str) -> bool:
    """Whether what is sent to the target stays on this machine: a loopback address, localhost, a Unix socket."""
    if target.lower().startswith(("unix:", "unix-abstract:")):
        return True
    rest = _SCHEME.sub("", target.replace("%5B", "[").replace("%5D", "]"))
    if "%" in rest:  # the core decodes before it splits, so %2C and %3A make more addresses than stand here
        return False
    hosts = [_host(part) for part in rest.split(",")]
    return all(host == "localhost" or _is_local_address(host) for host in hosts)


def _host(address: str) -> str:
    """The host of host, host:port, [v6]:port or a bare v6."""
    text = address.lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text if text.count(":") > 1 else text.partition(":")[0]


def _is_local_address(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified  # 0.0.0.0 as a target is this machine too


def service_config() -> str:
    """The gRPC service config: calls that only read are repeated before this side even notices.

    CANCELLED comes from a server that leaves; what this side cancels itself is not repeated.
    """
    names = [
        {"service": facts.service, "method": facts.name}
        for facts in METHODS.values()
        if facts.repetition is Repetition.SAFE and facts.timeout_seconds is not None
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


def channel_options(user_agent: str) -> list[tuple[str, str | int]]:
    """The options of a channel.

    Nothing is compressed: gRPC does so only where it is told to, and calls.py takes `compression=` off. A ping after
    20 s of silence finds a dead path; the server counts pings closer than 10 s as a flood. A name that resolves anew is
    tried again after at most 3 s, so a restarted server is found quickly.
    """
    return [
        ("grpc.primary_user_agent", user_agent),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 200),
        # Despite its name the time that one attempt to connect may take.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 3_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", service_config()),
    ]


def open_channel(
    target: str,
    credentials: grpc.ChannelCredentials | None,
    user_agent: str,
    interceptors: list[grpc.aio.ClientInterceptor] | None = None,
) -> grpc.aio.Channel:
    """A channel to `target`; without credentials it is plain text."""
    options = channel_options(user_agent)
    if is_this_machine(target):
        options.append(("grpc.enable_http_proxy", 0))  # http_proxy and its like would carry it to the proxy's machine
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)
