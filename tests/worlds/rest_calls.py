"""Calls that schemathesis makes up from the OpenAPI document, and what is wrong with their answers.

What answers show (ids, etags, tokens) is put into later calls, so that these reach further than "not found".
"""

from __future__ import annotations

import base64
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from typing import Any, Final

import jsonschema_rs
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.worlds.pictures import encoded, patch
from tests.worlds.rest_people import ROLES, People
from tests.worlds.things import PASSWORD

Document = Mapping[str, Any]

NOBODY: Final = "NOBODY"
SAMPLES: Final[Mapping[str, tuple[Any, ...]]] = {
    "currencyCode": ("EUR",),
    "units": ("0", "1", "12"),
    "nanos": (0, 500_000_000),
    "password": (PASSWORD,),
    "currentPassword": (PASSWORD,),
    "newPassword": (PASSWORD, f"{PASSWORD} anew"),
    "updateMask": ("",),
    "readMask": ("title", "title,images", ""),
    "orderBy": ("", "create_time", "create_time desc", "name"),
    "image": (base64.b64encode(encoded(patch())).decode(), "AAAA"),
    "csv": (base64.b64encode(b"Handle,Title,Variant SKU,Variant Price\nbun,Bun,BUN-1,2.50\n").decode(), "AAAA"),
    "roles": ("ROLE_BUYER", "ROLE_ADMIN", "ROLE_SELLER"),
    "regionCode": ("DE",),
    "latitude": (52.52, 52.5),
    "longitude": (13.4, 13.41),
    "paymentProvider": ("sandbox",),
    "provider": ("sandbox",),
}
"""What people send in such a field; other values are mostly refused by rules that a schema cannot say."""
_GOES_ON: Final = frozenset({503, 504})
_MOST_KNOWN = 40


