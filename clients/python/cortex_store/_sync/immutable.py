"""Generated from _aio/immutable.py by tools/generate.py: change that file."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

from .._core.messages import immutable_filter, immutable_order, page_fields, store_fields
from .._core.methods import ImmutableRpc
from .._core.options import ClaimGuard
from .._core.records import (
    Highlight,
    HistoryProblem,
    ImmutableChange,
    ImmutableListResult,
    ImmutablePurgeManyResult,
    ImmutablePurgeResult,
    ImmutableRecord,
    ImmutableVersion,
    PurgeVersionsResult,
    RecordKey,
    Retention,
    SearchResult,
    VerifyHistoryResult,
    immutable_change,
    immutable_record,
    immutable_version,
)
from .._core.validate import (
    UNSET,
    Unset,
    flag,
    optional_text,
    optional_time,
    optional_whole,
    picked,
    text,
    time,
    to_datetime,
    whole,
)
from .._gen.cortex.immutable.v1 import immutable_pb2
from .transport import Transport
from .watch import Watch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._core.messages import ImmutableFilters

_SCAN_PAGE = 1000
_PURGE_SECONDS = 60.0


def _purge_timeout(timeout: Optional[float]) -> float:
    return _PURGE_SECONDS if timeout is None else timeout


_SEARCH_IN = {
    "data": immutable_pb2.SEARCH_IN_DATA,
    "metadata": immutable_pb2.SEARCH_IN_METADATA,
    "both": immutable_pb2.SEARCH_IN_BOTH,
}
_PROBLEMS = {
    immutable_pb2.HistoryProblem.KIND_ALTERED: "altered",
    immutable_pb2.HistoryProblem.KIND_MISSING: "missing",
    immutable_pb2.HistoryProblem.KIND_UNLINKED: "unlinked",
}


def _name(type: Any, id: Any) -> dict[str, Any]:
    return {"type": text(type, "type", "INVALID_TYPE"), "id": text(id, "id", "INVALID_ID")}


class Immutable:
    """Versioned records under type + id, with their history: knowledge, policies, audit logs.

    Every method takes ``timeout``, every write ``request_id`` and ``claim``, as in ``mutable``. Every method
    raises CortexError. Each names its own codes; those of any method are INVALID_TYPE, INVALID_ID,
    INVALID_OPTIONS, UNAVAILABLE, DATABASE_UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, and others that the
    proto of ImmutableStore names.

    Types that begin with ``$cortex/`` are reserved for the server, such as ``$cortex/audit``, its records of
    purges and erasures. A call that names such a type needs the permission ``admin``, else PERMISSION_DENIED.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def store(
        self,
        type: str,
        id: str,
        data: dict[str, Any],
        *,
        user_id: Optional[str] | Unset = UNSET,
        metadata: Optional[dict[str, Any]] | Unset = UNSET,
        if_version: Optional[int] = None,
        include_history: bool = True,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> ImmutableRecord:
        """Stores the first or the next version of a record. Gives the record as stored, with the versions
        before it (the last 100 at most).

        :param type: 1 to 256 bytes. :param id: 1 to 1024 bytes.
        :param data: any JSON object up to 1 MiB.
        :param user_id: the user the version belongs to; must exist. Not given: as in the version before.
            None: nobody.
        :param metadata: any JSON object up to 64 KiB, such as ``{"tags": […], "importance": 0 to 100}``. Not
            given: as in the version before. None: ``{}``.
        :param if_version: store only if this is the current version; with 0, only if there is no record.
        :param include_history: if False, the result has no earlier versions.

        Raises INVALID_DATA (with the path), DATA_TOO_LARGE, VALUE_TOO_DEEP, INVALID_METADATA,
        INVALID_USER_ID, USER_NOT_FOUND, VERSION_MISMATCH (``details["current_version"]``), INVALID_VERSION,
        REQUEST_ID_REUSED.

        >>> record = cortex.immutable.store("policy", "max-refund", {"value": 5000})
        """
        request = immutable_pb2.StoreRequest(
            **store_fields(type, id, data, user_id, metadata, if_version),
            include_history=flag(include_history, "include_history"),
        )
        reply = self._transport.write(ImmutableRpc.store, request, request_id=request_id, claim=claim, timeout=timeout)
        return immutable_record(reply.record)

    def get(
        self, type: str, id: str, *, include_history: bool = True, timeout: Optional[float] = None
    ) -> Optional[ImmutableRecord]:
        """Reads the current version of a record, with the versions before it (the last 100 at most); None if
        there is no record."""
        request = immutable_pb2.GetRequest(**_name(type, id), include_history=flag(include_history, "include_history"))
        reply = self._transport.unary(ImmutableRpc.get, request, timeout)
        return immutable_record(reply.record) if reply.HasField("record") else None

    def get_version(
        self, type: str, id: str, version: int, *, timeout: Optional[float] = None
    ) -> Optional[ImmutableVersion]:
        """Reads one version; None if it never existed, or is no longer kept. Raises INVALID_VERSION (0 or
        below)."""
        request = immutable_pb2.GetVersionRequest(
            **_name(type, id), version=whole(version, "version", "INVALID_VERSION")
        )
        reply = self._transport.unary(ImmutableRpc.get_version, request, timeout)
        return immutable_version(reply.version) if reply.HasField("version") else None

    def get_at_timestamp(
        self, type: str, id: str, timestamp: datetime, *, timeout: Optional[float] = None
    ) -> Optional[ImmutableVersion]:
        """Reads the version that was current at a time, which needs a time zone. A version stored in that
        very millisecond counts. None before the first version, or if the version is no longer kept. Raises
        INVALID_TIME."""
        request = immutable_pb2.GetAtTimestampRequest(
            **_name(type, id), time=time(timestamp, "timestamp", "INVALID_TIME")
        )
        reply = self._transport.unary(ImmutableRpc.get_at_timestamp, request, timeout)
        return immutable_version(reply.version) if reply.HasField("version") else None

    def get_history(self, type: str, id: str, *, timeout: Optional[float] = None) -> list_of[ImmutableVersion]:
        """Reads all versions that are kept, ascending, the current one included; ``[]`` if there is no
        record. ``history_stream`` needs less memory."""
        request = immutable_pb2.GetHistoryRequest(**_name(type, id))
        messages = self._transport.collect(ImmutableRpc.get_history, request, timeout)
        return [immutable_version(version) for message in messages for version in message.versions]

    def history_stream(self, type: str, id: str, *, timeout: Optional[float] = None) -> Iterator[ImmutableVersion]:
        """Gives the versions that are kept, ascending, in constant memory. ``timeout`` bounds the wait for
        each message of about 100 versions. If the connection breaks, it goes on where it was."""
        name = _name(type, id)
        after = 0

        def rest() -> immutable_pb2.GetHistoryRequest:
            return immutable_pb2.GetHistoryRequest(**name, after_version=after)

        for message in self._transport.messages(ImmutableRpc.get_history, rest, timeout):
            for version in message.versions:
                yield immutable_version(version)
                after = version.version

    def list(
        self,
        *,
        sort_by: str = "created_at",
        sort_order: str = "desc",
        limit: int = 50,
        offset: Optional[int] = None,
        page_token: Optional[str] = None,
        total: bool = True,
        include_history: bool = False,
        timeout: Optional[float] = None,
        **filters: Unpack[ImmutableFilters],
    ) -> ImmutableListResult:
        """Lists one page of records. ``scan`` gives all records. Types that begin with ``$cortex/`` are left
        out, unless the filter names them.

        :param filters: see ``ImmutableFilters``: ``type``, ``tags``, ``metadata``, ``created_after``, …
        :param sort_by: ``created_at``, ``version`` or ``type``.
        :param limit: 1 to 1000. ``offset``, ``page_token``, ``total``: as in ``mutable.list``.

        Raises INVALID_FILTER, INVALID_LIMIT, INVALID_OFFSET, INVALID_SORT, INVALID_PAGE_TOKEN,
        INVALID_USER_ID.
        """
        filter = immutable_filter(**filters)
        request = immutable_pb2.ListRequest(
            filter=filter,
            **immutable_order(sort_by, sort_order, include_history),
            **page_fields(limit, offset, page_token, total),
        )
        messages = self._transport.collect(ImmutableRpc.list, request, timeout)
        last = messages[-1]
        return ImmutableListResult(
            records=[immutable_record(record) for message in messages for record in message.records],
            limit=limit,
            offset=offset or 0,
            has_more=last.has_more,
            total=last.total if last.HasField("total") else None,
            next_page_token=last.next_page_token or None,
        )

    def scan(
        self,
        *,
        sort_by: str = "created_at",
        sort_order: str = "desc",
        include_history: bool = False,
        timeout: Optional[float] = None,
        **filters: Unpack[ImmutableFilters],
    ) -> Iterator[ImmutableRecord]:
        """Gives every record that matches, in constant memory: see ``mutable.scan``. The filters are those of
        ``list``."""
        filter = immutable_filter(**filters)
        order = immutable_order(sort_by, sort_order, include_history)
        page_token = ""

        def page() -> immutable_pb2.ListRequest:
            return immutable_pb2.ListRequest(
                filter=filter, **order, page_token=page_token, limit=_SCAN_PAGE, total=False
            )

        while True:
            for message in self._transport.messages(ImmutableRpc.list, page, timeout):
                for record in message.records:
                    yield immutable_record(record)
                page_token = message.next_page_token
                if page_token == "":
                    return

    def search(
        self,
        query: str,
        *,
        search_in: str = "data",
        include_history: bool = False,
        limit: int = 10,
        offset: Optional[int] = None,
        timeout: Optional[float] = None,
        **filters: Unpack[ImmutableFilters],
    ) -> list_of[SearchResult]:
        """Finds records whose current version holds every term: words (stemmed), ``"phrases in quotes"``, and
        fragments inside words. Best first. The filters are those of ``list``.

        :param search_in: ``data``, ``metadata`` or ``both``: then each term may be in either.
        :param limit: 1 to 1000.

        Raises INVALID_QUERY, SEARCH_TOO_BROAD, and the codes of ``list``.

        >>> results = cortex.immutable.search("refund process", type="kb-article", search_in="both")
        """
        filter = immutable_filter(**filters)
        request = immutable_pb2.SearchRequest(
            query=text(query, "query", "INVALID_QUERY"),
            filter=filter,
            search_in=picked(_SEARCH_IN, search_in, "search_in", "INVALID_OPTIONS"),
            include_history=flag(include_history, "include_history"),
            limit=whole(limit, "limit", "INVALID_LIMIT"),
            offset=optional_whole(offset, "offset", "INVALID_OFFSET"),
        )
        page = self._transport.unary(ImmutableRpc.search, request, timeout)
        found = [*page.results]
        request.ClearField("offset")
        while page.next_page_token and len(found) < limit:  # a page ends before the limit if records are large
            request.limit = limit - len(found)
            request.page_token = page.next_page_token
            page = self._transport.unary(ImmutableRpc.search, request, timeout)
            found.extend(page.results)
        return [
            SearchResult(
                immutable_record(one.record),
                one.score,
                [*one.matches],
                [Highlight(highlight.path, highlight.text) for highlight in one.highlights],
            )
            for one in found
        ]

    def watch(
        self,
        type: str,
        *,
        id_prefix: Optional[str] = None,
        id: Optional[str] = None,
        cursor: Optional[str] = None,
        include_current: bool = False,
        on_progress: Optional[Callable[[str, bool], Any]] = None,
        timeout: Optional[float] = None,
    ) -> Watch[ImmutableChange]:
        """Gives the versions that are stored in a type as they are committed, and what removes records: see
        ``mutable.watch``. Of the versions that one transaction stored in a record, the last one comes.

        Raises CURSOR_EXPIRED, INVALID_CURSOR, INVALID_TYPE, INVALID_FILTER, WATCH_DISABLED.
        """
        names: dict[str, Any] = {
            "type": text(type, "type", "INVALID_TYPE"),
            "id": optional_text(id, "id", "INVALID_ID"),
            "id_prefix": optional_text(id_prefix, "id_prefix", "INVALID_FILTER"),
        }

        def request(resume: dict[str, Any]) -> immutable_pb2.WatchRequest:
            return immutable_pb2.WatchRequest(**names, **resume)

        return Watch(
            self._transport,
            ImmutableRpc.watch,
            request,
            immutable_change,
            cursor,
            include_current,
            on_progress,
            timeout,
        )

    def count(
        self,
        *,
        timeout: Optional[float] = None,
        **filters: Unpack[ImmutableFilters],
    ) -> int:
        """Counts the records that match: the filters are those of ``list``."""
        filter = immutable_filter(**filters)
        request = immutable_pb2.CountRequest(filter=filter)
        return (self._transport.unary(ImmutableRpc.count, request, timeout)).count

    def purge(
        self,
        type: str,
        id: str,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> ImmutablePurgeResult:
        """Deletes a record with all its versions. A missing record is ``deleted=False``, no error. A later
        ``store`` begins again at version 1. ``timeout`` is 60 seconds by default. Raises
        REQUEST_ID_REUSED."""
        request = immutable_pb2.PurgeRequest(**_name(type, id))
        reply = self._transport.write(
            ImmutableRpc.purge,
            request,
            request_id=request_id,
            claim=claim,
            timeout=_purge_timeout(timeout),
        )
        return ImmutablePurgeResult(reply.deleted, type, id, reply.versions_deleted, to_datetime(reply.purge_time))

    def purge_many(
        self,
        *,
        dry_run: bool = False,
        require_confirmation: bool = False,
        confirmation_token: Optional[str] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
        **filters: Unpack[ImmutableFilters],
    ) -> ImmutablePurgeManyResult:
        """Deletes the records whose current version matches, with all their versions: all of them or none.
        The filters are those of ``list``. ``timeout`` is 60 seconds by default.

        :param dry_run: if True, it only counts.
        :param require_confirmation: if True and no token is given, nothing is deleted, and the result has a
            token.
        :param confirmation_token: of an earlier call with the same filters. If other versions match by now:
            CONFIRMATION_STALE.

        Raises INVALID_FILTER (also if no filter is given), CONFIRMATION_STALE, REQUEST_ID_REUSED.
        """
        filter = immutable_filter(**filters)
        request = immutable_pb2.PurgeManyRequest(
            filter=filter,
            dry_run=flag(dry_run, "dry_run"),
            require_confirmation=flag(require_confirmation, "require_confirmation"),
            confirmation_token=optional_text(confirmation_token, "confirmation_token", "INVALID_OPTIONS"),
        )
        reply = self._transport.write(
            ImmutableRpc.purge_many,
            request,
            request_id=request_id,
            claim=claim,
            timeout=_purge_timeout(timeout),
        )
        return ImmutablePurgeManyResult(
            reply.records_affected,
            reply.versions_deleted,
            [RecordKey(one.type, one.id) for one in reply.records],
            reply.dry_run,
            reply.confirmation_token if reply.HasField("confirmation_token") else None,
        )

    def purge_versions(
        self,
        type: str,
        id: str,
        *,
        keep_latest: Optional[int] = None,
        older_than: Optional[datetime] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> PurgeVersionsResult:
        """Deletes old versions of a record, never the current one. If both options are given, it keeps every
        version that either of them keeps. ``timeout`` is 60 seconds by default.

        :param keep_latest: keep this many of the latest versions, the current one included: 1 or more.
        :param older_than: keep the versions that were stored at this time or later. It needs a time zone.

        Raises INVALID_OPTIONS (neither of the two, keep_latest below 1), INVALID_TIME, REQUEST_ID_REUSED.
        """
        request = immutable_pb2.PurgeVersionsRequest(
            **_name(type, id),
            keep_latest=optional_whole(keep_latest, "keep_latest", "INVALID_OPTIONS"),
            older_than=optional_time(older_than, "older_than", "INVALID_TIME"),
        )
        reply = self._transport.write(
            ImmutableRpc.purge_versions,
            request,
            request_id=request_id,
            claim=claim,
            timeout=_purge_timeout(timeout),
        )
        return PurgeVersionsResult(reply.versions_deleted, reply.versions_remaining)

    def verify_history(self, type: str, id: str, *, timeout: Optional[float] = None) -> VerifyHistoryResult:
        """Recomputes the digests of the versions that are kept, and reports versions that do not agree with
        their digest. Somebody with write access to the database can recompute them too; to find that,
        compare ``digest`` with a copy that is kept elsewhere."""
        request = immutable_pb2.VerifyHistoryRequest(**_name(type, id))
        reply = self._transport.unary(ImmutableRpc.verify_history, request, timeout)
        return VerifyHistoryResult(
            reply.valid,
            reply.versions,
            reply.first_version,
            reply.current_version,
            reply.digest,
            [HistoryProblem(one.version, _PROBLEMS.get(one.kind, "unknown")) for one in reply.problems],
            reply.erased,
        )

    def get_retention(self, *, timeout: Optional[float] = None) -> Retention:
        """Reads how many versions the server keeps (its ``--retention``)."""
        request = immutable_pb2.GetRetentionRequest()
        reply = self._transport.unary(ImmutableRpc.get_retention, request, timeout)
        return Retention(reply.default_versions, dict(reply.by_type))


list_of = list  # the class has a method `list`
