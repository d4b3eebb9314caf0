"""Every rpc that writes to accounts, and what keeps whoever holds a stolen access token from taking one over by it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Guard(StrEnum):
    """Why an account stays its owner's."""

    HARMLESS = "cannot change whose the account is"
    PROOF = "asks for what a stolen token does not hold: a password, a code, a token out of a letter"
    WAY_BACK = "can be taken back by the owner, or by an admin"


H, P, W = Guard.HARMLESS, Guard.PROOF, Guard.WAY_BACK

GUARDS: Final[Mapping[str, Mapping[str, Guard]]] = {
    "marketplace.auth.v1.AuthService": {
        "Register": H,  # an account of its own
        "Login": P,
        "RefreshTokens": P,
        "Logout": W,  # the owner signs in again
        "LogoutAll": W,
        "RevokeSession": W,
        "SendVerification": H,  # to what the account has
        "Verify": P,
        "ChangeEmail": P,
        "UndoEmailChange": P,
        "ChangePhone": P,
        "RequestPasswordReset": H,  # to the owner
        "ResetPassword": P,
        "ChangePassword": P,
        "EnrollTotp": P,
        "ConfirmTotp": P,  # of a secret that only EnrollTotp tells
        "DisableTotp": P,
        "IssueServiceToken": P,
        "CreateServiceAccount": W,  # admins only: RevokeServiceAccount
        "RevokeServiceAccount": H,  # a service's
    },
    "marketplace.auth.v1.UserService": {
        "UpdateUser": W,  # what is not verified, and names: a username is kept for its account for a while
        "DeleteUser": P,
        "CreateAddress": W,
        "UpdateAddress": W,
        "DeleteAddress": W,
        "SetDefaultAddress": W,
        "SetUserRoles": W,  # admins only: another one sets them again
        "BlockUser": W,  # admins only: UnblockUser
        "UnblockUser": W,
    },
}
"""By service and method."""

FUNCTIONS: Final[Mapping[str, Guard]] = {
    "grant_role": W,  # admins only: SetUserRoles
    "revoke_role": W,
    "lock_profile": H,  # they lock, and write nothing
    "hold_active": H,
}
"""What other slices call in marketd.auth.service that writes to accounts."""
