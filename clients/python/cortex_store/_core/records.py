"""Records as the caller sees them: plain data, with datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .._gen.cortex.changes.v1 import changes_pb2
from .._gen.cortex.claims.v1 import claims_pb2
from .._gen.cortex.events.v1 import events_pb2
from .._gen.cortex.immutable.v1 import immutable_pb2
from .._gen.cortex.mutable.v1 import mutable_pb2
from .._gen.cortex.streams.v1 import streams_pb2
from .._gen.cortex.users.v1 import users_pb2
from .jsontext import parse
from .options import ScopeStep
from .validate import to_datetime


def optional(message: Message, name: str) -> Any:
    """A field that may be unset; None if it is."""
    return getattr(message, name) if message.HasField(name) else None


def optional_time(message: Message, name: str) -> Optional[datetime]:
    stamp: Optional[Timestamp] = optional(message, name)
    return None if stamp is None else to_datetime(stamp)


@dataclass(frozen=True)
class MutableRecord:
    """An entry as stored."""

    namespace: str
    key: str
    value: Any
    metadata: dict[str, Any]
    """``{}`` if none was given."""
    created_at: datetime
    updated_at: datetime
    revision: str
    """The revision of the entry, for ``if_revision``. Every write gives a new one."""
    access_count: int
    """How often ``get`` read the entry since its creation."""
    user_id: Optional[str] = None
    """The user the entry belongs to."""
    last_accessed: Optional[datetime] = None
    """When ``get`` last read the entry; None: never."""
    expires_at: Optional[datetime] = None
    """When the entry expires; None: never."""
    updated_by: Optional[str] = None
    """The agent that wrote it last (``agent_id`` of its client)."""
    principal: Optional[str] = None
    """The principal that wrote it last, from the credentials."""
    value_omitted: bool = False
    """True only in the reply to a repeated write (its first reply was lost, for example). The server then
    leaves out value and metadata if they have more than 4 KiB together and the entry has been written
    again. Then ``value`` is None and ``metadata`` is ``{}``. The write was made once."""


def mutable_record(message: mutable_pb2.Record) -> MutableRecord:
    omitted = message.value_omitted
    return MutableRecord(
        namespace=message.namespace,
        key=message.key,
        value=None if omitted else parse(message.value_json),
        metadata={} if omitted else parse(message.metadata_json),
        created_at=to_datetime(message.create_time),
        updated_at=to_datetime(message.update_time),
        revision=str(message.revision),
        access_count=message.access_count,
        user_id=optional(message, "user_id"),
        last_accessed=optional_time(message, "last_access_time"),
        expires_at=optional_time(message, "expire_time"),
        updated_by=optional(message, "updated_by"),
        principal=optional(message, "principal"),
        value_omitted=omitted,
    )


@dataclass(frozen=True)
class DeleteResult:
    deleted: bool
    """True if there was something to delete."""
    namespace: str
    key: str
    deleted_at: Optional[datetime] = None
    """The database's time of the delete, also if there was nothing to delete. None if the delete was part of
    a transaction."""


@dataclass(frozen=True)
class PurgeResult:
    deleted: int
    """How many entries were (with dry_run: would be) deleted."""
    keys: list[str]
    """Their keys, in bytewise order: the first 1000."""
    dry_run: bool


@dataclass(frozen=True)
class PurgeProgress:
    """How far a purge in steps is."""

    deleted: int
    """How many entries all steps so far have deleted (with dry_run: counted)."""
    done: bool
    """True after the last step."""


@dataclass(frozen=True)
class MutableListResult:
    records: list[MutableRecord]
    limit: int
    offset: int
    has_more: bool
    """True if more entries match after these."""
    total: Optional[int] = None
    """How many entries match in all; None with ``total=False``."""
    next_page_token: Optional[str] = None
    """The ``page_token`` of the next page."""


@dataclass(frozen=True)
class NamespaceSummary:
    namespace: str
    keys: int
    """How many entries it holds."""
    bytes: int
    """How many bytes their values are, as UTF-8 JSON text."""


@dataclass(frozen=True)
class Published:
    """The result of a publish in a transaction."""

    channel: str


@dataclass(frozen=True)
class Appended:
    """The result of an append to a stream in a transaction."""

    stream: str
    ids: list[str]


@dataclass(frozen=True)
class TransactionResult:
    success: bool
    operations_executed: int
    results: list[Any]
    """Of each write, in order: its record; of a delete a ``DeleteResult``, of an event ``Published``, of
    entries of a stream ``Appended``."""


def operation_result(message: mutable_pb2.OperationResult) -> Any:
    kind = message.WhichOneof("result")
    if kind == "record":
        return mutable_record(message.record)
    if kind == "deleted":
        done = message.deleted
        return DeleteResult(done.deleted, done.namespace, done.key)
    if kind == "stored":
        return immutable_record(message.stored)
    if kind == "published":
        return Published(message.published.channel)
    return Appended(message.appended.stream, list(message.appended.ids))


_KINDS = {
    changes_pb2.CHANGE_KIND_SET: "set",
    changes_pb2.CHANGE_KIND_DELETE: "delete",
    changes_pb2.CHANGE_KIND_EXPIRE: "expire",
    changes_pb2.CHANGE_KIND_PURGE: "purge",
    changes_pb2.CHANGE_KIND_ERASE: "erase",
    changes_pb2.CHANGE_KIND_CURRENT: "current",
}


def kind_name(kind: int) -> str:
    return _KINDS.get(kind, str(kind))  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class MutableChange:
    """A change of an entry."""

    kind: str
    """``set``: it was stored or changed. ``current``: it existed when the watch began. All others removed it:
    ``delete``, ``expire``, ``purge``, ``erase``."""
    namespace: str
    key: str
    value: Any
    """The value; None if the entry was removed."""
    revision: str
    """The revision of the value. For a removal: the last revision of the entry."""
    at: datetime
    """When the change happened. For an expiry: when the entry expired."""
    cursor: str
    """The place of this change: a later watch goes on after it."""
    updated_by: Optional[str] = None
    """The agent that wrote or removed it."""


def mutable_change(message: mutable_pb2.Change) -> MutableChange:
    return MutableChange(
        kind=kind_name(message.kind),
        namespace=message.namespace,
        key=message.key,
        value=parse(message.value_json) if message.HasField("value_json") else None,
        revision=message.revision,
        at=to_datetime(message.time),
        cursor=message.cursor,
        updated_by=optional(message, "updated_by"),
    )


@dataclass(frozen=True)
class ImmutableVersion:
    """One version of a record."""

    version: int
    data: Any
    metadata: dict[str, Any]
    """``{}`` if none was given."""
    created_at: datetime
    """When this version was stored."""
    digest: str
    """SHA-256 over the digest of the version before and the content of this one: see ``verify_history``."""
    salt: str
    """Random text that is a part of the digested content."""
    user_id: Optional[str] = None
    agent_id: Optional[str] = None
    """The agent that stored it (``agent_id`` of its client)."""
    principal: Optional[str] = None
    """The principal that stored it, from the credentials."""
    request_id: Optional[str] = None
    """The request id it was stored under."""
    content_omitted: bool = False
    """True only in the reply to a repeated store. The server then leaves out data or metadata of more than 4
    KiB if the version is no longer kept. What is left out is None. The version was stored once."""


def _version_fields(message: immutable_pb2.Version) -> dict[str, Any]:
    def content(text: str) -> Any:
        return None if message.content_omitted and text == "" else parse(text)

    return {
        "version": message.version,
        "data": content(message.data_json),
        "metadata": content(message.metadata_json),
        "created_at": to_datetime(message.create_time),
        "digest": message.digest,
        "salt": message.salt,
        "user_id": optional(message, "user_id"),
        "agent_id": optional(message, "agent_id"),
        "principal": optional(message, "principal"),
        "request_id": optional(message, "request_id"),
        "content_omitted": message.content_omitted,
    }


def immutable_version(message: immutable_pb2.Version) -> ImmutableVersion:
    return ImmutableVersion(**_version_fields(message))


@dataclass(frozen=True)
class ImmutableRecord(ImmutableVersion):
    """A record with its current version."""

    type: str = ""
    id: str = ""
    first_created_at: Optional[datetime] = None
    """When version 1 was stored."""
    previous_versions: list[ImmutableVersion] = field(default_factory=list)
    """The versions before the current one, ascending: the last 100 and about 1 MiB at most; ``[]`` if they
    were left out."""
    has_more_versions: bool = False
    """True if the server keeps more versions than these: ``get_history`` and ``history_stream`` give them."""


def immutable_record(message: immutable_pb2.Record) -> ImmutableRecord:
    return ImmutableRecord(
        **_version_fields(message.current),
        type=message.type,
        id=message.id,
        first_created_at=to_datetime(message.first_create_time),
        previous_versions=[immutable_version(one) for one in message.previous_versions],
        has_more_versions=message.has_more_versions,
    )


@dataclass(frozen=True)
class ImmutableListResult:
    records: list[ImmutableRecord]
    limit: int
    offset: int
    has_more: bool
    """True if more records match after these."""
    total: Optional[int] = None
    """How many records match in all; None with ``total=False``."""
    next_page_token: Optional[str] = None
    """The ``page_token`` of the next page."""


@dataclass(frozen=True)
class Highlight:
    path: str
    text: str
    """The matching text, with ``<mark>`` around each match. It is not escaped for HTML."""


@dataclass(frozen=True)
class SearchResult:
    record: ImmutableRecord
    score: float
    """How well it matches: above 0, below 1."""
    matches: list[str]
    """The fields that hold any of the terms, such as ``data.title`` or ``metadata.tags[0]``."""
    highlights: list[Highlight]
    """Of the first 10 of these fields."""


@dataclass(frozen=True)
class ImmutablePurgeResult:
    deleted: bool
    """True if there was something to delete."""
    type: str
    id: str
    versions_deleted: int
    purged_at: datetime


@dataclass(frozen=True)
class RecordKey:
    type: str
    id: str


@dataclass(frozen=True)
class ImmutablePurgeManyResult:
    records_affected: int
    """How many records were deleted. If the call only counts or gives a token: how many it would delete."""
    versions_deleted: int
    records: list[RecordKey]
    """These records, by type and id: the first 1000."""
    dry_run: bool
    confirmation_token: Optional[str] = None
    """The token that deletes exactly these versions, if the call asks for one with ``require_confirmation``."""


@dataclass(frozen=True)
class PurgeVersionsResult:
    versions_deleted: int
    versions_remaining: int


@dataclass(frozen=True)
class HistoryProblem:
    version: int
    kind: str
    """``altered``, ``missing``, ``unlinked`` or ``unknown``."""


@dataclass(frozen=True)
class VerifyHistoryResult:
    valid: bool
    """True if all versions that are kept are as they were stored."""
    versions: int
    """How many versions were checked."""
    first_version: int
    """The first version that is kept; 0 if there is no record."""
    current_version: int
    digest: str
    """The digest of the current version, to be compared with a copy that is kept elsewhere."""
    problems: list[HistoryProblem]
    """The versions that are not as they were stored: the first 100."""
    erased: int
    """How many versions hold only their digest, because their user was erased."""


@dataclass(frozen=True)
class Retention:
    default_versions: int
    """How many versions of a record are kept, the current one included; -1: all."""
    by_type: dict[str, int]


@dataclass(frozen=True)
class ImmutableChange:
    """A change of a record."""

    kind: str
    """``set``: a version was stored. ``current``: it existed when the watch began. All others removed the
    record."""
    type: str
    id: str
    data: Any
    """The data of the version; None if the record was removed."""
    version: int
    """The version. For a removal: the last version of the record."""
    at: datetime
    cursor: str
    """The place of this change: a later watch goes on after it."""
    agent_id: Optional[str] = None


def immutable_change(message: immutable_pb2.Change) -> ImmutableChange:
    return ImmutableChange(
        kind=kind_name(message.kind),
        type=message.type,
        id=message.id,
        data=parse(message.data_json) if message.HasField("data_json") else None,
        version=message.version,
        at=to_datetime(message.time),
        cursor=message.cursor,
        agent_id=optional(message, "agent_id"),
    )


@dataclass(frozen=True)
class User:
    """A user that data can belong to."""

    id: str
    profile: dict[str, Any]
    created_at: datetime
    updated_at: datetime


def user(message: users_pb2.User) -> User:
    return User(
        message.id, parse(message.profile_json), to_datetime(message.create_time), to_datetime(message.update_time)
    )


@dataclass(frozen=True)
class UserListResult:
    records: list[User]
    """The users, in bytewise order of their ids."""
    total: int
    limit: int
    offset: int
    has_more: bool


@dataclass(frozen=True)
class DeleteUserResult:
    deleted: bool
    """True if the user was erased. False: no user has the id, or it was a dry_run."""
    would_delete: bool
    """With dry_run: True if the user would be erased."""
    user_id: str
    counts: dict[str, int]
    """How many rows were (with dry_run: would be) erased, by table."""
    total_deleted: int
    verified: bool
    """True if the check that ``verify`` asks for was done, and nothing was left."""
    dry_run: bool


@dataclass(frozen=True)
class ClaimRecord:
    """A claim that is held."""

    name: str
    owner: str
    fence: str
    """A number that is higher than those of all claims before, as decimal text."""
    value: Any
    """None: none was given."""
    acquired_at: datetime
    expires_at: datetime
    """When it ends unless it is renewed, by the database's clock."""
    user_id: Optional[str] = None
    agent_id: Optional[str] = None


