"""The kernel's words for codes and reasons are the contract's."""

from __future__ import annotations

import grpc
from marketd.kernel.call.caller import Role
from marketd.kernel.call.reasons import Code, Reason
from marketplace.errors.v1.error_reason_pb2 import ErrorReason
from marketplace.policy.v1 import policy_pb2


def test_reasons_are_exactly_the_contracts() -> None:
    contract = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys() if not name.endswith("_UNSPECIFIED")}  # noqa: SIM118 - an enum wrapper, not a dict
    assert {reason.value for reason in Reason} == contract


def test_codes_are_grpcs() -> None:
    assert {code.value for code in Code} <= {code.name for code in grpc.StatusCode}


def test_roles_are_the_contracts() -> None:
    contract = {name.removeprefix("ROLE_") for name in policy_pb2.Role.keys() if not name.endswith("_UNSPECIFIED")}  # noqa: SIM118 - an enum wrapper, not a dict
    assert {role.value for role in Role} == contract
