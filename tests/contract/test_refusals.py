"""Every refusal of the server sends the code and the metadata keys that its reason's comment promises."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import pkgutil
import types
import typing
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import marketd
import pytest
from marketd.kernel.call.reasons import Reason
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.values.money import Money

from tests.contract.comments import reason_comments

# What a constructor may ask for, and values of it that may lead to different keys.
_SAMPLES: dict[object, tuple[Any, ...]] = {
    str: ("word",),
    int: (3,),
    float: (1.5,),
    bool: (False, True),
    object: (uuid4(),),
    UUID: (uuid4(),),
    datetime: (datetime(2026, 1, 2, tzinfo=UTC),),
    Money: (Money(1_000, "EUR"),),
}


def _refusals(of: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for each in of.__subclasses__():
        if each.__module__.startswith("marketd."):
            yield each
            yield from _refusals(each)


def _import_all() -> None:
    for module in pkgutil.walk_packages(marketd.__path__, "marketd."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


_import_all()
CLASSES = sorted(set(_refusals()), key=lambda each: (each.__module__, each.__qualname__))


def _samples(hint: Any) -> tuple[Any, ...]:
    """Values of a type; of a list one with an item and, for those that may be, an empty one."""
    if hint in _SAMPLES:
        return _SAMPLES[hint]
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return tuple(itertools.chain.from_iterable(_samples(one) for one in arguments if one is not type(None)))
    if origin is not None and issubclass(origin, Sequence | typing.Iterable):
        return ([_samples(arguments[0])[0]],)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return (next(iter(hint)),)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return (hint(**{field.name: _samples(hints[field.name])[0] for field in dataclasses.fields(hint)}),)
    raise AssertionError(f"no value of {hint} is known here; name one in _SAMPLES")


def _made(refusal: type[Refusal]) -> Iterator[Refusal]:
    """The refusal as it may be given: with each sample of each argument, with and without those that have a default."""
    hints = typing.get_type_hints(refusal.__init__)
    choices: list[list[tuple[str, inspect.Parameter, Any]]] = []
    for name, parameter in list(inspect.signature(refusal.__init__).parameters.items())[1:]:
        given = [(name, parameter, value) for value in _samples(hints[name])]
        if parameter.default is not parameter.empty:
            given.append((name, parameter, parameter.default))
        choices.append(given)
    for chosen in itertools.product(*choices):
        positional: list[Any] = []
        by_name: dict[str, Any] = {}
        for name, parameter, value in chosen:
            if parameter.kind is parameter.KEYWORD_ONLY:
                by_name[name] = value
            else:
                positional.append(value)
        yield refusal(*positional, **by_name)


@pytest.mark.parametrize("refusal", CLASSES, ids=lambda each: f"{each.__module__}.{each.__qualname__}")
def test_a_refusal_sends_the_code_and_keys_of_its_reasons_comment(refusal: type[Refusal]) -> None:
    comment = reason_comments()[refusal.reason.value]
    assert refusal.code.value == comment.code
    for made in _made(refusal):
        keys = set(made.metadata)
        assert keys >= comment.always, f"{made.reason} lacks {sorted(comment.always - keys)}"
        assert keys <= comment.always | comment.sometimes, (
            f"{made.reason} sends {sorted(keys - comment.always - comment.sometimes)}, which its comment does not name"
        )


# Calls that a client does well to repeat as they are; a client without a pause of its own repeats them at once.
_TO_REPEAT = {
    "REQUEST_IN_PROGRESS",
    "CONCURRENT_UPDATE",
    "RATE_LIMITED",
    "OVERLOADED",
    "DATABASE_UNAVAILABLE",
    "DRAINING",
}


def test_whoever_is_to_repeat_the_call_is_told_when() -> None:
    asked = [each for each in CLASSES if each.reason.value in _TO_REPEAT]
    assert {each.reason.value for each in asked} == _TO_REPEAT
    assert [each for each in asked if not all((made.retry_after_seconds or 0) > 0 for made in _made(each))] == []


def test_what_is_there_only_sometimes_is_there_and_is_missing() -> None:
    for reason, comment in reason_comments().items():
        if comment.sometimes:
            sent = [set(made.metadata) for each in CLASSES if each.reason.value == reason for made in _made(each)]
            assert any(keys >= comment.sometimes for keys in sent), reason
            assert any(not keys & comment.sometimes for keys in sent), reason


# Reasons of slices that are not there yet.
_TO_COME = frozenset(
    {
        "OFFER_TAKEN",
        "OFFER_EXPIRED",
    }
)


def test_every_reason_has_a_comment_and_a_refusal() -> None:
    assert set(reason_comments()) == {reason.value for reason in Reason}
    without = {reason.value for reason in Reason} - {each.reason.value for each in CLASSES}
    assert without == _TO_COME


def test_the_test_sees_a_key_too_many_and_one_too_few() -> None:
    class Wrong(Refusal):
        def __init__(self, *, with_id: bool) -> None:
            super().__init__("no", metadata={"id": "1"} if with_id else {})

    assert [set(made.metadata) for made in _made(Wrong)] == [set(), {"id"}]