def claim_record(message: claims_pb2.Claim) -> ClaimRecord:
    return ClaimRecord(
        name=message.name,
        owner=message.owner,
        fence=str(message.fence),
        value=parse(message.value_json) if message.HasField("value_json") else None,
        acquired_at=to_datetime(message.acquire_time),
        expires_at=to_datetime(message.expire_time),
        user_id=optional(message, "user_id"),
        agent_id=optional(message, "agent_id"),
    )


@dataclass(frozen=True)
class ClaimListResult:
    claims: list[ClaimRecord]
    next_page_token: Optional[str] = None


@dataclass(frozen=True)
class EventEnvelope:
    """An event that was published."""

    type: str
    """The channel."""
    data: Any
    timestamp: datetime
    """When it was published, by the database's clock."""
    published_by: Optional[str] = None
    """The agent that published it."""
    scope: Optional[ScopeStep] = None
    """The innermost step of the scope in which it was published."""


def event_envelope(message: events_pb2.Event, scope: Optional[ScopeStep]) -> EventEnvelope:
    return EventEnvelope(
        message.channel,
        parse(message.data_json),
        to_datetime(message.publish_time),
        optional(message, "published_by"),
        scope,
    )


@dataclass(frozen=True)
class StreamEntry:
    """An entry of a stream."""

    id: str
    """``<milliseconds>-<number>``."""
    data: Any
    user_id: Optional[str] = None
    appended_by: Optional[str] = None
    """The agent that appended it."""


