"""What was agreed for every rpc and field (tests/contract/policy.txt and fields.txt), and what the protos say.

The two files are written by hand and reviewed; nothing makes them. Tests that need to know what a method may do ask
them, and not the rule that the server works by: a rule that was changed by mistake would be right by definition.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.protobuf.message import Message
from marketd.transport.rules import Kind
from marketplace.policy.v1 import policy_pb2
from marketplace.type.v1 import rules_pb2

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "tests" / "contract" / "policy.txt"
FIELDS = ROOT / "tests" / "contract" / "fields.txt"
NOTHING = "-"
OURS = "marketplace."
# The forms of texts that rules_pb2 declares are known by their names once it is imported.
assert rules_pb2.slug.full_name == "marketplace.type.v1.slug"


@dataclass(frozen=True)
class Agreed:
    """One rpc's line of policy.txt, word by word; `-` stands for nothing."""

    kind: str
    who: str
    request_id: str
    audit: str
    rate_class: str
    stability: str
    seconds: str
    bytes: str
    http: str

    @property
    def is_audited(self) -> bool:
        """Whether each call leaves an audit entry."""
        return self.audit == "audit"

    @property
    def access(self) -> list[str]:
        """PUBLIC, AUTHENTICATED or the roles."""
        return self.who.split(",")

    @property
    def idempotency(self) -> str:
        """The contract's word for what the method does with a `request_id`."""
        return {"optional": "KEY_OPTIONAL", "required": "KEY_REQUIRED"}.get(self.request_id, "NONE")

    @property
    def declared(self) -> tuple[str, ...]:
        """What a proto says: all but the server's own limits."""
        return (*astuple(self)[:6], self.http)


def _sections(path: Path) -> Iterator[tuple[str, str]]:
    """(name of the section, line) of each line that says something."""
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        elif line.strip() and not line.startswith("#"):
            yield section, line.strip()


@cache
def agreed() -> Mapping[str, Agreed]:
    """The lines of policy.txt by the method's path, such as `/marketplace.order.v1.OrderService/PlaceOrder`."""
    found: dict[str, Agreed] = {}
    for service, line in _sections(POLICY):
        name, *words = re.split(r"  +", line)
        assert len(words) == len(Agreed.__dataclass_fields__), line
        assert f"/{service}/{name}" not in found, line
        found[f"/{service}/{name}"] = Agreed(*words)
    return found


@cache
def agreed_fields() -> Mapping[str, str]:
    """The lines of fields.txt by the field's full name, blanks made single; those of a message stand at its name."""
    found: dict[str, str] = {}
    for message, line in _sections(FIELDS):
        name, _, rest = line.partition(" ")
        where = message if name == "*" else f"{message}.{name}"
        assert where not in found, line
        found[where] = " ".join(rest.split())
    return found


@cache
def _built() -> FileDescriptorSet:
    """The protos as they are now, not as the stubs have them."""
    command = ["buf", "build", "protos", "--as-file-descriptor-set", "-o", "-"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    return FileDescriptorSet.FromString(
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True).stdout
    )


def declared() -> Mapping[str, tuple[str, ...]]:
    """What the protos say of each rpc, as Agreed.declared has it."""
    return {
        f"/{file.package}.{service.name}/{method.name}": _of_method(method)
        for file in _built().file
        if file.package.startswith(OURS)
        for service in file.service
        for method in service.method
    }


def _of_method(method: MethodDescriptorProto) -> tuple[str, ...]:
    rule = method.options.Extensions[policy_pb2.rule]
    access = rule.WhichOneof("access")
    roles = sorted(policy_pb2.Role.Name(role).removeprefix("ROLE_") for role in rule.roles.any_of)
    idempotency = policy_pb2.Idempotency.Name(rule.idempotency).removeprefix("IDEMPOTENCY_")
    request_id = {"KEY_OPTIONAL": "optional", "KEY_REQUIRED": "required"}.get(idempotency, idempotency)
    if idempotency == "NONE":
        request_id = "unrepeatable" if rule.unrepeatable else NOTHING
    stability = policy_pb2.Stability.Name(rule.stability).removeprefix("STABILITY_")
    http = method.options.Extensions[annotations_pb2.http]
    return (
        str(Kind.of(client_streams=method.client_streaming, server_streams=method.server_streaming)),
        ",".join(roles) if access == "roles" else str(access).upper(),
        request_id,
        "audit" if rule.audit else NOTHING,
        policy_pb2.RateClass.Name(rule.rate_class).removeprefix("RATE_CLASS_"),
        stability + (f">{rule.replacement}" if rule.replacement or method.options.deprecated else ""),
        " + ".join(_ways(http)) or NOTHING,
    )


