"""UserService: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.auth.v1 import user_service_pb2_grpc

from marketd.auth import service
from marketd.auth.accounts import block, convert, find, roles, update
from marketd.auth.accounts.delete import Deleting
from marketd.auth.addresses import book
from marketd.auth.addresses import convert as address_convert
from marketd.auth.convert import from_proof
from marketd.auth.letters import Letters
from marketd.auth.ports import AccessEnded
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import Pager, parse_order
from marketd.kernel.db.transactor import Transactor

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class UserServicer(user_service_pb2_grpc.UserServiceServicer):
    """marketplace.auth.v1.UserService. `access_ended` see to what an account ran and can run no more."""

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        letters: Letters,
        deleting: Deleting,
        access_ended: Collection[AccessEnded],
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._letters = letters
        self._deleting = deleting
        self._access_ended = access_ended

    # -- accounts

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        caller = calls.current_caller()
        user_id = _user_id(request.user_id, caller)
        account = await self._tx.read(lambda unit: find.get_user(unit, caller, user_id))
        return pb.GetUserResponse(user=convert.to_user(account))

    async def BatchGetUsers(self, request: pb.BatchGetUsersRequest, context: Context) -> pb.BatchGetUsersResponse:
        user_ids = [UUID(user_id) for user_id in request.user_ids]
        found = await self._tx.read(lambda unit: find.read_users(unit, user_ids))
        return pb.BatchGetUsersResponse(users=[convert.to_user(account) for account in found])

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        caller = calls.current_caller()
        change = convert.from_update_user(request, _user_id(request.user.user_id, caller))
        return await self._tx.answer(
            "user.update",
            lambda uow: update.update_user(uow, caller, change),
            lambda account: pb.UpdateUserResponse(user=convert.to_user(account)),
        )

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:
        caller = calls.current_caller()
        user_id = _user_id(request.user_id, caller)
        await self._deleting.delete(
            caller, user_id, request.etag, from_proof(request), allow_missing=request.allow_missing
        )
        return pb.DeleteUserResponse()

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        caller = calls.current_caller()
        wanted = convert.from_list_users(request)
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: find.list_users(unit, wanted, after, limit),
            lambda account: account.email if wanted.order == "email" else account.user_id,
            convert.to_user,
        )
        return pb.ListUsersResponse(users=page.items, next_page_token=page.next_page_token)

    async def SetUserRoles(self, request: pb.SetUserRolesRequest, context: Context) -> pb.SetUserRolesResponse:
        caller, change = calls.current_caller(), convert.from_set_user_roles(request)
        return await self._tx.answer(
            "user.set_roles",
            lambda uow: roles.set_roles(uow, caller, change, self._access_ended),
            lambda account: pb.SetUserRolesResponse(user=convert.to_user(account)),
        )

    async def BlockUser(self, request: pb.BlockUserRequest, context: Context) -> pb.BlockUserResponse:
        caller, wanted = calls.current_caller(), convert.from_block_user(request)
        return await self._tx.answer(
            "user.block",
            lambda uow: block.block_user(uow, caller, wanted, self._letters, self._access_ended),
            lambda account: pb.BlockUserResponse(user=convert.to_user(account)),
        )

    async def UnblockUser(self, request: pb.UnblockUserRequest, context: Context) -> pb.UnblockUserResponse:
        caller, wanted = calls.current_caller(), convert.from_block_user(request)
        return await self._tx.answer(
            "user.unblock",
            lambda uow: block.unblock_user(uow, caller, wanted),
            lambda account: pb.UnblockUserResponse(user=convert.to_user(account)),
        )

    # -- addresses

    async def CreateAddress(self, request: pb.CreateAddressRequest, context: Context) -> pb.CreateAddressResponse:
        caller, new = calls.current_caller(), address_convert.from_create_address(request)
        return await self._tx.answer(
            "address.create",
            lambda uow: book.create_address(uow, caller, new),
            lambda saved: pb.CreateAddressResponse(address=address_convert.to_saved_address(saved)),
        )

    async def GetAddress(self, request: pb.GetAddressRequest, context: Context) -> pb.GetAddressResponse:
        caller, address_id = calls.current_caller(), UUID(request.address_id)
        saved = await self._tx.read(lambda unit: service.get_address(unit, caller, address_id))
        return pb.GetAddressResponse(address=address_convert.to_saved_address(saved))

    async def ListAddresses(self, request: pb.ListAddressesRequest, context: Context) -> pb.ListAddressesResponse:
        caller = calls.current_caller()
        _, descending = parse_order(request.order_by, ("create_time",), "create_time desc")
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: book.list_addresses(unit, caller, after, limit, descending=descending),
            lambda saved: saved.address_id,
            address_convert.to_saved_address,
        )
        return pb.ListAddressesResponse(addresses=page.items, next_page_token=page.next_page_token)

    async def UpdateAddress(self, request: pb.UpdateAddressRequest, context: Context) -> pb.UpdateAddressResponse:
        caller, change = calls.current_caller(), address_convert.from_update_address(request)
        return await self._tx.answer(
            "address.update",
            lambda uow: book.update_address(uow, caller, change),
            lambda saved: pb.UpdateAddressResponse(address=address_convert.to_saved_address(saved)),
        )

    async def DeleteAddress(self, request: pb.DeleteAddressRequest, context: Context) -> pb.DeleteAddressResponse:
        caller, address_id = calls.current_caller(), UUID(request.address_id)
        return await self._tx.answer(
            "address.delete",
            lambda uow: book.delete_address(uow, caller, address_id, request.etag, allow_missing=request.allow_missing),
            lambda _: pb.DeleteAddressResponse(),
        )

    async def SetDefaultAddress(
        self, request: pb.SetDefaultAddressRequest, context: Context
    ) -> pb.SetDefaultAddressResponse:
        caller, address_id = calls.current_caller(), UUID(request.address_id)
        return await self._tx.answer(
            "address.set_default",
            lambda uow: book.set_default_address(uow, caller, address_id, request.etag),
            lambda saved: pb.SetDefaultAddressResponse(address=address_convert.to_saved_address(saved)),
        )


def _user_id(text: str, caller: Caller) -> UUID:
    return caller.known_user_id if text == "me" else UUID(text)