def _entry_fields(message: streams_pb2.Entry) -> dict[str, Any]:
    return {
        "id": message.id,
        "data": parse(message.data_json),
        "user_id": optional(message, "user_id"),
        "appended_by": optional(message, "appended_by"),
    }


def stream_entry(message: streams_pb2.Entry) -> StreamEntry:
    return StreamEntry(**_entry_fields(message))


@dataclass(frozen=True)
class DeliveredEntry(StreamEntry):
    """An entry that was delivered to a consumer."""

    delivery: str = ""
    """The number of the delivery."""
    deliveries: int = 0
    """How often the group has delivered the entry, this delivery included."""


def delivered_entry(message: streams_pb2.Delivered) -> DeliveredEntry:
    return DeliveredEntry(**_entry_fields(message.entry), delivery=str(message.delivery), deliveries=message.deliveries)


@dataclass(frozen=True)
class StreamRange:
    """A page of entries."""

    entries: list[StreamEntry]
    next_page_token: Optional[str] = None


_ENDS = {
    streams_pb2.DELIVERY_END_TIMED_OUT: "timed out",
    streams_pb2.DELIVERY_END_GIVEN_BACK: "given back",
    streams_pb2.DELIVERY_END_TAKEN_OVER: "taken over",
    streams_pb2.DELIVERY_END_CONSUMER_REMOVED: "consumer removed",
}


