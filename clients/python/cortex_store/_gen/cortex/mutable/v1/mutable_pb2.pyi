import datetime

from cortex_store._gen.cortex.changes.v1 import changes_pb2 as _changes_pb2
from cortex_store._gen.cortex.claims.v1 import guard_pb2 as _guard_pb2
from cortex_store._gen.cortex.events.v1 import events_pb2 as _events_pb2
from cortex_store._gen.cortex.immutable.v1 import immutable_pb2 as _immutable_pb2
from cortex_store._gen.cortex.options.v1 import options_pb2 as _options_pb2
from cortex_store._gen.cortex.scopes.v1 import scope_pb2 as _scope_pb2
from cortex_store._gen.cortex.streams.v1 import streams_pb2 as _streams_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SortBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SORT_BY_UNSPECIFIED: _ClassVar[SortBy]
    SORT_BY_KEY: _ClassVar[SortBy]
    SORT_BY_UPDATE_TIME: _ClassVar[SortBy]
    SORT_BY_ACCESS_COUNT: _ClassVar[SortBy]

class SortOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SORT_ORDER_UNSPECIFIED: _ClassVar[SortOrder]
    SORT_ORDER_ASC: _ClassVar[SortOrder]
    SORT_ORDER_DESC: _ClassVar[SortOrder]
SORT_BY_UNSPECIFIED: SortBy
SORT_BY_KEY: SortBy
SORT_BY_UPDATE_TIME: SortBy
SORT_BY_ACCESS_COUNT: SortBy
SORT_ORDER_UNSPECIFIED: SortOrder
SORT_ORDER_ASC: SortOrder
SORT_ORDER_DESC: SortOrder

class Record(_message.Message):
    __slots__ = ("namespace", "key", "value_json", "user_id", "metadata_json", "create_time", "update_time", "access_count", "last_access_time", "expire_time", "revision", "updated_by", "principal", "value_omitted")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_ACCESS_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BY_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    VALUE_OMITTED_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    value_json: str
    user_id: str
    metadata_json: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    access_count: int
    last_access_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    revision: int
    updated_by: str
    principal: str
    value_omitted: bool
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., value_json: _Optional[str] = ..., user_id: _Optional[str] = ..., metadata_json: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., access_count: _Optional[int] = ..., last_access_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., updated_by: _Optional[str] = ..., principal: _Optional[str] = ..., value_omitted: bool = ...) -> None: ...

