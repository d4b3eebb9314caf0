"""Which setting makes what of a gateway, and what its configuration has only when it is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from marketd.config import Environment, Settings
from marketd.gateway.envoy.addresses import CHAINS
from marketd.gateway.envoy.listener import listener
from marketd.gateway.envoy.upstream import cluster
from marketd.gateway.files import command_line
from marketd.gateway.gateway import Gateway, Upstream, gateway_of

SOCKETS = (Upstream(socket=Path("w-0.sock")), Upstream(socket=Path("w-1.sock")))
SERVICES = ["marketplace.order.v1.OrderService"]


def test_each_setting_has_its_place_in_a_gateway() -> None:
    settings = Settings(
        host="::1",
        port=7,
        access_log=True,
        media_dir=Path("pictures"),
        gateway_host="0.0.0.0",  # noqa: S104 - nobody binds
        gateway_port=80,
        gateway_origins=("https://shop.example",),
        gateway_tls_cert_file=Path("a.pem"),
        gateway_tls_key_file=Path("a.key"),
        gateway_upstream_ca_file=Path("ca.pem"),
        gateway_trusted_hops=2,
        gateway_static=Path("pages"),
        gateway_max_connections=11,
        gateway_connections_of_address=12,
        gateway_body_bytes=2048,
        gateway_idle_seconds=16,
    )
    assert gateway_of(settings) == Gateway(
        host="0.0.0.0",  # noqa: S104 - the same
        port=80,
        upstreams=(Upstream(host="::1", port=7),),
        upstream_ca_file=Path("ca.pem"),
        tls_cert_file=Path("a.pem"),
        tls_key_file=Path("a.key"),
        origins=("https://shop.example",),
        trusted_hops=2,
        static=Path("pages"),
        media=Path("pictures"),
        access_log=True,
        max_connections=11,
        connections_of_address=12,
        body_bytes=2048,
        upload_bytes=6 * 1024 * 1024,
        idle_seconds=16.0,
    )
    assert gateway_of(settings, SOCKETS).upstreams == SOCKETS


def test_pictures_come_from_the_folder_or_from_a_bucket_that_everybody_may_read() -> None:
    bucket = Settings(media_bucket_url="s3://b", media_bucket_public_url="https://p.example/b")
    found = gateway_of(bucket)
    assert (found.media, found.media_url) == (None, "https://p.example/b/")
    closed = gateway_of(Settings(media_bucket_url="s3://b"))
    assert (closed.media, closed.media_url) == (None, None)


def _chains(gateway: Gateway) -> list[dict[str, Any]]:
    chains: list[dict[str, Any]] = listener(gateway, SERVICES)["filter_chains"]
    return chains


def test_connections_are_counted_by_address_unless_all_of_them_are_a_proxys_or_nobody_wants_it() -> None:
    gateway = gateway_of(Settings(gateway_connections_of_address=12), SOCKETS)
    counted = _chains(gateway)
    assert len(counted) == CHAINS == 8
    assert {chain["filters"][0]["typed_config"]["max_connections"] for chain in counted} == {12}
    for other in (replace(gateway, trusted_hops=1), replace(gateway, connections_of_address=0)):
        (chain,) = _chains(other)
        assert len(chain["filters"]) == 1


@pytest.mark.parametrize("hops", [0, 2])
def test_only_known_proxies_are_believed(hops: int) -> None:
    gateway = gateway_of(Settings(gateway_trusted_hops=hops, gateway_connections_of_address=0), SOCKETS)
    manager = _chains(gateway)[0]["filters"][0]["typed_config"]
    assert (manager["use_remote_address"], manager["xff_num_trusted_hops"]) == (True, hops)
    removed = [each["remove"] for each in _early(manager) if "remove" in each]
    assert {"forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"} <= set(removed)


def _early(manager: dict[str, Any]) -> list[dict[str, Any]]:
    mutations: list[dict[str, Any]] = manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    return mutations


def test_with_a_certificate_it_speaks_tls_1_2_at_least_and_waits_for_no_handshake() -> None:
    gateway = Gateway("::", 443, SOCKETS, tls_cert_file=Path("a.pem"), tls_key_file=Path("a.key"))
    (chain,) = _chains(gateway)
    context = chain["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["tls_params"] == {"tls_minimum_protocol_version": "TLSv1_2"}
    assert context["alpn_protocols"] == ["h2", "http/1.1"]
    assert context["tls_certificates"] == [
        {"certificate_chain": {"filename": "a.pem"}, "private_key": {"filename": "a.key"}}
    ]
    assert chain["transport_socket_connect_timeout"] == "5s"
    assert "transport_socket" not in _chains(replace(gateway, tls_cert_file=None))[0]


def test_servers_elsewhere_must_show_a_certificate_of_their_own_name_by_the_known_signer() -> None:
    elsewhere = (Upstream(host="shop.example", port=443),)
    made = cluster(Gateway("::", 443, elsewhere, upstream_ca_file=Path("ca.pem")))
    context = made["transport_socket"]["typed_config"]
    assert (context["auto_host_sni"], context["auto_sni_san_validation"]) == (True, True)
    assert context["common_tls_context"]["validation_context"] == {"trusted_ca": {"filename": "ca.pem"}}
    assert made["type"] == "STRICT_DNS"
    beside = cluster(Gateway("::", 443, SOCKETS))
    assert beside["type"] == "STATIC"
    assert "transport_socket" not in beside
    (group,) = beside["load_assignment"]["endpoints"]
    paths = [each["endpoint"]["address"] for each in group["lb_endpoints"]]
    assert paths == [{"pipe": {"path": "w-0.sock"}}, {"pipe": {"path": "w-1.sock"}}]


@pytest.mark.parametrize(
    ("level", "said"), [("DEBUG", "info"), ("info", "warning"), ("ERROR", "error"), ("odd", "warning")]
)
def test_envoy_is_started_with_the_threads_and_the_words_of_the_settings(level: str, said: str) -> None:
    settings = Settings(env=Environment.TEST, gateway_threads=3, log_level=level)
    line = command_line(Path("/bin/envoy"), Path("envoy.json"), settings, is_json=True)
    assert line[:3] == ["/bin/envoy", "--config-path", "envoy.json"]
    assert "--disable-hot-restart" in line
    options = dict(pairwise(line))
    assert (options["--concurrency"], options["--log-level"]) == ("3", said)
    assert (options["--drain-time-s"], options["--drain-strategy"]) == ("5", "immediate")
    assert options["--log-format"].startswith("{")
    plain = command_line(Path("/bin/envoy"), Path("envoy.json"), settings, is_json=False)
    assert not dict(pairwise(plain))["--log-format"].startswith("{")