@dataclass(frozen=True)
class PastDelivery:
    """A delivery that has ended without an acknowledgement."""

    consumer: str
    delivered_at: datetime
    end: str
    """``timed out``, ``given back``, ``taken over`` or ``consumer removed``."""
    reason: Optional[str] = None
    """The reason that was given to ``nack``, or the message of the error that a handler of ``consume``
    raised."""


@dataclass(frozen=True)
class PendingEntry(StreamEntry):
    """An entry that a group has pending, or a dead letter."""

    consumer: str = ""
    """The consumer that holds it, or held it last."""
    delivery: str = ""
    """The number of its last delivery."""
    deliveries: int = 0
    """How often it was delivered."""
    delivered_at: Optional[datetime] = None
    visible_at: Optional[datetime] = None
    """When it comes back; in the past: it has come back. None: it is a dead letter."""
    dead_at: Optional[datetime] = None
    """When it became a dead letter."""
    history: list[PastDelivery] = field(default_factory=list)
    """How its deliveries ended: the last 20, the oldest first."""


def pending_entry(message: streams_pb2.PendingEntry) -> PendingEntry:
    return PendingEntry(
        **_entry_fields(message.entry),
        consumer=message.consumer,
        delivery=str(message.delivery),
        deliveries=message.deliveries,
        delivered_at=to_datetime(message.delivery_time),
        visible_at=optional_time(message, "visible_time"),
        dead_at=optional_time(message, "dead_time"),
        history=[
            PastDelivery(
                one.consumer,
                to_datetime(one.delivery_time),
                _ENDS.get(one.end, "timed out"),
                optional(one, "reason"),
            )
            for one in message.history
        ],
    )