def _ways(http: Any) -> Iterator[str]:
    for way in (http, *http.additional_bindings):
        verb = way.WhichOneof("pattern")
        if verb is not None:
            yield " ".join(filter(None, (verb.upper(), getattr(way, verb), way.body)))


def declared_fields() -> Mapping[str, str]:
    """What the protos say of each field and message with rules, as agreed_fields has it."""
    found: dict[str, str] = {}
    for file in _built().file:
        if file.package.startswith(OURS):
            for message in file.message_type:
                found.update(_of_message(message, f"{file.package}.{message.name}"))
    return found


def _of_message(message: DescriptorProto, name: str) -> Iterator[tuple[str, str]]:
    if rules := " ".join(_said(message.options.Extensions[validate_pb2.message])):
        yield name, rules
    maps = {f".{name}.{inner.name}": inner for inner in message.nested_type if inner.options.map_entry}
    for field in message.field:
        choice = ""
        if field.HasField("oneof_index") and not field.proto3_optional:
            oneof = message.oneof_decl[field.oneof_index]
            required = oneof.options.Extensions[validate_pb2.oneof].required
            choice = f"oneof({oneof.name}{' required' if required else ''})"
        behaviours = sorted(
            field_behavior_pb2.FieldBehavior.Name(each)
            for each in field.options.Extensions[field_behavior_pb2.field_behavior]
        )
        deprecated = "deprecated" if field.options.deprecated else ""
        said = _said(field.options.Extensions[validate_pb2.field])
        words = (f"#{field.number}", _type_of(field, maps), choice, *behaviours, deprecated, *said)
        yield f"{name}.{field.name}", " ".join(filter(None, words))
    for inner in message.nested_type:
        if not inner.options.map_entry:
            yield from _of_message(inner, f"{name}.{inner.name}")


def _type_of(field: FieldDescriptorProto, maps: Mapping[str, DescriptorProto]) -> str:
    if field.type_name in maps:
        key, value = maps[field.type_name].field
        return f"map({_type_of(key, {})},{_type_of(value, {})})"
    # Without the package: what is ours has names of its own.
    one = field.type_name.rpartition(".")[2] or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"{one}[]"
    return f"{one}?" if field.proto3_optional else one


def _said(rules: Message, at: str = "") -> Iterator[str]:
    """Each rule as `string.max_len=64`, a thing that simply holds as `string.uuid`; texts are in quotes."""
    fields: Any = rules.ListFields()
    for field, value in fields:
        name = at + (f"({field.name})" if field.is_extension else field.name)
        many = value if field.is_repeated else [value]
        if field.message_type is not None:
            for one in many:
                yield from _said(one, f"{name}.")
        elif name == "ignore":
            yield field.enum_type.values_by_number[value].name
        elif value is True:
            yield name
        else:
            yield f"{name}={','.join(json.dumps(one, ensure_ascii=False) for one in many)}"


def beyond(message: Message) -> list[str]:
    """The fields of a request with more in them than was agreed: longer texts and lists, numbers out of bounds."""
    found = []
    fields: Any = message.ListFields()
    for field, value in fields:
        words = agreed_fields().get(field.full_name, "").split(" ")
        bounds = dict(word.split("=", 1) for word in words if word.count("=") == 1)
        if "OUTPUT_ONLY" in words:
            continue
        most = [bounds.get(f"{kind}.max_len") for kind in ("string", "bytes")] + [bounds.get("repeated.max_items")]
        high = [bounds.get(f"{kind}.lte") for kind in ("int32", "int64", "double")]
        low = [bounds.get(f"{kind}.gte") for kind in ("int32", "int64", "double")]
        if (
            any(len(value) > int(bound) for bound in most if bound)
            or any(value > float(bound) for bound in high if bound)
            or any(value < float(bound) for bound in low if bound)
        ):
            found.append(field.full_name)
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in value if field.is_repeated else [value]:
                found += beyond(one)
    return found


def differences(written: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    """Each line that is not alike: what was agreed (-) and what is (+)."""
    lines: list[str] = []
    for name in sorted(written.keys() | found.keys()):
        if written.get(name) != found.get(name):
            lines += [f"- {name}  {_shown(written[name])}"] if name in written else []
            lines += [f"+ {name}  {_shown(found[name])}"] if name in found else []
    return lines


def _shown(words: object) -> str:
    return "  ".join(map(str, words)) if isinstance(words, tuple) else str(words)