class SetRequest(_message.Message):
    __slots__ = ("namespace", "key", "value_json", "user_id", "clear_user_id", "metadata_json", "clear_metadata", "ttl_seconds", "if_revision", "if_absent", "request_id", "scope", "claim")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CLEAR_USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    CLEAR_METADATA_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    IF_REVISION_FIELD_NUMBER: _ClassVar[int]
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    value_json: str
    user_id: str
    clear_user_id: bool
    metadata_json: str
    clear_metadata: bool
    ttl_seconds: float
    if_revision: int
    if_absent: bool
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., value_json: _Optional[str] = ..., user_id: _Optional[str] = ..., clear_user_id: bool = ..., metadata_json: _Optional[str] = ..., clear_metadata: bool = ..., ttl_seconds: _Optional[float] = ..., if_revision: _Optional[int] = ..., if_absent: bool = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class SetResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("namespace", "key", "scope")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("value_json", "revision")
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    value_json: str
    revision: int
    def __init__(self, value_json: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class GetRecordRequest(_message.Message):
    __slots__ = ("namespace", "key", "scope")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class GetRecordResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class ExistsRequest(_message.Message):
    __slots__ = ("namespace", "key", "scope")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class ExistsResponse(_message.Message):
    __slots__ = ("exists",)
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    exists: bool
    def __init__(self, exists: bool = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("namespace", "key", "must_exist", "if_revision", "request_id", "scope", "claim")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MUST_EXIST_FIELD_NUMBER: _ClassVar[int]
    IF_REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    must_exist: bool
    if_revision: int
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., must_exist: bool = ..., if_revision: _Optional[int] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("deleted", "namespace", "key", "delete_time")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    namespace: str
    key: str
    delete_time: _timestamp_pb2.Timestamp
    def __init__(self, deleted: bool = ..., namespace: _Optional[str] = ..., key: _Optional[str] = ..., delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ("namespace", "key", "increment", "decrement", "append", "merge", "replace", "expire", "create_if_missing", "if_revision", "request_id", "scope", "claim")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    INCREMENT_FIELD_NUMBER: _ClassVar[int]
    DECREMENT_FIELD_NUMBER: _ClassVar[int]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_FIELD_NUMBER: _ClassVar[int]
    CREATE_IF_MISSING_FIELD_NUMBER: _ClassVar[int]
    IF_REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    increment: Increment
    decrement: Decrement
    append: Append
    merge: Merge
    replace: Replace
    expire: Expire
    create_if_missing: bool
    if_revision: int
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., increment: _Optional[_Union[Increment, _Mapping]] = ..., decrement: _Optional[_Union[Decrement, _Mapping]] = ..., append: _Optional[_Union[Append, _Mapping]] = ..., merge: _Optional[_Union[Merge, _Mapping]] = ..., replace: _Optional[_Union[Replace, _Mapping]] = ..., expire: _Optional[_Union[Expire, _Mapping]] = ..., create_if_missing: bool = ..., if_revision: _Optional[int] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class Increment(_message.Message):
    __slots__ = ("amount",)
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    amount: str
    def __init__(self, amount: _Optional[str] = ...) -> None: ...

class Decrement(_message.Message):
    __slots__ = ("amount",)
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    amount: str
    def __init__(self, amount: _Optional[str] = ...) -> None: ...

class Append(_message.Message):
    __slots__ = ("value_json",)
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    value_json: str
    def __init__(self, value_json: _Optional[str] = ...) -> None: ...

class Merge(_message.Message):
    __slots__ = ("patch_json",)
    PATCH_JSON_FIELD_NUMBER: _ClassVar[int]
    patch_json: str
    def __init__(self, patch_json: _Optional[str] = ...) -> None: ...

class Replace(_message.Message):
    __slots__ = ("value_json",)
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    value_json: str
    def __init__(self, value_json: _Optional[str] = ...) -> None: ...

class UpdateResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class BatchGetRequest(_message.Message):
    __slots__ = ("namespace", "keys", "scope")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, namespace: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class BatchGetResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchGetResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchGetResult, _Mapping]]] = ...) -> None: ...

class BatchGetResult(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class BatchSetRequest(_message.Message):
    __slots__ = ("namespace", "entries", "request_id", "scope", "claim")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    entries: _containers.RepeatedCompositeFieldContainer[BatchSetEntry]
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, namespace: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[BatchSetEntry, _Mapping]]] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class BatchSetEntry(_message.Message):
    __slots__ = ("key", "value_json", "user_id", "clear_user_id", "metadata_json", "clear_metadata", "ttl_seconds")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CLEAR_USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    CLEAR_METADATA_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    key: str
    value_json: str
    user_id: str
    clear_user_id: bool
    metadata_json: str
    clear_metadata: bool
    ttl_seconds: float
    def __init__(self, key: _Optional[str] = ..., value_json: _Optional[str] = ..., user_id: _Optional[str] = ..., clear_user_id: bool = ..., metadata_json: _Optional[str] = ..., clear_metadata: bool = ..., ttl_seconds: _Optional[float] = ...) -> None: ...

