"""Texts of requests: no control characters, nothing that turns the direction of others, nothing blank, in any field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf.message import Message
from marketd import app as composition
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.values.texts import name_key, text_problem
from marketd.transport.access import AccessTable
from marketd.transport.texts import is_trimmed, may_have_lines
from marketd.transport.validation import Validation
from marketd.transport.walk import Walk, is_owned
from marketplace.auth.v1 import auth_service_pb2

from tests.canaries import MARK

SPACED = f" lamp {MARK} "
TABLE = tuple(AccessTable.from_names(composition.SERVICES))
VALIDATION = Validation()
BAD = ("\0", "a\x07b", "a\x7f", "a\x85b", "png\u202eexe", "\u2067a", "\u202a", " ", "\u00a0\u200b ", "\u3164")
"""Texts that no field takes: control characters, overrides and isolates, nothing to see."""

Step = Any  # a field's descriptor


def places(message: Any, above: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """The way to each text field of a message type, the fields of map keys and values included; nothing twice in it."""
    for field in message.fields:
        if field in above:
            continue
        way = (*above, field)
        if field.type == field.TYPE_STRING:
            yield way
        elif field.message_type is not None:
            yield from places(field.message_type, way)


def put(message: Any, way: tuple[Step, ...], text: str) -> str:
    """Set the text at the end of the way, and say at which path a refusal names it."""
    field, *rest = way
    if not rest:
        if field.is_repeated:
            getattr(message, field.name).append(text)
            return f"{field.name}[0]"
        setattr(message, field.name, text)
        return str(field.name)
    inside = getattr(message, field.name)
    if field.message_type.GetOptions().map_entry:
        if rest[0].name == "key":
            key: Any = text
        else:
            key = "k" if field.message_type.fields_by_name["key"].type == field.TYPE_STRING else 1
        if len(rest) == 1:
            inside[key] = text if rest[0].name == "value" else "v"
            return str(field.name)
        return f"{field.name}.{put(inside[key], tuple(rest[1:]), text)}"
    if field.is_repeated:
        return f"{field.name}[0].{put(inside.add(), tuple(rest), text)}"
    inside.SetInParent()
    return f"{field.name}.{put(inside, tuple(rest), text)}"


def refused(rule: Any, message: Message) -> dict[str, str]:
    """What is said of each field of the request; nothing when it is good."""
    try:
        VALIDATION.parser(rule)(message.SerializeToString())
    except ValidationFailed as problem:
        return {violation.field: violation.description for violation in problem.fields}
    return {}


def walk_over(rule: Any) -> Walk | None:
    """The walk over a method's requests."""
    return Walk.over(rule.request.DESCRIPTOR)


def named(path: str, said: dict[str, str]) -> bool:
    """Whether the field, or the one that it stands in (an id is judged as a whole, a read mask too), is refused."""
    return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in said)


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.method)
def test_no_text_of_a_request_takes_what_cannot_be_seen_or_misleads(rule: Any) -> None:
    parse = walk_over(rule)
    for way in places(rule.request.DESCRIPTOR):
        owned = any(is_owned(field) for field in way)
        for text in BAD:
            message = rule.request()
            path = put(message, way, text)
            if owned:  # the server's own: whatever comes back in it means nothing
                found: list[Any] = []
                if parse is not None:
                    parse.judge(message, "", found)
                assert not found, path
            else:
                assert named(path, refused(rule, message)), (path, text)


def test_only_texts_of_several_lines_take_line_breaks() -> None:
    seen = set()
    for rule in TABLE:
        walk = walk_over(rule)
        for way in places(rule.request.DESCRIPTOR):
            field = way[-1]
            if field.full_name in seen or any(is_owned(one) for one in way):
                continue
            seen.add(field.full_name)
            message = rule.request()
            found: list[Any] = []
            path = put(message, way, "one\r\n\ttwo")
            if may_have_lines(field):
                assert walk is not None
                walk.judge(message, "", found)
                assert not found, path
            else:
                assert named(path, refused(rule, message)), path


