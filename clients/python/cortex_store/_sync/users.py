"""Generated from _aio/users.py by tools/generate.py: change that file."""

from __future__ import annotations

from typing import Any, Iterator, Optional

from .._core.errors import CortexError
from .._core.jsontext import object_to_json
from .._core.methods import UsersRpc
from .._core.records import DeleteUserResult, User, UserListResult, user
from .._core.validate import flag, optional_text, user_id_text, whole
from .._gen.cortex.users.v1 import users_pb2
from .transport import Transport


def _profile_json(profile: Optional[dict[str, Any]]) -> Optional[str]:
    return None if profile is None else object_to_json(profile, "profile")


def exported_lines(transport: Transport, method: Any, request: Any, timeout: Optional[float]) -> Iterator[str]:
    """The lines of an export. One that breaks after its first line fails: the lines after the break are not
    known."""
    has_begun = False

    def once() -> Any:
        if has_begun:
            raise CortexError("UNKNOWN", "the export was cut off: begin it again")
        return request

    for message in transport.messages(method, once, timeout):
        for line in message.lines:
            has_begun = True
            yield line


class Users:
    """The users of the tenant. Every method raises CortexError. Codes that any method may raise are
    INVALID_USER_ID, INVALID_OPTIONS, UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, and others that the proto
    of Users names."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        id: str,
        profile: Optional[dict[str, Any]] = None,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> User:
        """Creates a user.

        :param id: 1 to 256 bytes of UTF-8, unique in the tenant.
        :param profile: any JSON object up to 64 KiB. None: ``{}``.

        Raises USER_EXISTS, INVALID_METADATA.
        """
        request = users_pb2.CreateRequest(id=user_id_text(id, "id"), profile_json=_profile_json(profile))
        reply = self._transport.write(UsersRpc.create, request, request_id=request_id, timeout=timeout)
        return user(reply.user)

    def upsert(
        self,
        id: str,
        profile: Optional[dict[str, Any]] = None,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> User:
        """Creates a user. If the user exists and a profile is given, replaces the profile."""
        request = users_pb2.UpsertRequest(id=user_id_text(id, "id"), profile_json=_profile_json(profile))
        reply = self._transport.write(UsersRpc.upsert, request, request_id=request_id, timeout=timeout)
        return user(reply.user)

    def update(
        self,
        id: str,
        profile: dict[str, Any],
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> User:
        """Replaces the profile of a user. Raises USER_NOT_FOUND, INVALID_METADATA."""
        request = users_pb2.UpdateRequest(id=user_id_text(id, "id"), profile_json=object_to_json(profile, "profile"))
        reply = self._transport.write(UsersRpc.update, request, request_id=request_id, timeout=timeout)
        return user(reply.user)

    def get(self, id: str, *, timeout: Optional[float] = None) -> Optional[User]:
        """Reads a user; None if no user has the id."""
        request = users_pb2.GetRequest(id=user_id_text(id, "id"))
        reply = self._transport.unary(UsersRpc.get, request, timeout)
        return user(reply.user) if reply.HasField("user") else None

    def list(
        self,
        *,
        id_prefix: Optional[str] = None,
        limit: int = 100,
        offset: int = 0,
        timeout: Optional[float] = None,
    ) -> UserListResult:
        """Lists users by id.

        :param id_prefix: only ids that begin with this text.
        :param limit: 1 to 1000.

        Raises INVALID_FILTER, INVALID_LIMIT, INVALID_OFFSET.
        """
        request = users_pb2.ListRequest(
            id_prefix=optional_text(id_prefix, "id_prefix", "INVALID_FILTER"),
            limit=whole(limit, "limit", "INVALID_LIMIT"),
            offset=whole(offset, "offset", "INVALID_OFFSET"),
        )
        page = self._transport.unary(UsersRpc.list, request, timeout)
        records = [user(one) for one in page.users]
        request.ClearField("offset")
        while page.has_more and len(records) < limit:  # a page may end before the limit if profiles are large
            request.limit = limit - len(records)
            request.page_token = page.next_page_token
            page = self._transport.unary(UsersRpc.list, request, timeout)
            records.extend(user(one) for one in page.users)
        return UserListResult(records, page.total, limit, offset, page.has_more)

    def delete(
        self,
        id: str,
        *,
        cascade: bool = False,
        dry_run: bool = False,
        verify: Optional[bool] = None,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> DeleteUserResult:
        """Erases a user. If the server asks for credentials, the call needs the permission ``admin``.

        :param cascade: if True, everything that is linked to the user is erased too, in one transaction:
            entries, versions (old ones too), claims, entries of streams, access statistics, stored replies.
            Else linked data is USER_HAS_DATA.
        :param dry_run: if True, it only counts.
        :param verify: if True, it checks in the same transaction that nothing is left. Default: unless it is
            a dry_run.

        Raises USER_HAS_DATA, INVALID_OPTIONS if both ``verify`` and ``dry_run`` are True.

        >>> cortex.users.delete("user-123", cascade=True)
        """
        request = users_pb2.DeleteRequest(
            id=user_id_text(id, "id"),
            cascade=flag(cascade, "cascade"),
            dry_run=flag(dry_run, "dry_run"),
            verify=not dry_run if verify is None else flag(verify, "verify"),
        )
        reply = self._transport.write(UsersRpc.delete, request, request_id=request_id, timeout=timeout)
        return DeleteUserResult(
            deleted=reply.deleted and not reply.dry_run,
            would_delete=reply.deleted and reply.dry_run,
            user_id=reply.user_id,
            counts=dict(reply.counts),
            total_deleted=reply.total_deleted,
            verified=reply.verified,
            dry_run=reply.dry_run,
        )

    def export(self, id: str, *, timeout: Optional[float] = None) -> Iterator[str]:
        """Gives everything that is linked to a user, to answer a data access request, in constant memory.
        Each item is one line of JSON, whose member ``kind`` says what it is. If the stream breaks after
        its first line, the export fails; begin it again. The call needs the permission ``admin`` if the
        server asks for credentials.

        Raises USER_NOT_FOUND.
        """
        request = users_pb2.ExportRequest(id=user_id_text(id, "id"))
        return exported_lines(self._transport, UsersRpc.export, request, timeout)