class BatchSetResponse(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("preconditions", "operations", "request_id", "scope", "claim")
    PRECONDITIONS_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    preconditions: _containers.RepeatedCompositeFieldContainer[Precondition]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, preconditions: _Optional[_Iterable[_Union[Precondition, _Mapping]]] = ..., operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class Precondition(_message.Message):
    __slots__ = ("namespace", "key", "revision", "exists")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    revision: int
    exists: bool
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., revision: _Optional[int] = ..., exists: bool = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("namespace", "key", "set", "delete", "increment", "decrement", "append", "merge", "replace", "expire", "store", "publish", "append_entries", "create_if_missing")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    INCREMENT_FIELD_NUMBER: _ClassVar[int]
    DECREMENT_FIELD_NUMBER: _ClassVar[int]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    APPEND_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CREATE_IF_MISSING_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    set: SetOperation
    delete: DeleteOperation
    increment: Increment
    decrement: Decrement
    append: Append
    merge: Merge
    replace: Replace
    expire: Expire
    store: _immutable_pb2.StoreOperation
    publish: _events_pb2.NewEvent
    append_entries: _streams_pb2.NewEntries
    create_if_missing: bool
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., set: _Optional[_Union[SetOperation, _Mapping]] = ..., delete: _Optional[_Union[DeleteOperation, _Mapping]] = ..., increment: _Optional[_Union[Increment, _Mapping]] = ..., decrement: _Optional[_Union[Decrement, _Mapping]] = ..., append: _Optional[_Union[Append, _Mapping]] = ..., merge: _Optional[_Union[Merge, _Mapping]] = ..., replace: _Optional[_Union[Replace, _Mapping]] = ..., expire: _Optional[_Union[Expire, _Mapping]] = ..., store: _Optional[_Union[_immutable_pb2.StoreOperation, _Mapping]] = ..., publish: _Optional[_Union[_events_pb2.NewEvent, _Mapping]] = ..., append_entries: _Optional[_Union[_streams_pb2.NewEntries, _Mapping]] = ..., create_if_missing: bool = ...) -> None: ...

class Expire(_message.Message):
    __slots__ = ("ttl_seconds",)
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ttl_seconds: float
    def __init__(self, ttl_seconds: _Optional[float] = ...) -> None: ...

class SetOperation(_message.Message):
    __slots__ = ("value_json", "user_id", "clear_user_id", "metadata_json", "clear_metadata", "ttl_seconds")
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CLEAR_USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    CLEAR_METADATA_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    value_json: str
    user_id: str
    clear_user_id: bool
    metadata_json: str
    clear_metadata: bool
    ttl_seconds: float
    def __init__(self, value_json: _Optional[str] = ..., user_id: _Optional[str] = ..., clear_user_id: bool = ..., metadata_json: _Optional[str] = ..., clear_metadata: bool = ..., ttl_seconds: _Optional[float] = ...) -> None: ...

class DeleteOperation(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CommitResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[OperationResult]
    def __init__(self, results: _Optional[_Iterable[_Union[OperationResult, _Mapping]]] = ...) -> None: ...

class OperationResult(_message.Message):
    __slots__ = ("record", "deleted", "stored", "published", "appended")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    APPENDED_FIELD_NUMBER: _ClassVar[int]
    record: Record
    deleted: DeleteResponse
    stored: _immutable_pb2.Record
    published: Published
    appended: Appended
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ..., deleted: _Optional[_Union[DeleteResponse, _Mapping]] = ..., stored: _Optional[_Union[_immutable_pb2.Record, _Mapping]] = ..., published: _Optional[_Union[Published, _Mapping]] = ..., appended: _Optional[_Union[Appended, _Mapping]] = ...) -> None: ...

class Published(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: _Optional[str] = ...) -> None: ...

class Appended(_message.Message):
    __slots__ = ("stream", "ids")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    stream: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, stream: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class TransactRequest(_message.Message):
    __slots__ = ("begin", "read", "list", "write", "commit", "rollback")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    begin: TransactBegin
    read: TransactRead
    list: TransactList
    write: TransactWrite
    commit: TransactCommit
    rollback: TransactRollback
    def __init__(self, begin: _Optional[_Union[TransactBegin, _Mapping]] = ..., read: _Optional[_Union[TransactRead, _Mapping]] = ..., list: _Optional[_Union[TransactList, _Mapping]] = ..., write: _Optional[_Union[TransactWrite, _Mapping]] = ..., commit: _Optional[_Union[TransactCommit, _Mapping]] = ..., rollback: _Optional[_Union[TransactRollback, _Mapping]] = ...) -> None: ...

