"""The parts of REST by themselves: patterns of paths, which of them take files, what the transcoder knows beside us."""

from __future__ import annotations

import re

import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.app import SERVICES
from marketd.gateway.descriptors import rest_descriptors
from marketd.gateway.envoy.rest import http_bindings, lua_pattern, upload_paths
from marketd.gateway.files import services
from marketd.transport.access import AccessTable
from marketd.transport.last_words import ERROR_FIELD, error_message
from marketd.transport.rules import Kind

from tests.worlds.foreign import ROOT

RULES = [rule for rule in AccessTable.from_names(SERVICES) if rule.method.startswith("/marketplace.")]


@pytest.fixture(scope="module")
def pool() -> DescriptorPool:
    """What the transcoder reads, each file after those that it needs."""
    made = DescriptorPool()
    for file in rest_descriptors().file:
        made.Add(file)
    return made


def test_the_pattern_of_a_path_takes_what_the_template_takes() -> None:
    pattern = lua_pattern("/v1/orders/{order_id}:watch")
    assert pattern == "^/v1/orders/[^/:]+:watch$"
    assert lua_pattern("/.well-known/jwks.json") == "^/%.well%-known/jwks%.json$"
    assert re.fullmatch(pattern, "/v1/orders/7:watch")
    assert not re.fullmatch(pattern, "/v1/orders/7/8:watch")


def test_every_binding_of_a_served_method_is_known() -> None:
    found = list(http_bindings(services()))
    assert ("GET", "/v1/orders/{order_id}:watch") in found
    assert len(found) == len(set(found)) > 120
    assert sorted(services()) == sorted(name for name in SERVICES if name.startswith("marketplace."))


def test_files_in_one_message_come_at_these_paths() -> None:
    assert upload_paths() == ["/v1/media", "/v1/products:import"]


def test_streamed_answers_have_the_error_and_no_others(pool: DescriptorPool) -> None:
    for rule in RULES:
        answer = pool.FindMessageTypeByName(rule.response.DESCRIPTOR.full_name)
        has_error = ERROR_FIELD in answer.fields_by_name
        assert has_error is (rule.kind is Kind.SERVER_STREAM and answer.name != "HttpBody"), rule.method


def test_the_last_message_is_read_as_the_error(pool: DescriptorPool) -> None:
    name = "marketplace.order.v1.WatchOrderResponse"
    answer = GetMessageClass(pool.FindMessageTypeByName(name))
    status = status_pb2.Status(code=5, message="There is none." * 40)
    said = MessageToDict(answer.FromString(error_message(status.SerializeToString())))
    assert said == {"error": {"code": 5, "message": status.message}}


def test_the_lines_of_curl_in_readme_are_calls_that_there_are() -> None:
    lines = re.findall(r"^curl .*", (ROOT / "README.md").read_text(), re.MULTILINE)
    found = [re.search(r"127\.0\.0\.1:50052(/v1/[^\s'?]*)", line) for line in lines]
    assert len(found) >= 2
    known = [(method, lua_pattern(template).replace("%", "\\")) for method, template in http_bindings(SERVICES)]
    for line, path in zip(lines, found, strict=True):
        assert path is not None, line
        asked = "POST" if " -d " in line else "GET"
        assert [one for method, one in known if method == asked and re.fullmatch(one, path[1])], line