@dataclass(frozen=True)
class PendingResult:
    """A page of pending entries."""

    entries: list[PendingEntry]
    next_page_token: Optional[str] = None


@dataclass(frozen=True)
class NackResult:
    given_back: int
    dead_letters: int
    """How many of them became dead letters."""


@dataclass(frozen=True)
class HeldDelivery:
    """A delivery that its consumer still holds."""

    id: str
    delivery: str


@dataclass(frozen=True)
class ConsumerRecord:
    name: str
    pending: int
    last_delivered_at: datetime


@dataclass(frozen=True)
class GroupRecord:
    """A consumer group of a stream."""

    name: str
    lag: int
    """How many entries it has not delivered yet; 10 000 stands for more too."""
    pending: int
    """How many entries are held or were given back."""
    dead_letters: int
    visibility_seconds: float
    """How long a consumer may hold an entry."""
    consumers: list[ConsumerRecord]
    """The consumers that hold entries, if one group was asked for."""
    last_delivered_id: Optional[str] = None
    """The highest id that it has delivered, or after which it began; None: none."""
    max_deliveries: Optional[int] = None
    """How often an entry is delivered before it becomes a dead letter; None: again and again."""


def group_record(message: streams_pb2.GroupInfo) -> GroupRecord:
    return GroupRecord(
        name=message.name,
        lag=message.lag,
        pending=message.pending,
        dead_letters=message.dead_letters,
        visibility_seconds=message.visibility_seconds,
        consumers=[
            ConsumerRecord(one.name, one.pending, to_datetime(one.last_delivery_time)) for one in message.consumers
        ],
        last_delivered_id=optional(message, "last_delivered_id"),
        max_deliveries=optional(message, "max_deliveries"),
    )


@dataclass(frozen=True)
class StreamRecord:
    """A stream."""

    name: str
    length: int
    """How many entries it has."""
    bytes: int
    """The bytes of their data."""
    created_at: datetime
    first_id: Optional[str] = None
    """None: it has no entries."""
    last_id: Optional[str] = None
    """The highest id that it has given; None: none."""
    groups: list[GroupRecord] = field(default_factory=list)
    """Its groups, if it was asked for by name."""


def stream_record(message: streams_pb2.StreamInfo, groups: Any = ()) -> StreamRecord:
    return StreamRecord(
        name=message.name,
        length=message.length,
        bytes=message.bytes,
        created_at=to_datetime(message.create_time),
        first_id=optional(message, "first_id"),
        last_id=optional(message, "last_id"),
        groups=[group_record(one) for one in groups],
    )


@dataclass(frozen=True)
class StreamListResult:
    streams: list[StreamRecord]
    next_page_token: Optional[str] = None


@dataclass(frozen=True)
class DeleteStreamResult:
    deleted: bool
    entries: int


@dataclass(frozen=True)
class ScopeListResult:
    scopes: list[ScopeStep]
    next_page_token: Optional[str] = None
    """None: this is the last page."""


@dataclass(frozen=True)
class ScopePurgeResult:
    """How much was purged, or would be."""

    entries: int
    records: int
    versions: int
    """Of those records."""
    claims: int
    streams: int
    dry_run: bool
