import datetime

from cortex_store._gen.cortex.changes.v1 import changes_pb2 as _changes_pb2
from cortex_store._gen.cortex.claims.v1 import guard_pb2 as _guard_pb2
from cortex_store._gen.cortex.options.v1 import options_pb2 as _options_pb2
from cortex_store._gen.cortex.scopes.v1 import scope_pb2 as _scope_pb2
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
    SORT_BY_CREATE_TIME: _ClassVar[SortBy]
    SORT_BY_VERSION: _ClassVar[SortBy]
    SORT_BY_TYPE: _ClassVar[SortBy]

class SortOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SORT_ORDER_UNSPECIFIED: _ClassVar[SortOrder]
    SORT_ORDER_ASC: _ClassVar[SortOrder]
    SORT_ORDER_DESC: _ClassVar[SortOrder]

class SearchIn(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_IN_UNSPECIFIED: _ClassVar[SearchIn]
    SEARCH_IN_DATA: _ClassVar[SearchIn]
    SEARCH_IN_METADATA: _ClassVar[SearchIn]
    SEARCH_IN_BOTH: _ClassVar[SearchIn]
SORT_BY_UNSPECIFIED: SortBy
SORT_BY_CREATE_TIME: SortBy
SORT_BY_VERSION: SortBy
SORT_BY_TYPE: SortBy
SORT_ORDER_UNSPECIFIED: SortOrder
SORT_ORDER_ASC: SortOrder
SORT_ORDER_DESC: SortOrder
SEARCH_IN_UNSPECIFIED: SearchIn
SEARCH_IN_DATA: SearchIn
SEARCH_IN_METADATA: SearchIn
SEARCH_IN_BOTH: SearchIn

class Record(_message.Message):
    __slots__ = ("type", "id", "current", "first_create_time", "previous_versions", "has_more_versions")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    FIRST_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    current: Version
    first_create_time: _timestamp_pb2.Timestamp
    previous_versions: _containers.RepeatedCompositeFieldContainer[Version]
    has_more_versions: bool
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., current: _Optional[_Union[Version, _Mapping]] = ..., first_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., previous_versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ..., has_more_versions: bool = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("version", "data_json", "user_id", "metadata_json", "create_time", "agent_id", "principal", "request_id", "digest", "salt", "content_omitted")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_OMITTED_FIELD_NUMBER: _ClassVar[int]
    version: int
    data_json: str
    user_id: str
    metadata_json: str
    create_time: _timestamp_pb2.Timestamp
    agent_id: str
    principal: str
    request_id: str
    digest: str
    salt: str
    content_omitted: bool
    def __init__(self, version: _Optional[int] = ..., data_json: _Optional[str] = ..., user_id: _Optional[str] = ..., metadata_json: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., agent_id: _Optional[str] = ..., principal: _Optional[str] = ..., request_id: _Optional[str] = ..., digest: _Optional[str] = ..., salt: _Optional[str] = ..., content_omitted: bool = ...) -> None: ...

class StoreRequest(_message.Message):
    __slots__ = ("type", "id", "data_json", "user_id", "clear_user_id", "metadata_json", "clear_metadata", "if_version", "include_history", "request_id", "scope", "claim")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CLEAR_USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    CLEAR_METADATA_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    data_json: str
    user_id: str
    clear_user_id: bool
    metadata_json: str
    clear_metadata: bool
    if_version: int
    include_history: bool
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., data_json: _Optional[str] = ..., user_id: _Optional[str] = ..., clear_user_id: bool = ..., metadata_json: _Optional[str] = ..., clear_metadata: bool = ..., if_version: _Optional[int] = ..., include_history: bool = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class StoreResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class StoreOperation(_message.Message):
    __slots__ = ("type", "id", "data_json", "user_id", "clear_user_id", "metadata_json", "clear_metadata", "if_version")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CLEAR_USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    CLEAR_METADATA_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    data_json: str
    user_id: str
    clear_user_id: bool
    metadata_json: str
    clear_metadata: bool
    if_version: int
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., data_json: _Optional[str] = ..., user_id: _Optional[str] = ..., clear_user_id: bool = ..., metadata_json: _Optional[str] = ..., clear_metadata: bool = ..., if_version: _Optional[int] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("type", "id", "include_history", "scope")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    include_history: bool
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., include_history: bool = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("type", "id", "version", "scope")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    version: int
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., version: _Optional[int] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class GetVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: Version
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class GetAtTimestampRequest(_message.Message):
    __slots__ = ("type", "id", "time", "scope")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    time: _timestamp_pb2.Timestamp
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class GetAtTimestampResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: Version
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class GetHistoryRequest(_message.Message):
    __slots__ = ("type", "id", "after_version", "scope")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    after_version: int
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., after_version: _Optional[int] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class GetHistoryResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Version]
    def __init__(self, versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("types", "user_id", "created_after", "created_before", "metadata_json", "tags", "any_tags", "min_version", "agent_id", "principal")
    TYPES_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ANY_TAGS_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedScalarFieldContainer[str]
    user_id: str
    created_after: _timestamp_pb2.Timestamp
    created_before: _timestamp_pb2.Timestamp
    metadata_json: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    any_tags: _containers.RepeatedScalarFieldContainer[str]
    min_version: int
    agent_id: str
    principal: str
    def __init__(self, types: _Optional[_Iterable[str]] = ..., user_id: _Optional[str] = ..., created_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., metadata_json: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., any_tags: _Optional[_Iterable[str]] = ..., min_version: _Optional[int] = ..., agent_id: _Optional[str] = ..., principal: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("filter", "limit", "offset", "page_token", "sort_by", "sort_order", "total", "include_history", "scope")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    filter: Filter
    limit: int
    offset: int
    page_token: str
    sort_by: SortBy
    sort_order: SortOrder
    total: bool
    include_history: bool
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, filter: _Optional[_Union[Filter, _Mapping]] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., page_token: _Optional[str] = ..., sort_by: _Optional[_Union[SortBy, str]] = ..., sort_order: _Optional[_Union[SortOrder, str]] = ..., total: bool = ..., include_history: bool = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

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

class SearchRequest(_message.Message):
    __slots__ = ("query", "filter", "search_in", "limit", "offset", "page_token", "include_history", "scope")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SEARCH_IN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    query: str
    filter: Filter
    search_in: SearchIn
    limit: int
    offset: int
    page_token: str
    include_history: bool
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, query: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., search_in: _Optional[_Union[SearchIn, str]] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., page_token: _Optional[str] = ..., include_history: bool = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("results", "next_page_token")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SearchResult]
    next_page_token: str
    def __init__(self, results: _Optional[_Iterable[_Union[SearchResult, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SearchResult(_message.Message):
    __slots__ = ("record", "score", "matches", "highlights")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    HIGHLIGHTS_FIELD_NUMBER: _ClassVar[int]
    record: Record
    score: float
    matches: _containers.RepeatedScalarFieldContainer[str]
    highlights: _containers.RepeatedCompositeFieldContainer[Highlight]
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ..., score: _Optional[float] = ..., matches: _Optional[_Iterable[str]] = ..., highlights: _Optional[_Iterable[_Union[Highlight, _Mapping]]] = ...) -> None: ...

class Highlight(_message.Message):
    __slots__ = ("path", "text")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    path: str
    text: str
    def __init__(self, path: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("filter", "scope")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    filter: Filter
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, filter: _Optional[_Union[Filter, _Mapping]] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class PurgeRequest(_message.Message):
    __slots__ = ("type", "id", "request_id", "scope", "claim")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class PurgeResponse(_message.Message):
    __slots__ = ("deleted", "type", "id", "versions_deleted", "purge_time")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_DELETED_FIELD_NUMBER: _ClassVar[int]
    PURGE_TIME_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    type: str
    id: str
    versions_deleted: int
    purge_time: _timestamp_pb2.Timestamp
    def __init__(self, deleted: bool = ..., type: _Optional[str] = ..., id: _Optional[str] = ..., versions_deleted: _Optional[int] = ..., purge_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PurgeManyRequest(_message.Message):
    __slots__ = ("filter", "dry_run", "require_confirmation", "confirmation_token", "request_id", "scope", "claim")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_CONFIRMATION_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    filter: Filter
    dry_run: bool
    require_confirmation: bool
    confirmation_token: str
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, filter: _Optional[_Union[Filter, _Mapping]] = ..., dry_run: bool = ..., require_confirmation: bool = ..., confirmation_token: _Optional[str] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class RecordKey(_message.Message):
    __slots__ = ("type", "id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class PurgeManyResponse(_message.Message):
    __slots__ = ("records_affected", "versions_deleted", "records", "confirmation_token", "dry_run")
    RECORDS_AFFECTED_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_DELETED_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    records_affected: int
    versions_deleted: int
    records: _containers.RepeatedCompositeFieldContainer[RecordKey]
    confirmation_token: str
    dry_run: bool
    def __init__(self, records_affected: _Optional[int] = ..., versions_deleted: _Optional[int] = ..., records: _Optional[_Iterable[_Union[RecordKey, _Mapping]]] = ..., confirmation_token: _Optional[str] = ..., dry_run: bool = ...) -> None: ...

class PurgeVersionsRequest(_message.Message):
    __slots__ = ("type", "id", "keep_latest", "older_than", "request_id", "scope", "claim")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KEEP_LATEST_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    keep_latest: int
    older_than: _timestamp_pb2.Timestamp
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., keep_latest: _Optional[int] = ..., older_than: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class PurgeVersionsResponse(_message.Message):
    __slots__ = ("versions_deleted", "versions_remaining")
    VERSIONS_DELETED_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_REMAINING_FIELD_NUMBER: _ClassVar[int]
    versions_deleted: int
    versions_remaining: int
    def __init__(self, versions_deleted: _Optional[int] = ..., versions_remaining: _Optional[int] = ...) -> None: ...

class VerifyHistoryRequest(_message.Message):
    __slots__ = ("type", "id", "scope")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class VerifyHistoryResponse(_message.Message):
    __slots__ = ("valid", "versions", "first_version", "current_version", "digest", "problems", "erased")
    VALID_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    FIRST_VERSION_FIELD_NUMBER: _ClassVar[int]
    CURRENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    versions: int
    first_version: int
    current_version: int
    digest: str
    problems: _containers.RepeatedCompositeFieldContainer[HistoryProblem]
    erased: int
    def __init__(self, valid: bool = ..., versions: _Optional[int] = ..., first_version: _Optional[int] = ..., current_version: _Optional[int] = ..., digest: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[HistoryProblem, _Mapping]]] = ..., erased: _Optional[int] = ...) -> None: ...

class HistoryProblem(_message.Message):
    __slots__ = ("version", "kind")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[HistoryProblem.Kind]
        KIND_ALTERED: _ClassVar[HistoryProblem.Kind]
        KIND_MISSING: _ClassVar[HistoryProblem.Kind]
        KIND_UNLINKED: _ClassVar[HistoryProblem.Kind]
        KIND_UNKNOWN: _ClassVar[HistoryProblem.Kind]
    KIND_UNSPECIFIED: HistoryProblem.Kind
    KIND_ALTERED: HistoryProblem.Kind
    KIND_MISSING: HistoryProblem.Kind
    KIND_UNLINKED: HistoryProblem.Kind
    KIND_UNKNOWN: HistoryProblem.Kind
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    version: int
    kind: HistoryProblem.Kind
    def __init__(self, version: _Optional[int] = ..., kind: _Optional[_Union[HistoryProblem.Kind, str]] = ...) -> None: ...

class GetRetentionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRetentionResponse(_message.Message):
    __slots__ = ("default_versions", "by_type")
    class ByTypeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DEFAULT_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    BY_TYPE_FIELD_NUMBER: _ClassVar[int]
    default_versions: int
    by_type: _containers.ScalarMap[str, int]
    def __init__(self, default_versions: _Optional[int] = ..., by_type: _Optional[_Mapping[str, int]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("type", "id_prefix", "id", "cursor", "include_current", "scope")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CURRENT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    type: str
    id_prefix: str
    id: str
    cursor: str
    include_current: bool
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, type: _Optional[str] = ..., id_prefix: _Optional[str] = ..., id: _Optional[str] = ..., cursor: _Optional[str] = ..., include_current: bool = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

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
    __slots__ = ("kind", "type", "id", "data_json", "version", "agent_id", "time", "cursor")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    kind: _changes_pb2.ChangeKind
    type: str
    id: str
    data_json: str
    version: int
    agent_id: str
    time: _timestamp_pb2.Timestamp
    cursor: str
    def __init__(self, kind: _Optional[_Union[_changes_pb2.ChangeKind, str]] = ..., type: _Optional[str] = ..., id: _Optional[str] = ..., data_json: _Optional[str] = ..., version: _Optional[int] = ..., agent_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cursor: _Optional[str] = ...) -> None: ...
