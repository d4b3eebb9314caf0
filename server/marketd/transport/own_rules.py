"""Transport's own table: the rules of health, reflection and channelz, whose protos are not ours to annotate."""

from __future__ import annotations

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from marketd.kernel.call.caller import Role
from marketd.transport.rules import Access, Idempotency, Kind, Open, RateClass, Rule

HEALTH = "grpc.health.v1.Health"
REFLECTION = ("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection")
CHANNELZ = "grpc.channelz.v1.Channelz"


def own_rules() -> dict[str, Rule]:
    """The rule of every method of the three services, by path."""
    find = descriptor_pool.Default().FindServiceByName
    health = find(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    # Both names take the v1alpha messages: the two versions are the same on the wire, field by field.
    reflection = find(reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name)
    channelz = find(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
    rules = [
        *_rules(health, HEALTH, Open.PUBLIC, vital=True),
        *(rule for name in REFLECTION for rule in _rules(reflection, name, Open.PUBLIC)),
        # Channelz shows the addresses of everybody who is connected, so it is for administrators.
        *_rules(channelz, CHANNELZ, frozenset({Role.ADMIN}), RateClass.ADMIN),
    ]
    return {rule.method: rule for rule in rules}


def _rules(
    service: ServiceDescriptor,
    name: str,
    access: Access,
    rate_class: RateClass = RateClass.READ,
    *,
    vital: bool = False,
) -> list[Rule]:
    rules = []
    for method in service.methods:
        kind = Kind.of(client_streams=method.client_streaming, server_streams=method.server_streaming)
        rules.append(
            Rule(
                method=f"/{name}/{method.name}",
                access=access,
                idempotency=Idempotency.NONE,
                rate_class=rate_class if kind is Kind.UNARY else RateClass.STREAM,
                audit=False,
                kind=kind,
                request=GetMessageClass(method.input_type),
                response=GetMessageClass(method.output_type),
                vital=vital,
            )
        )
    return rules
