"""UserService: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.auth.v1 import user_service_pb2_grpc

from marketd.auth import convert, service
from marketd.auth.accounts import convert as user_convert
from marketd.auth.accounts import users
from marketd.auth.accounts.repository import AccountRow
from marketd.auth.addresses import book
from marketd.auth.addresses.repository import SavedAddress
from marketd.auth.letters import Letters
from marketd.auth.ports import AccountHolder
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import parse_id

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class UserServicer(user_service_pb2_grpc.UserServiceServicer):
    """marketplace.auth.v1.UserService. `holders` know of what keeps an account from being deleted."""

    def __init__(self, *, tx: Transactor, pager: Pager, letters: Letters, holders: Collection[AccountHolder]) -> None:
        self._tx = tx
        self._pager = pager
        self._letters = letters
        self._holders = holders

    # -- accounts

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """Gets an account."""
        caller = calls.current_caller()
        user_id = _user_id(request.user_id, caller)
        account = await self._tx.read(lambda unit: service.read_account(unit, caller, user_id))
        return pb.GetUserResponse(user=convert.to_user(account))

    async def BatchGetUsers(self, request: pb.BatchGetUsersRequest, context: Context) -> pb.BatchGetUsersResponse:
        """Gets several accounts."""
        user_ids = [parse_id(user_id) for user_id in request.user_ids]
        found = await self._tx.read(lambda unit: users.read_users(unit, user_ids))
        return pb.BatchGetUsersResponse(users=[convert.to_user(account) for account in found])

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        """Changes the caller's account."""
        caller = calls.current_caller()
        change = user_convert.from_update_user(request, _user_id(request.user.user_id, caller))
        account = await self._tx.run("user.update", lambda uow: users.update_user(uow, caller, change, self._letters))
        return pb.UpdateUserResponse(user=convert.to_user(account))

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:
        """Deletes the caller's account."""
        caller = calls.current_caller()
        user_id = _user_id(request.user_id, caller)
        await self._tx.run(
            "user.delete", lambda uow: users.delete_user(uow, caller, user_id, request.etag, self._holders)
        )
        return pb.DeleteUserResponse()

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """Lists accounts."""
        caller = calls.current_caller()
        wanted = user_convert.from_list_users(request)
        page = await self._pager.list(
            request,
            caller,
            lambda unit, before, limit: users.list_users(unit, wanted, before, limit),
            lambda account: account.user_id,
            convert.to_user,
        )
        return pb.ListUsersResponse(users=page.items, next_page_token=page.next_page_token)

    async def SetUserRoles(self, request: pb.SetUserRolesRequest, context: Context) -> pb.SetUserRolesResponse:
        """Sets the roles of an account."""
        caller = calls.current_caller()
        change = user_convert.from_set_user_roles(request)

        def render(account: AccountRow) -> pb.SetUserRolesResponse:
            return pb.SetUserRolesResponse(user=convert.to_user(account))

        return await self._tx.answer("user.set_roles", lambda uow: users.set_roles(uow, caller, change), render)

    async def BlockUser(self, request: pb.BlockUserRequest, context: Context) -> pb.BlockUserResponse:
        """Blocks an account."""
        caller, user_id = calls.current_caller(), parse_id(request.user_id)
        account = await self._tx.run(
            "user.block", lambda uow: users.block_user(uow, caller, user_id, request.reason, self._letters)
        )
        return pb.BlockUserResponse(user=convert.to_user(account))

    async def UnblockUser(self, request: pb.UnblockUserRequest, context: Context) -> pb.UnblockUserResponse:
        """Lets an account sign in again."""
        caller, user_id = calls.current_caller(), parse_id(request.user_id)
        account = await self._tx.run(
            "user.unblock", lambda uow: users.unblock_user(uow, caller, user_id, request.reason)
        )
        return pb.UnblockUserResponse(user=convert.to_user(account))

    # -- addresses

    async def CreateAddress(self, request: pb.CreateAddressRequest, context: Context) -> pb.CreateAddressResponse:
        """Saves an address."""
        caller = calls.current_caller()
        new = user_convert.from_create_address(request)

        def render(saved: SavedAddress) -> pb.CreateAddressResponse:
            return pb.CreateAddressResponse(address=user_convert.to_saved_address(saved))

        return await self._tx.answer("address.create", lambda uow: book.create_address(uow, caller, new), render)

    async def GetAddress(self, request: pb.GetAddressRequest, context: Context) -> pb.GetAddressResponse:
        """Gets an address."""
        caller, address_id = calls.current_caller(), parse_id(request.address_id)
        saved = await self._tx.read(lambda unit: book.get_address(unit, caller, address_id))
        return pb.GetAddressResponse(address=user_convert.to_saved_address(saved))

    async def ListAddresses(self, request: pb.ListAddressesRequest, context: Context) -> pb.ListAddressesResponse:
        """Lists addresses."""
        caller = calls.current_caller()
        page = await self._pager.list(
            request,
            caller,
            lambda unit, before, limit: book.list_addresses(unit, caller, before, limit),
            lambda saved: saved.address_id,
            user_convert.to_saved_address,
        )
        return pb.ListAddressesResponse(addresses=page.items, next_page_token=page.next_page_token)

    async def UpdateAddress(self, request: pb.UpdateAddressRequest, context: Context) -> pb.UpdateAddressResponse:
        """Changes an address."""
        caller, change = calls.current_caller(), user_convert.from_update_address(request)
        saved = await self._tx.run("address.update", lambda uow: book.update_address(uow, caller, change))
        return pb.UpdateAddressResponse(address=user_convert.to_saved_address(saved))

    async def DeleteAddress(self, request: pb.DeleteAddressRequest, context: Context) -> pb.DeleteAddressResponse:
        """Deletes an address."""
        caller, address_id = calls.current_caller(), parse_id(request.address_id)
        await self._tx.run("address.delete", lambda uow: book.delete_address(uow, caller, address_id))
        return pb.DeleteAddressResponse()

    async def SetDefaultAddress(
        self, request: pb.SetDefaultAddressRequest, context: Context
    ) -> pb.SetDefaultAddressResponse:
        """Makes an address the default."""
        caller, address_id = calls.current_caller(), parse_id(request.address_id)
        saved = await self._tx.run("address.set_default", lambda uow: book.set_default_address(uow, caller, address_id))
        return pb.SetDefaultAddressResponse(address=user_convert.to_saved_address(saved))


def _user_id(text: str, caller: Caller) -> UUID:
    return caller.known_user_id if text in ("", "me") else parse_id(text)
