"""How many connections one address may hold.

Envoy counts connections in all, and those of a chain of filters, but not those of an address. So addresses are spread
over a few equal chains by a hash, each with a count of its own: who takes all that one chain has locks out the others
that fall into it, and nobody else. More chains would spread them finer; each costs a tenth of a second at the start and
three MiB, for its copy of the contract.
"""

from __future__ import annotations

from typing import Any, Final

from marketd.gateway.envoy.names import extension, typed
from marketd.gateway.gateway import Gateway

CHAINS: Final = 8
_INPUT: Final = extension(
    "envoy.matching.inputs.source_ip", "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"
)


def filter_chains(gateway: Gateway, chain: dict[str, Any]) -> dict[str, Any]:
    """The listener's chains: `chain` itself where nothing is counted by address, else copies of it with a count.

    Behind proxies that are known there is nothing to count: all connections are theirs.
    """
    if gateway.connections_of_address == 0 or gateway.trusted_hops > 0:
        return {"filter_chains": [chain]}
    return {
        "filter_chains": [
            {**chain, "name": _name(number), "filters": [_count(number, gateway), *chain["filters"]]}
            for number in range(CHAINS)
        ],
        "filter_chain_matcher": {
            "matcher_list": {
                # The first that matches counts: the hash of an address, modulo CHAINS, is no less than `number`.
                "matchers": [
                    {"predicate": {"single_predicate": _no_less(number)}, "on_match": _lead_to(number)}
                    for number in range(CHAINS - 1, 0, -1)
                ]
            },
            "on_no_match": _lead_to(0),
        },
    }


def _name(number: int) -> str:
    return f"addresses-{number}"


def _count(number: int, gateway: Gateway) -> dict[str, Any]:
    return extension(
        "envoy.filters.network.connection_limit",
        "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        stat_prefix=_name(number),
        max_connections=gateway.connections_of_address,
    )


def _no_less(number: int) -> dict[str, Any]:
    hashing = "envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing"
    return {
        "input": _INPUT,
        "custom_match": extension(
            "envoy.matching.matchers.consistent_hashing", hashing, modulo=CHAINS, threshold=number
        ),
    }


def _lead_to(number: int) -> dict[str, Any]:
    name = _name(number)
    return {"action": {"name": name, "typed_config": typed("google.protobuf.StringValue", value=name)}}