def test_every_long_text_has_lines_or_is_no_prose() -> None:
    """A new field for prose must be in the one list of them."""
    for rule in TABLE:
        for way in places(rule.request.DESCRIPTOR):
            field = way[-1]
            most = field.GetOptions().Extensions[validate_pb2.field].string.max_len
            is_prose = not field.name.endswith(("token", "url", "alt_text", "query"))
            assert most < 500 or not is_prose or may_have_lines(field), field.full_name


def test_blanks_around_logins_addresses_and_codes_are_taken_away() -> None:
    trimmed = set()
    for rule in TABLE:
        walk = walk_over(rule)
        for way in places(rule.request.DESCRIPTOR):
            if is_trimmed(way[-1]) and not any(is_owned(field) for field in way):
                message, bare = rule.request(), rule.request()
                put(message, way, " \tx\u00a0\n")
                put(bare, way, "x")
                assert walk is not None
                walk.judge(message, "", [])
                assert message == bare, way[-1].full_name
                trimmed.add(way[-1].full_name)
    assert {
        "marketplace.auth.v1.LoginRequest.login",
        "marketplace.auth.v1.RegisterRequest.email",
        "marketplace.auth.v1.RegisterRequest.username",
        "marketplace.auth.v1.RequestPasswordResetRequest.email",
        "marketplace.auth.v1.VerifyRequest.code",
        "marketplace.type.v1.Address.phone",
    } <= trimmed


def test_other_texts_are_kept_as_they_are_given() -> None:
    login = auth_service_pb2.LoginRequest(login=" ida@example.com ", password=SPACED)
    rule = next(rule for rule in TABLE if rule.request is auth_service_pb2.LoginRequest)
    read: Any = VALIDATION.parser(rule)(login.SerializeToString())
    assert (read.login, read.password) == ("ida@example.com", SPACED)


def test_a_refused_text_is_refused_once_and_in_words() -> None:
    """Its form, which is bad besides, is not spoken of."""
    rule = next(rule for rule in TABLE if rule.request is auth_service_pb2.RegisterRequest)
    said = refused(rule, auth_service_pb2.RegisterRequest(email="two\nlines", password=SPACED))
    assert said == {"email": "must be a single line"}
    with pytest.raises(ValidationFailed) as caught:
        VALIDATION.parser(rule)(auth_service_pb2.RegisterRequest(email="two\nlines").SerializeToString())
    assert [violation.field for violation in caught.value.fields].count("email") == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Käse & Mehr 東京 ☕ 👩‍🍳", ""),
        ("a\u00a0b", ""),
        ("   ", "must not be blank"),
        ("\u200b\ufeff", "must not be blank"),
        ("a\tb", "must not contain a tab"),
        ("a\nb", "must be a single line"),
        ("a\u2028b", "must be a single line"),
        ("a\x1bb", "must not contain control characters such as U+001B"),
        ("a\u202eb", "must not contain U+202E, which turns the direction of text"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, problem: str) -> None:
    assert text_problem(text) == problem


def test_texts_that_read_the_same_have_one_key() -> None:
    assert len({name_key(text) for text in ("Café", "Cafe\u0301", "CAFÉ", " café ", "cAFE\u0301")}) == 1
    assert name_key("Straße") == name_key("STRASSE")
    assert name_key("Café") != name_key("Cafe")
    unseen = ("\u200b", "\u00ad", "\ufeff", "\u2060", "\u200e", "\u3164", "\ufe0f", "\U000e0041")
    assert {name_key(f"Ca{one}fe{one}") for one in unseen} == {name_key("Cafe")}
    # Taken away before composing, or what it kept apart would compose the next time.
    assert name_key("Cafe\u200b\u0301") == name_key("Café")


@pytest.mark.parametrize(
    "text", ["\u3164", "\uffa0", "\u115f", "\u2800 \u2800", "\u034f", "\ufe0f", "\U000e0041", " \u200d\ufe0f "]
)
def test_fillers_that_count_as_printable_are_blank_all_the_same(text: str) -> None:
    assert text_problem(text) == "must not be blank"
    assert text_problem(f"a{text}") == ""
    assert name_key(name_key("İ ǰ")) == name_key("İ ǰ")