class TransactBegin(_message.Message):
    __slots__ = ("timeout_seconds", "request_id", "scope")
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    timeout_seconds: float
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, timeout_seconds: _Optional[float] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class TransactRead(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[EntryKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[EntryKey, _Mapping]]] = ...) -> None: ...

class EntryKey(_message.Message):
    __slots__ = ("namespace", "key")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class TransactList(_message.Message):
    __slots__ = ("namespace", "key_prefix", "limit")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_PREFIX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key_prefix: str
    limit: int
    def __init__(self, namespace: _Optional[str] = ..., key_prefix: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class TransactWrite(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ...) -> None: ...

class TransactCommit(_message.Message):
    __slots__ = ("request_id", "claim")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    claim: _guard_pb2.Guard
    def __init__(self, request_id: _Optional[str] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class TransactRollback(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TransactResponse(_message.Message):
    __slots__ = ("begun", "read", "list", "written", "committed", "rolled_back")
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_FIELD_NUMBER: _ClassVar[int]
    begun: TransactBegun
    read: TransactReadResult
    list: TransactListResult
    written: TransactWritten
    committed: TransactCommitted
    rolled_back: TransactRolledBack
    def __init__(self, begun: _Optional[_Union[TransactBegun, _Mapping]] = ..., read: _Optional[_Union[TransactReadResult, _Mapping]] = ..., list: _Optional[_Union[TransactListResult, _Mapping]] = ..., written: _Optional[_Union[TransactWritten, _Mapping]] = ..., committed: _Optional[_Union[TransactCommitted, _Mapping]] = ..., rolled_back: _Optional[_Union[TransactRolledBack, _Mapping]] = ...) -> None: ...

class TransactBegun(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TransactReadResult(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchGetResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchGetResult, _Mapping]]] = ...) -> None: ...

class TransactListResult(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class TransactWritten(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[OperationResult]
    def __init__(self, results: _Optional[_Iterable[_Union[OperationResult, _Mapping]]] = ...) -> None: ...

class TransactCommitted(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[OperationResult]
    def __init__(self, results: _Optional[_Iterable[_Union[OperationResult, _Mapping]]] = ...) -> None: ...

class TransactRolledBack(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Filter(_message.Message):
    __slots__ = ("key_prefix", "user_id", "updated_after", "updated_before", "last_accessed_before", "updated_by", "principal")
    KEY_PREFIX_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AFTER_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LAST_ACCESSED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BY_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    key_prefix: str
    user_id: str
    updated_after: _timestamp_pb2.Timestamp
    updated_before: _timestamp_pb2.Timestamp
    last_accessed_before: _timestamp_pb2.Timestamp
    updated_by: str
    principal: str
    def __init__(self, key_prefix: _Optional[str] = ..., user_id: _Optional[str] = ..., updated_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_accessed_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_by: _Optional[str] = ..., principal: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("namespace", "filter", "limit", "offset", "page_token", "sort_by", "sort_order", "total", "scope")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    filter: Filter
    limit: int
    offset: int
    page_token: str
    sort_by: SortBy
    sort_order: SortOrder
    total: bool
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, namespace: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., page_token: _Optional[str] = ..., sort_by: _Optional[_Union[SortBy, str]] = ..., sort_order: _Optional[_Union[SortOrder, str]] = ..., total: bool = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("records", "total", "has_more", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    total: int
    has_more: bool
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., total: _Optional[int] = ..., has_more: bool = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("namespace", "filter", "scope")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    filter: Filter
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, namespace: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class ListNamespacesRequest(_message.Message):
    __slots__ = ("prefix", "limit", "page_token", "scope")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    limit: int
    page_token: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, prefix: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class ListNamespacesResponse(_message.Message):
    __slots__ = ("namespaces", "next_page_token")
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespaceSummary]
    next_page_token: str
    def __init__(self, namespaces: _Optional[_Iterable[_Union[NamespaceSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class NamespaceSummary(_message.Message):
    __slots__ = ("namespace", "keys", "bytes")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    keys: int
    bytes: int
    def __init__(self, namespace: _Optional[str] = ..., keys: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class PurgeNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "dry_run", "request_id", "entries_max", "continue_token", "scope", "claim")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_MAX_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    dry_run: bool
    request_id: str
    entries_max: int
    continue_token: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, namespace: _Optional[str] = ..., dry_run: bool = ..., request_id: _Optional[str] = ..., entries_max: _Optional[int] = ..., continue_token: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class PurgeNamespaceResponse(_message.Message):
    __slots__ = ("deleted", "keys", "dry_run", "deleted_total", "continue_token")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    DELETED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    keys: _containers.RepeatedScalarFieldContainer[str]
    dry_run: bool
    deleted_total: int
    continue_token: str
    def __init__(self, deleted: _Optional[int] = ..., keys: _Optional[_Iterable[str]] = ..., dry_run: bool = ..., deleted_total: _Optional[int] = ..., continue_token: _Optional[str] = ...) -> None: ...

class PurgeManyRequest(_message.Message):
    __slots__ = ("namespace", "filter", "dry_run", "request_id", "entries_max", "continue_token", "scope", "claim")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_MAX_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    filter: Filter
    dry_run: bool
    request_id: str
    entries_max: int
    continue_token: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, namespace: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., dry_run: bool = ..., request_id: _Optional[str] = ..., entries_max: _Optional[int] = ..., continue_token: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class PurgeManyResponse(_message.Message):
    __slots__ = ("deleted", "keys", "dry_run", "deleted_total", "continue_token")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    DELETED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    keys: _containers.RepeatedScalarFieldContainer[str]
    dry_run: bool
    deleted_total: int
    continue_token: str
    def __init__(self, deleted: _Optional[int] = ..., keys: _Optional[_Iterable[str]] = ..., dry_run: bool = ..., deleted_total: _Optional[int] = ..., continue_token: _Optional[str] = ...) -> None: ...

class PurgeAllRequest(_message.Message):
    __slots__ = ("dry_run", "request_id", "entries_max", "continue_token", "scope", "claim")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_MAX_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    request_id: str
    entries_max: int
    continue_token: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, dry_run: bool = ..., request_id: _Optional[str] = ..., entries_max: _Optional[int] = ..., continue_token: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class PurgeAllResponse(_message.Message):
    __slots__ = ("deleted", "dry_run", "deleted_total", "continue_token")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    DELETED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    dry_run: bool
    deleted_total: int
    continue_token: str
    def __init__(self, deleted: _Optional[int] = ..., dry_run: bool = ..., deleted_total: _Optional[int] = ..., continue_token: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("namespace", "key_prefix", "key", "cursor", "include_current", "scope")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_PREFIX_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CURRENT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key_prefix: str
    key: str
    cursor: str
    include_current: bool
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, namespace: _Optional[str] = ..., key_prefix: _Optional[str] = ..., key: _Optional[str] = ..., cursor: _Optional[str] = ..., include_current: bool = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("changes", "cursor", "current_complete")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    CURRENT_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    cursor: str
    current_complete: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., cursor: _Optional[str] = ..., current_complete: bool = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("kind", "namespace", "key", "value_json", "revision", "updated_by", "time", "cursor")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BY_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    kind: _changes_pb2.ChangeKind
    namespace: str
    key: str
    value_json: str
    revision: str
    updated_by: str
    time: _timestamp_pb2.Timestamp
    cursor: str
    def __init__(self, kind: _Optional[_Union[_changes_pb2.ChangeKind, str]] = ..., namespace: _Optional[str] = ..., key: _Optional[str] = ..., value_json: _Optional[str] = ..., revision: _Optional[str] = ..., updated_by: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cursor: _Optional[str] = ...) -> None: ...
