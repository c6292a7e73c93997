"""The client of MutableStore: JSON values under namespace + key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Mapping, Optional, Sequence, TypeVar, Union, overload

from .._core.errors import CortexError, refused
from .._core.jsontext import parse, to_json
from .._core.messages import (
    batch_entries,
    mutable_filter,
    mutable_order,
    operations_of,
    page_fields,
    set_fields,
)
from .._core.methods import MutableRpc
from .._core.options import ClaimGuard
from .._core.records import (
    DeleteResult,
    MutableChange,
    MutableListResult,
    MutableRecord,
    NamespaceSummary,
    PurgeProgress,
    PurgeResult,
    TransactionResult,
    mutable_change,
    mutable_record,
)
from .._core.retry import Deadline
from .._core.validate import (
    UNSET,
    Unset,
    amount_text,
    flag,
    key_text,
    listed,
    namespace_text,
    optional_text,
    revision,
    seconds,
    timeout_of,
    to_datetime,
    whole,
)
from .._gen.cortex.mutable.v1 import mutable_pb2
from .io import check_callable, result_of
from .purges import run_purge
from .transactions import (
    AsyncTransaction,
    AsyncTransactionBlock,
    run_transaction,
    to_result,
    transaction_error,
)
from .transport import AsyncTransport
from .update import AsyncUpdates
from .watch import AsyncWatch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._core.messages import MutableFilters

T = TypeVar("T")

_SCAN_PAGE = 1000


class AsyncMutable:
    """Live shared JSON under namespace + key.

    Every method takes ``timeout``: the seconds until the call, its repeats included, fails with
    DEADLINE_EXCEEDED (default: the ``timeout`` of the client). Every write takes ``request_id`` (the server
    applies a write once per request id for 24 hours; default: a new one for each call) and ``claim`` (a claim
    that the caller must hold, else FENCE_STALE). Every method raises CortexError. Each names its own codes;
    those of any method are INVALID_NAMESPACE, INVALID_KEY, INVALID_OPTIONS, UNAVAILABLE,
    DATABASE_UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, and others that the proto of MutableStore names.

    Values are what ``json`` reads: dict, list, str, int, float, bool, None. A number that no float holds
    comes as a Decimal. A number that nobody touched is written back with the text that it had.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._updates = AsyncUpdates()

    async def set(
        self,
        namespace: str,
        key: str,
        value: Any,
        *,
        user_id: Optional[str] | Unset = UNSET,
        metadata: Optional[dict[str, Any]] | Unset = UNSET,
        ttl_seconds: Optional[float] = None,
        if_revision: Optional[str] = None,
        if_absent: bool = False,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> MutableRecord:
        """Stores a value, whether or not the key exists. Gives the record as stored.

        :param value: any JSON value up to 1 MiB.
        :param user_id: the user it belongs to; must exist. Not given: as it was. None: nobody.
        :param metadata: any JSON object up to 64 KiB. Not given: as it was. None: ``{}``.
        :param ttl_seconds: seconds until it expires: above 0, at most 100 years. None: an earlier expiry is
            removed.
        :param if_revision: store only if the entry is at this revision, else REVISION_MISMATCH.
        :param if_absent: store only if the key does not exist, else KEY_EXISTS.

        Raises INVALID_VALUE (with the path), VALUE_TOO_LARGE, VALUE_TOO_DEEP, INVALID_METADATA,
        INVALID_USER_ID, INVALID_TTL, USER_NOT_FOUND, KEY_EXISTS, REVISION_MISMATCH
        (``details["current_revision"]``).

        >>> await cortex.mutable.set("sessions", "s-1", {"step": 2}, user_id="user-123", ttl_seconds=3600)
        """
        request = mutable_pb2.SetRequest(
            namespace=namespace_text(namespace),
            key=key_text(key),
            if_revision=revision(if_revision),
            if_absent=flag(if_absent, "if_absent"),
            **set_fields(value, user_id, metadata, ttl_seconds),
        )
        reply = await self._transport.write(
            MutableRpc.set, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return mutable_record(reply.record)

    async def get(self, namespace: str, key: str, *, default: Any = None, timeout: Optional[float] = None) -> Any:
        """Reads a value and counts the access (``access_count``, ``last_accessed``). Gives ``default`` if the
        key does not exist.

        >>> quantity = await cortex.mutable.get("inventory", "widget-qty")
        """
        request = mutable_pb2.GetRequest(namespace=namespace_text(namespace), key=key_text(key))
        reply = await self._transport.unary(MutableRpc.get, request, timeout)
        return parse(reply.value_json) if reply.HasField("value_json") else default

    async def get_record(self, namespace: str, key: str, *, timeout: Optional[float] = None) -> Optional[MutableRecord]:
        """Reads a whole record without counting the access; None if the key does not exist."""
        request = mutable_pb2.GetRecordRequest(namespace=namespace_text(namespace), key=key_text(key))
        reply = await self._transport.unary(MutableRpc.get_record, request, timeout)
        return mutable_record(reply.record) if reply.HasField("record") else None

    async def exists(self, namespace: str, key: str, *, timeout: Optional[float] = None) -> bool:
        """True if the key exists. Counts no access."""
        request = mutable_pb2.ExistsRequest(namespace=namespace_text(namespace), key=key_text(key))
        return (await self._transport.unary(MutableRpc.exists, request, timeout)).exists

    async def update(
        self,
        namespace: str,
        key: str,
        updater: Callable[[Any], Any],
        *,
        create_if_missing: bool = False,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> MutableRecord:
        """Changes a value by a function, atomically. The result is stored only if nobody else wrote in
        between. Otherwise the function is called again with the new value; if others write first twice,
        under a lock. So it may run several times and must have no side effects. User, metadata and expiry
        stay.

        :param updater: gets the current value and returns the new one.
        :param create_if_missing: if True, a missing key is created: the function is called with None.

        Raises KEY_NOT_FOUND, UPDATE_FAILED (the function raised: its error is the ``cause``, and nothing was
        written), INVALID_UPDATER, INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP.

        >>> await cortex.mutable.update("inventory", "widget-qty", lambda n: n - 1)
        """
        check_callable(updater, "updater", "INVALID_UPDATER")
        flag(create_if_missing, "create_if_missing")
        transport = self._transport if claim is None else self._transport.guarded(claim)
        deadline = Deadline(timeout_of(timeout, transport.timeout))
        name = (namespace_text(namespace), key_text(key))

        return await self._updates.run(transport, name, updater, create_if_missing, deadline)

    async def increment(
        self,
        namespace: str,
        key: str,
        amount: Any = 1,
        *,
        create_if_missing: bool = False,
        if_revision: Optional[str] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> MutableRecord:
        """Adds to a number in the database, in exact decimal arithmetic: 0.1 + 0.2 is 0.3, and no concurrent
        increment is lost. Gives the record as stored.

        :param amount: an int, a float, a Decimal, or decimal text.

        Raises KEY_NOT_FOUND (unless create_if_missing, which starts from 0), VALUE_NOT_NUMERIC,
        INVALID_AMOUNT, NUMBER_OUT_OF_RANGE, REVISION_MISMATCH (if_revision).
        """
        operation = {"increment": mutable_pb2.Increment(amount=amount_text(amount))}
        return await self._change(namespace, key, operation, create_if_missing, if_revision, request_id, claim, timeout)

    async def decrement(
        self,
        namespace: str,
        key: str,
        amount: Any = 1,
        *,
        create_if_missing: bool = False,
        if_revision: Optional[str] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> MutableRecord:
        """Subtracts from a number in the database: see ``increment``."""
        operation = {"decrement": mutable_pb2.Decrement(amount=amount_text(amount))}
        return await self._change(namespace, key, operation, create_if_missing, if_revision, request_id, claim, timeout)

    async def append(
        self,
        namespace: str,
        key: str,
        element: Any,
        *,
        create_if_missing: bool = False,
        if_revision: Optional[str] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> MutableRecord:
        """Appends one element to a list in the database. Gives the record as stored.

        Raises KEY_NOT_FOUND (unless create_if_missing, which starts from ``[]``), VALUE_NOT_ARRAY,
        INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP, REVISION_MISMATCH (if_revision).
        """
        operation = {"append": mutable_pb2.Append(value_json=to_json(element, "element"))}
        return await self._change(namespace, key, operation, create_if_missing, if_revision, request_id, claim, timeout)

    async def merge(
        self,
        namespace: str,
        key: str,
        patch: Any,
        *,
        create_if_missing: bool = False,
        if_revision: Optional[str] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> MutableRecord:
        """Merges a patch into an object in the database, as JSON merge patch does (RFC 7396): members of the
        patch replace members of the object, also within nested objects, and None removes a member. Gives
        the record as stored.

        Raises KEY_NOT_FOUND (unless create_if_missing, which starts from ``{}``), INVALID_VALUE,
        VALUE_TOO_LARGE, VALUE_TOO_DEEP, REVISION_MISMATCH (if_revision).
        """
        operation = {"merge": mutable_pb2.Merge(patch_json=to_json(patch, "patch"))}
        return await self._change(namespace, key, operation, create_if_missing, if_revision, request_id, claim, timeout)

    async def _change(
        self,
        namespace: str,
        key: str,
        operation: dict[str, Any],
        create_if_missing: bool,
        if_revision: Optional[str],
        request_id: Optional[str],
        claim: Optional[ClaimGuard],
        timeout: Optional[float],
    ) -> MutableRecord:
        request = mutable_pb2.UpdateRequest(
            namespace=namespace_text(namespace),
            key=key_text(key),
            create_if_missing=flag(create_if_missing, "create_if_missing"),
            if_revision=revision(if_revision),
            **operation,
        )
        reply = await self._transport.write(
            MutableRpc.update, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return mutable_record(reply.record)

    async def delete(
        self,
        namespace: str,
        key: str,
        *,
        must_exist: bool = False,
        if_revision: Optional[str] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> DeleteResult:
        """Deletes a key. A missing key is ``deleted=False``, no error.

        Raises KEY_NOT_FOUND (must_exist), REVISION_MISMATCH (if_revision).
        """
        request = mutable_pb2.DeleteRequest(
            namespace=namespace_text(namespace),
            key=key_text(key),
            must_exist=flag(must_exist, "must_exist"),
            if_revision=revision(if_revision),
        )
        reply = await self._transport.write(
            MutableRpc.delete, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return DeleteResult(reply.deleted, namespace, key, to_datetime(reply.delete_time))

    async def purge(
        self,
        namespace: str,
        key: str,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> DeleteResult:
        """Deletes a key, as ``delete`` does."""
        return await self.delete(namespace, key, request_id=request_id, claim=claim, timeout=timeout)

    @overload
    def transaction(
        self, work: None = None, *, claim: Optional[ClaimGuard] = None, timeout: Optional[float] = None
    ) -> AsyncTransactionBlock: ...
    @overload
    async def transaction(
        self,
        work: Sequence[Mapping[str, Any]],
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> TransactionResult: ...
    @overload
    async def transaction(
        self,
        work: Callable[[AsyncTransaction], T],
        *,
        max_attempts: int = 10,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> Any: ...
    def transaction(
        self,
        work: Any = None,
        *,
        max_attempts: int = 10,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> Any:
        """Changes several keys atomically: all of them or none. It is serializable: nobody sees a part of it,
        and nothing that it read changes before it is committed.

        - With a function: it gets the transaction. The call gives what the function returns, or the results
          of the writes (``TransactionResult``) if the function returns None. The function may run up to
          ``max_attempts`` times (after a conflict or a lost connection), so it must have no side effects. If
          the function raises, nothing is written.
        - With a list of operations, each a dict ``{"op": …, "namespace": …, "key": …, …}``: ``set``,
          ``update``, ``increment``, ``decrement``, ``append``, ``merge``, ``expire``, ``touch``, ``delete``,
          ``store``, ``publish``, ``append_entry``. Each sees those before it.
        - Without either: a block, which is committed at its end. It runs once; if it raises, nothing is
          written and that error goes on.

        A transaction locks what it reads. It should be short: the server ends one that sends nothing for 5
        seconds, or lasts for 30.

        Raises TRANSACTION_FAILED: the function raised (its error is the ``cause``), an operation failed
        (``operation_index``, from 0, and ``details["reason"]``), or others were first in every attempt
        (reason CONFLICT). TRANSACTION_TIMEOUT. INVALID_OPERATIONS: the list is empty or malformed.

        >>> async with cortex.mutable.transaction() as tx:
        ...     if await tx.get("inventory", "a") < 10:
        ...         raise ValueError("not enough")
        ...     await tx.decrement("inventory", "a", 10)
        ...     await tx.increment("inventory", "b", 10)
        """
        guarded = self._transport if claim is None else self._transport.guarded(claim)
        deadline = Deadline(timeout_of(timeout, guarded.timeout))
        if isinstance(work, (list, tuple)):
            return self._transact_list(guarded, work, deadline, request_id)
        if request_id is not None:
            raise refused("INVALID_OPTIONS", "request_id", "goes only with a list of operations")
        if work is None:
            return AsyncTransactionBlock(guarded, deadline)
        if not callable(work):
            raise refused("INVALID_OPERATIONS", "work", "is neither a function nor a list of operations")
        if whole(max_attempts, "max_attempts", "INVALID_OPTIONS") < 1:
            raise refused("INVALID_OPTIONS", "max_attempts", "is not a whole number above 0")
        return run_transaction(guarded, work, deadline, max_attempts)

    async def _transact_list(
        self, transport: AsyncTransport, operations: Any, deadline: Deadline, request_id: Optional[str]
    ) -> TransactionResult:
        request = mutable_pb2.CommitRequest(operations=operations_of(operations))
        try:
            reply = await transport.write(MutableRpc.commit, request, request_id=request_id, timeout=deadline.seconds)
        except CortexError as error:
            raise transaction_error(error, deadline, True) from error.__cause__
        return to_result(reply.results)

    async def list(
        self,
        namespace: str,
        *,
        sort_by: str = "key",
        sort_order: str = "asc",
        limit: int = 100,
        offset: Optional[int] = None,
        page_token: Optional[str] = None,
        total: bool = True,
        timeout: Optional[float] = None,
        **filters: Unpack[MutableFilters],
    ) -> MutableListResult:
        """Lists one page of records. ``scan`` gives all records.

        :param filters: see ``MutableFilters``: ``key_prefix``, ``user_id``, ``updated_after``, …
        :param sort_by: ``key`` (bytewise), ``updated_at`` or ``access_count``.
        :param sort_order: ``asc`` or ``desc``.
        :param limit: 1 to 1000.
        :param offset: how many matches to skip. Not together with page_token.
        :param page_token: ``next_page_token`` of an earlier result of the same list. Every page costs the
            same.
        :param total: if True, the result has the exact number of matches. Counting has a cost.

        Raises INVALID_FILTER, INVALID_LIMIT, INVALID_OFFSET, INVALID_SORT, INVALID_PAGE_TOKEN,
        INVALID_USER_ID.
        """
        filter = mutable_filter(**filters)
        request = mutable_pb2.ListRequest(
            namespace=namespace_text(namespace),
            filter=filter,
            **mutable_order(sort_by, sort_order),
            **page_fields(limit, offset, page_token, total),
        )
        messages = await self._transport.collect(MutableRpc.list, request, timeout)
        last = messages[-1]
        return MutableListResult(
            records=[mutable_record(record) for message in messages for record in message.records],
            limit=limit,
            offset=offset or 0,
            has_more=last.has_more,
            total=last.total if last.HasField("total") else None,
            next_page_token=last.next_page_token or None,
        )

    async def scan(
        self,
        namespace: str,
        *,
        sort_by: str = "key",
        sort_order: str = "asc",
        timeout: Optional[float] = None,
        **filters: Unpack[MutableFilters],
    ) -> AsyncIterator[MutableRecord]:
        """Gives every record that matches, in constant memory. It is not one snapshot: a record that is
        written meanwhile may or may not come. ``timeout`` bounds the wait for each message of about 100
        records. If the connection breaks, the scan goes on where it was.

        >>> async for record in cortex.mutable.scan("inventory", key_prefix="store-15:"): ...
        """
        filter = mutable_filter(**filters)
        order = mutable_order(sort_by, sort_order)
        name = namespace_text(namespace)
        page_token = ""

        def page() -> mutable_pb2.ListRequest:
            return mutable_pb2.ListRequest(
                namespace=name, filter=filter, **order, page_token=page_token, limit=_SCAN_PAGE, total=False
            )

        while True:
            async for message in self._transport.messages(MutableRpc.list, page, timeout):
                for record in message.records:
                    yield mutable_record(record)
                page_token = message.next_page_token
                if page_token == "":
                    return  # the scan is complete: a failure from here on must not restart it

    def watch(
        self,
        namespace: str,
        *,
        key_prefix: Optional[str] = None,
        key: Optional[str] = None,
        cursor: Optional[str] = None,
        include_current: bool = False,
        on_progress: Optional[Callable[[str, bool], Any]] = None,
        timeout: Optional[float] = None,
    ) -> AsyncWatch[MutableChange]:
        """Gives the changes in a namespace as they are committed, from now on or after a cursor. It never
        ends by itself: leave the loop, or call ``close``. If the connection breaks or the server stops, it
        goes on where it was. For each key every change comes once, in the order of the revisions. What a
        transaction changed comes together.

        :param key: only this key. Not together with ``key_prefix``.
        :param cursor: goes on after this cursor, of a change or of ``on_progress``, from the same watch.
        :param include_current: if True, what exists comes first, as changes of the kind ``current``.
        :param on_progress: called as ``on_progress(cursor, is_current)`` when the watch has advanced, also if
            no change matched, and at least every 10 seconds. ``is_current`` is True once everything that
            existed has come.
        :param timeout: seconds for which it tries to reach a server before it fails. Default: 60.

        Raises CURSOR_EXPIRED (changes after the cursor are not kept any more: start again with
        ``include_current``), INVALID_CURSOR, INVALID_FILTER, WATCH_DISABLED.

        >>> async for change in cortex.mutable.watch("inventory", key_prefix="store-15:"): ...
        """
        names: dict[str, Any] = {
            "namespace": namespace_text(namespace),
            "key": None if key is None else key_text(key),
            "key_prefix": optional_text(key_prefix, "key_prefix", "INVALID_FILTER"),
        }

        def request(resume: dict[str, Any]) -> mutable_pb2.WatchRequest:
            return mutable_pb2.WatchRequest(**names, **resume)

        return AsyncWatch(
            self._transport, MutableRpc.watch, request, mutable_change, cursor, include_current, on_progress, timeout
        )

    async def wait_for(
        self,
        namespace: str,
        key: str,
        condition: Callable[[Any], Any],
        *,
        timeout: Optional[float] = None,
    ) -> Any:
        """Waits until ``condition`` returns true for the value of a key, and gives that value. The function
        is called with the current value, then with the value after each change; with None if the key does
        not exist.

        Raises DEADLINE_EXCEEDED if it does not hold in time, WATCH_DISABLED.
        """
        check_callable(condition, "condition")
        deadline = Deadline(timeout_of(timeout, self._transport.timeout))
        async with self.watch(namespace, key=key, include_current=True, timeout=deadline.seconds) as watch:
            change = await watch.next_within(deadline, or_current=True)
            if change is None and watch.is_current and await result_of(condition(None)):
                return None
            while change is not None or watch.is_current:
                if change is not None and await result_of(condition(change.value)):
                    return change.value
                change = await watch.next_within(deadline)
                if change is None:
                    break
        missing = await self._transport.connection.missing()
        if missing is not None:
            raise missing
        message = f"the condition did not hold within {deadline.seconds} s"
        raise CortexError("DEADLINE_EXCEEDED", message)

    async def count(
        self,
        namespace: str,
        *,
        timeout: Optional[float] = None,
        **filters: Unpack[MutableFilters],
    ) -> int:
        """Counts the entries that match: the filters are those of ``list``."""
        filter = mutable_filter(**filters)
        request = mutable_pb2.CountRequest(namespace=namespace_text(namespace), filter=filter)
        return (await self._transport.unary(MutableRpc.count, request, timeout)).count

    async def list_namespaces(
        self, *, prefix: Optional[str] = None, timeout: Optional[float] = None
    ) -> list_of[NamespaceSummary]:
        """Lists the namespaces that hold at least one entry, by name, with their size."""
        given = optional_text(prefix, "prefix", "INVALID_FILTER")
        found: list_of[NamespaceSummary] = []
        page_token = ""
        while True:
            request = mutable_pb2.ListNamespacesRequest(prefix=given, limit=_SCAN_PAGE, page_token=page_token)
            page = await self._transport.unary(MutableRpc.list_namespaces, request, timeout)
            found.extend(NamespaceSummary(one.namespace, one.keys, one.bytes) for one in page.namespaces)
            page_token = page.next_page_token
            if page_token == "":
                return found

    async def get_many(self, namespace: str, keys: Sequence[str], *, timeout: Optional[float] = None) -> list_of[Any]:
        """Reads up to 1000 keys in one snapshot, without counting accesses. Gives the values in the order of
        the keys; None for a key that does not exist.

        Raises INVALID_BATCH (too many keys), REPLY_TOO_LARGE (more than 4 MiB: ask for fewer).
        """
        names = [key_text(key, f"keys[{i}]") for i, key in enumerate(listed(keys, "keys"))]
        request = mutable_pb2.BatchGetRequest(namespace=namespace_text(namespace), keys=names)
        reply = await self._transport.unary(MutableRpc.batch_get, request, timeout)
        return [parse(one.record.value_json) if one.HasField("record") else None for one in reply.results]

    async def set_many(
        self,
        namespace: str,
        entries: Union[Mapping[str, Any], Sequence[Mapping[str, Any]]],
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> list_of[MutableRecord]:
        """Stores up to 1000 keys, all of them or none. Gives the records as stored, in the order of the
        entries.

        :param entries: ``{key: value}``, or a list of dicts with ``key``, ``value`` and, if wanted,
            ``user_id``, ``metadata``, ``ttl_seconds``. Each key once.

        Raises INVALID_BATCH, REPLY_TOO_LARGE (the records take more than 4 MiB together: nothing is stored),
        and what ``set`` raises.
        """
        request = mutable_pb2.BatchSetRequest(namespace=namespace_text(namespace), entries=batch_entries(entries))
        reply = await self._transport.write(
            MutableRpc.batch_set, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return [mutable_record(record) for record in reply.records]

    async def purge_namespace(
        self,
        namespace: str,
        *,
        dry_run: bool = False,
        stepped: bool = False,
        entries_per_step: int = 1000,
        on_progress: Optional[Callable[[PurgeProgress], Any]] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> PurgeResult:
        """Deletes every entry of a namespace, all of them or none.

        :param dry_run: if True, it only counts.
        :param stepped: if True, it deletes in steps, each of which is all or nothing, for more entries than
            can be deleted in time. What is created after the first step stays. Steps that were done stay
            done.
        :param entries_per_step: 1 to 10000.
        :param on_progress: called after each step.
        :param request_id: for a purge in steps at most 116 bytes. If a purge in steps fails, call it again
            with the same id: it goes on after the last step that was done.
        :param timeout: of the call, or of each step. Default: 60 seconds.

        Raises INVALID_LIMIT (``entries_per_step``), INVALID_REQUEST_ID, REQUEST_ID_REUSED.
        """
        request = mutable_pb2.PurgeNamespaceRequest(namespace=namespace_text(namespace))
        return await run_purge(
            self._transport,
            MutableRpc.purge_namespace,
            request,
            dry_run,
            stepped,
            entries_per_step,
            on_progress,
            request_id,
            claim,
            timeout,
        )

    async def purge_many(
        self,
        namespace: str,
        *,
        dry_run: bool = False,
        stepped: bool = False,
        entries_per_step: int = 1000,
        on_progress: Optional[Callable[[PurgeProgress], Any]] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
        **filters: Unpack[MutableFilters],
    ) -> PurgeResult:
        """Deletes the entries that match, all of them or none, or in steps: see ``purge_namespace``. The
        filters are those of ``list``.

        Raises INVALID_FILTER, also if no filter is given: ``purge_namespace`` deletes all entries.
        """
        filter = mutable_filter(**filters)
        request = mutable_pb2.PurgeManyRequest(namespace=namespace_text(namespace), filter=filter)
        return await run_purge(
            self._transport,
            MutableRpc.purge_many,
            request,
            dry_run,
            stepped,
            entries_per_step,
            on_progress,
            request_id,
            claim,
            timeout,
        )

    async def purge_all(
        self,
        *,
        dry_run: bool = False,
        stepped: bool = False,
        entries_per_step: int = 1000,
        on_progress: Optional[Callable[[PurgeProgress], Any]] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> PurgeResult:
        """Deletes every entry of the tenant: for tests and development. It gives no keys.

        Raises PURGE_ALL_DISABLED, unless the server was started with ``--allow-purge-all``; INVALID_SCOPE if
        it is called on a scope: use ``purge`` of the scope.
        """
        return await run_purge(
            self._transport,
            MutableRpc.purge_all,
            mutable_pb2.PurgeAllRequest(),
            dry_run,
            stepped,
            entries_per_step,
            on_progress,
            request_id,
            claim,
            timeout,
        )

    async def expire(
        self,
        namespace: str,
        key: str,
        ttl_seconds: float,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> bool:
        """Sets when a key expires, whether or not it had a time before: ``ttl_seconds`` from now on. Value,
        user and metadata stay. It is a write: it draws a revision, and watches see it. Gives False if the
        key does not exist.

        Raises INVALID_TTL.
        """
        operation = {"expire": mutable_pb2.Expire(ttl_seconds=seconds(ttl_seconds))}
        try:
            await self._change(namespace, key, operation, False, None, request_id, claim, timeout)
        except CortexError as error:
            if error.code != "KEY_NOT_FOUND":
                raise
            return False
        return True

    async def touch(
        self,
        namespace: str,
        key: str,
        ttl_seconds: float,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> bool:
        """The same as ``expire``."""
        return await self.expire(namespace, key, ttl_seconds, request_id=request_id, claim=claim, timeout=timeout)

    async def once(
        self,
        namespace: str,
        key: str,
        value: Any,
        *,
        user_id: Optional[str] | Unset = UNSET,
        metadata: Optional[dict[str, Any]] | Unset = UNSET,
        ttl_seconds: Optional[float] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> bool:
        """Stores a value if the key does not exist. Gives whether it was stored."""
        try:
            await self.set(
                namespace,
                key,
                value,
                user_id=user_id,
                metadata=metadata,
                ttl_seconds=ttl_seconds,
                if_absent=True,
                request_id=request_id,
                claim=claim,
                timeout=timeout,
            )
        except CortexError as error:
            if error.code != "KEY_EXISTS":
                raise
            return False
        return True


list_of = list  # the class has a method `list`