class RestCalls:
    """Makes up calls, makes them, and judges the answers."""

    def __init__(self, url: str, document: Document, people: People, chance: int) -> None:
        """chance: what the made-up calls depend on; the same makes the same."""
        self._url = url
        self._document = document
        self._people = people
        self._chance = chance
        self._random = random.Random(chance)  # noqa: S311 - no secret
        self._session = requests.Session()
        made_of = schemathesis.openapi.from_dict(_closed(document))
        # An operation that cannot be understood raises here.
        self._operations: list[Any] = [found.ok() for found in made_of.get_all_operations()]
        self._known: dict[str, list[str]] = {}
        self._totals: list[Any] = []
        self._shapes: dict[str, Any] = {}
        self.findings: dict[str, str] = {}
        """What is wrong, each kind once: where, and an example."""
        self.statuses: Counter[int] = Counter()
        self.answered: set[str] = set()
        """The operations that were answered 200."""

    @property
    def unary(self) -> list[Any]:
        """The operations that answer at once, in the document's order."""
        return [each for each in self._operations if _answers_json(self._raw(each))]

    def run(
        self,
        operations: Iterable[Any],
        examples: int,
        *,
        negative: bool = False,
        end: float = 0.0,
        share: float = 1.0,
    ) -> None:
        """Call each operation with so many made-up requests; `negative` ones break the document's rules.

        end: when to stop, by time.monotonic(). share: of a core's time that this process may take for it.
        """
        for operation in operations:
            if end and time.monotonic() > end:
                return
            begun = time.process_time()
            for case in self._made_up(operation, examples, negative=negative):
                self._call(operation, case, vary=not negative)
            time.sleep((time.process_time() - begun) * (1 / share - 1))

    def _made_up(self, operation: Any, examples: int, *, negative: bool) -> list[Any]:
        cases: list[Any] = []
        mode = GenerationMode.NEGATIVE if negative else GenerationMode.POSITIVE

        @seed(self._random.getrandbits(32))
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def collect(case: Any) -> None:
            cases.append(case)

        # Where nothing can be wrong there are no negative cases.
        with suppress(Unsatisfiable) if negative else nullcontext():
            collect()
        return cases

    def _call(self, operation: Any, case: Any, *, vary: bool) -> None:
        raw = self._raw(operation)
        role = self._caller(raw)
        token = self._people.token(role)
        if vary:
            case.path_parameters = self._likely(case.path_parameters)
            case.query = self._likely(case.query)
            case.body = self._likely(case.body)
        headers = {name: value for name, value in (case.headers or {}).items() if _can_be_sent(value)}
        headers.pop("Authorization", None)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if "Idempotency-Key" in headers:
            headers["Idempotency-Key"] = f"{self._random.getrandbits(64):x}"
            for place in (case.query, case.body):
                if isinstance(place, dict):
                    place.pop("requestId", None)
        case.headers = headers
        try:
            answer = case.call(base_url=self._url.rstrip("/"), session=self._session, timeout=30)
        except ValueError:
            return  # what cannot be a request at all
        self.statuses[answer.status_code] += 1
        problem = self._judge(raw, answer)
        if problem:
            place = f"{raw['operationId']}: {problem[:160]}"
            self.findings.setdefault(
                place, f"{case.as_curl_command()}\n  as {role}\n  {answer.status_code} {answer.text[:1500]}"
            )
        if answer.status_code in (401, 403) and token is not None:
            self._people.forget(role)
        if answer.status_code == 200:
            self.answered.add(raw["operationId"])
            self._learn(_json(answer))

    def _raw(self, operation: Any) -> Document:
        found: Document = self._document["paths"][operation.path][operation.method.lower()]
        return found

    def _caller(self, raw: Document) -> str:
        """Mostly one who may call, sometimes another or nobody."""
        allowed = [
            role for role in ROLES if role in raw["x-access"] or raw["x-access"][0] in ("PUBLIC", "AUTHENTICATED")
        ]
        if allowed and self._random.random() < 0.9:
            return self._random.choice(allowed)
        return self._random.choice([*ROLES, NOBODY])

    def _judge(self, raw: Document, answer: Any) -> str:
        """What is wrong with an answer; empty when nothing is."""
        status = answer.status_code
        if status in _GOES_ON and str(status) in raw["responses"]:
            pass
        elif status >= 500:
            return f"status {status}"
        response = raw["responses"].get(str(status))
        if response is None:
            return f"undocumented status {status} ({_reason(answer)})"
        response = self._resolved(response)
        if "x-request-id" not in answer.headers and status not in (400, 404, 405, 413, 415, 431):
            return f"status {status} without x-request-id"
        kinds = response.get("content", {})
        kind = answer.headers.get("content-type", [""])[0].partition(";")[0]
        if kind not in kinds:
            return f"content type {kind!r} of status {status}"
        content = _json(answer)
        if status != 200:
            reason = _reason(answer)
            if not reason:
                return f"status {status} without a reason"
            if reason not in response["x-reasons"]:
                return f"undocumented reason {reason} of status {status}"
        return self._shape(kinds[kind]["schema"]["$ref"], content)

    def _shape(self, reference: str, content: Any) -> str:
        shape = self._shapes.get(reference)
        if shape is None:
            whole = {"$ref": reference, "components": self._document["components"]}
            shape = self._shapes[reference] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        for error in shape.iter_errors(content):
            path = ".".join("[]" if isinstance(step, int) else str(step) for step in error.instance_path)
            return f"answer breaks its schema at {path}: {error.message}"
        return ""

    def _resolved(self, response: Document) -> Document:
        reference = response.get("$ref")
        if reference is None:
            return response
        found: Document = self._document["components"]["responses"][reference.rpartition("/")[2]]
        return found

    def _learn(self, content: Any) -> None:
        if isinstance(content, dict) and "quoteToken" in content and "total" in content:
            self._totals = [content["total"]]
        for name, value in _leaves(content):
            if _is_handle(name) and value and value not in self._people.kept:
                known = self._known.setdefault(_common_name(name), [])
                if value not in known:
                    known.append(value)
                    del known[:-_MOST_KNOWN]

    def _likely(self, content: Any, name: str = "") -> Any:
        """The same with what is known in the place of most ids, etags and tokens, and with texts that people write."""
        if isinstance(content, dict) and not (name == "expectedTotal" and self._totals):
            return {key: self._likely(value, key) for key, value in content.items()}
        if isinstance(content, list):
            return [self._likely(value, name) for value in content]
        if self._random.random() < 0.1:
            return content
        if name == "expectedTotal" and self._totals:
            return self._random.choice(self._totals)
        if name in SAMPLES:
            return self._random.choice(SAMPLES[name])
        if not isinstance(content, str):
            return content
        known = self._known.get(_common_name(name)) if _is_handle(name) else None
        if known:
            return self._random.choice(known)
        return "".join(letter for letter in content if letter.isprintable()).strip() or "A text"


def _closed(document: Document) -> dict[str, Any]:
    """The document for making calls up: requests have no fields but those that it names."""
    components = {name: dict(part) for name, part in document["components"].items()}
    for name, schema in components["schemas"].items():
        if "properties" in schema:
            components["schemas"][name] = {**schema, "additionalProperties": False}
    return {**document, "components": components}


def _answers_json(raw: Document) -> bool:
    return "application/json" in raw["responses"]["200"]["content"]


def _is_handle(name: str) -> bool:
    return name.endswith(("Id", "Ids", "etag", "Etag", "Token", "slug", "handle", "sku", "skus"))


def _common_name(name: str) -> str:
    """One name for what is one: buyerId, ownerUserId and userIds are users."""
    name = name.removesuffix("s")
    if name in ("buyerId", "ownerUserId", "courierUserId", "accountId"):
        return "userId"
    if name == "nextPageToken":
        return "pageToken"
    return name[:1].lower() + name[1:]


def _leaves(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _leaves(value, key)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value, name)
    elif isinstance(content, str):
        yield name, content


def _json(answer: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _reason(answer: Any) -> str:
    content = _json(answer)
    details = content.get("details", []) if isinstance(content, dict) else []
    return next((str(each["reason"]) for each in details if isinstance(each, dict) and "reason" in each), "")


def _can_be_sent(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
