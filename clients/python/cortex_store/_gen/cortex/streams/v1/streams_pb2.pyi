import datetime

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

class GroupStart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_START_UNSPECIFIED: _ClassVar[GroupStart]
    GROUP_START_BEGINNING: _ClassVar[GroupStart]
    GROUP_START_END: _ClassVar[GroupStart]

class DeliveryEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_END_UNSPECIFIED: _ClassVar[DeliveryEnd]
    DELIVERY_END_TIMED_OUT: _ClassVar[DeliveryEnd]
    DELIVERY_END_GIVEN_BACK: _ClassVar[DeliveryEnd]
    DELIVERY_END_TAKEN_OVER: _ClassVar[DeliveryEnd]
    DELIVERY_END_CONSUMER_REMOVED: _ClassVar[DeliveryEnd]
GROUP_START_UNSPECIFIED: GroupStart
GROUP_START_BEGINNING: GroupStart
GROUP_START_END: GroupStart
DELIVERY_END_UNSPECIFIED: DeliveryEnd
DELIVERY_END_TIMED_OUT: DeliveryEnd
DELIVERY_END_GIVEN_BACK: DeliveryEnd
DELIVERY_END_TAKEN_OVER: DeliveryEnd
DELIVERY_END_CONSUMER_REMOVED: DeliveryEnd

class NewEntry(_message.Message):
    __slots__ = ("data_json", "user_id", "id")
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    data_json: str
    user_id: str
    id: str
    def __init__(self, data_json: _Optional[str] = ..., user_id: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("stream", "entries", "max_len", "max_age_seconds", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MAX_LEN_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    entries: _containers.RepeatedCompositeFieldContainer[NewEntry]
    max_len: int
    max_age_seconds: float
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[NewEntry, _Mapping]]] = ..., max_len: _Optional[int] = ..., max_age_seconds: _Optional[float] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class NewEntries(_message.Message):
    __slots__ = ("stream", "entries", "max_len", "max_age_seconds")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MAX_LEN_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    stream: str
    entries: _containers.RepeatedCompositeFieldContainer[NewEntry]
    max_len: int
    max_age_seconds: float
    def __init__(self, stream: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[NewEntry, _Mapping]]] = ..., max_len: _Optional[int] = ..., max_age_seconds: _Optional[float] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("id", "data_json", "user_id", "appended_by")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    APPENDED_BY_FIELD_NUMBER: _ClassVar[int]
    id: str
    data_json: str
    user_id: str
    appended_by: str
    def __init__(self, id: _Optional[str] = ..., data_json: _Optional[str] = ..., user_id: _Optional[str] = ..., appended_by: _Optional[str] = ...) -> None: ...

class RangeRequest(_message.Message):
    __slots__ = ("stream", "from_id", "to_id", "reverse", "limit", "page_token", "scope")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FROM_ID_FIELD_NUMBER: _ClassVar[int]
    TO_ID_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    stream: str
    from_id: str
    to_id: str
    reverse: bool
    limit: int
    page_token: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, stream: _Optional[str] = ..., from_id: _Optional[str] = ..., to_id: _Optional[str] = ..., reverse: bool = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class RangeResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class TrimRequest(_message.Message):
    __slots__ = ("stream", "max_len", "max_age_seconds", "before_id", "include_pending", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    MAX_LEN_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PENDING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    max_len: int
    max_age_seconds: float
    before_id: str
    include_pending: bool
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., max_len: _Optional[int] = ..., max_age_seconds: _Optional[float] = ..., before_id: _Optional[str] = ..., include_pending: bool = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class TrimResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ("stream", "group", "scope")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("stream", "groups")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    stream: StreamInfo
    groups: _containers.RepeatedCompositeFieldContainer[GroupInfo]
    def __init__(self, stream: _Optional[_Union[StreamInfo, _Mapping]] = ..., groups: _Optional[_Iterable[_Union[GroupInfo, _Mapping]]] = ...) -> None: ...

class StreamInfo(_message.Message):
    __slots__ = ("name", "length", "bytes", "first_id", "last_id", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FIRST_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    length: int
    bytes: int
    first_id: str
    last_id: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., length: _Optional[int] = ..., bytes: _Optional[int] = ..., first_id: _Optional[str] = ..., last_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GroupInfo(_message.Message):
    __slots__ = ("name", "last_delivered_id", "lag", "pending", "dead_letters", "visibility_seconds", "max_deliveries", "consumers")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAST_DELIVERED_ID_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    last_delivered_id: str
    lag: int
    pending: int
    dead_letters: int
    visibility_seconds: float
    max_deliveries: int
    consumers: _containers.RepeatedCompositeFieldContainer[ConsumerInfo]
    def __init__(self, name: _Optional[str] = ..., last_delivered_id: _Optional[str] = ..., lag: _Optional[int] = ..., pending: _Optional[int] = ..., dead_letters: _Optional[int] = ..., visibility_seconds: _Optional[float] = ..., max_deliveries: _Optional[int] = ..., consumers: _Optional[_Iterable[_Union[ConsumerInfo, _Mapping]]] = ...) -> None: ...

class ConsumerInfo(_message.Message):
    __slots__ = ("name", "pending", "last_delivery_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    LAST_DELIVERY_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    pending: int
    last_delivery_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., pending: _Optional[int] = ..., last_delivery_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
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

class ListResponse(_message.Message):
    __slots__ = ("streams", "next_page_token")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamInfo]
    next_page_token: str
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("stream", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("deleted", "entries")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    entries: int
    def __init__(self, deleted: bool = ..., entries: _Optional[int] = ...) -> None: ...

class EnsureGroupRequest(_message.Message):
    __slots__ = ("stream", "group", "start", "after_id", "visibility_seconds", "max_deliveries", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    start: GroupStart
    after_id: str
    visibility_seconds: float
    max_deliveries: int
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., start: _Optional[_Union[GroupStart, str]] = ..., after_id: _Optional[str] = ..., visibility_seconds: _Optional[float] = ..., max_deliveries: _Optional[int] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class EnsureGroupResponse(_message.Message):
    __slots__ = ("created", "visibility_seconds", "max_deliveries")
    CREATED_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    created: bool
    visibility_seconds: float
    max_deliveries: int
    def __init__(self, created: bool = ..., visibility_seconds: _Optional[float] = ..., max_deliveries: _Optional[int] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("stream", "group", "consumer", "count", "block_seconds", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    consumer: str
    count: int
    block_seconds: float
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., consumer: _Optional[str] = ..., count: _Optional[int] = ..., block_seconds: _Optional[float] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class ReadResponse(_message.Message):
    __slots__ = ("entries", "visibility_seconds")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Delivered]
    visibility_seconds: float
    def __init__(self, entries: _Optional[_Iterable[_Union[Delivered, _Mapping]]] = ..., visibility_seconds: _Optional[float] = ...) -> None: ...

class Delivered(_message.Message):
    __slots__ = ("entry", "delivery", "deliveries")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    entry: Entry
    delivery: int
    deliveries: int
    def __init__(self, entry: _Optional[_Union[Entry, _Mapping]] = ..., delivery: _Optional[int] = ..., deliveries: _Optional[int] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("id", "delivery")
    ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    id: str
    delivery: int
    def __init__(self, id: _Optional[str] = ..., delivery: _Optional[int] = ...) -> None: ...

class AckRequest(_message.Message):
    __slots__ = ("stream", "group", "deliveries", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class AckResponse(_message.Message):
    __slots__ = ("acknowledged",)
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    acknowledged: int
    def __init__(self, acknowledged: _Optional[int] = ...) -> None: ...

class NackRequest(_message.Message):
    __slots__ = ("stream", "group", "deliveries", "delay_seconds", "reason", "request_id", "uncounted", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    DELAY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UNCOUNTED_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    delay_seconds: float
    reason: str
    request_id: str
    uncounted: bool
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., delay_seconds: _Optional[float] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., uncounted: bool = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class NackResponse(_message.Message):
    __slots__ = ("given_back", "dead_letters")
    GIVEN_BACK_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    given_back: int
    dead_letters: int
    def __init__(self, given_back: _Optional[int] = ..., dead_letters: _Optional[int] = ...) -> None: ...

class ExtendRequest(_message.Message):
    __slots__ = ("stream", "group", "deliveries", "scope")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class ExtendResponse(_message.Message):
    __slots__ = ("held",)
    HELD_FIELD_NUMBER: _ClassVar[int]
    held: _containers.RepeatedCompositeFieldContainer[Delivery]
    def __init__(self, held: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ...) -> None: ...

class PendingRequest(_message.Message):
    __slots__ = ("stream", "group", "consumer", "dead_letters", "limit", "page_token", "scope")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    consumer: str
    dead_letters: bool
    limit: int
    page_token: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., consumer: _Optional[str] = ..., dead_letters: bool = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class PendingResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[PendingEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[PendingEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PendingEntry(_message.Message):
    __slots__ = ("entry", "consumer", "delivery", "deliveries", "delivery_time", "visible_time", "dead_time", "history")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_TIME_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_TIME_FIELD_NUMBER: _ClassVar[int]
    DEAD_TIME_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    entry: Entry
    consumer: str
    delivery: int
    deliveries: int
    delivery_time: _timestamp_pb2.Timestamp
    visible_time: _timestamp_pb2.Timestamp
    dead_time: _timestamp_pb2.Timestamp
    history: _containers.RepeatedCompositeFieldContainer[PastDelivery]
    def __init__(self, entry: _Optional[_Union[Entry, _Mapping]] = ..., consumer: _Optional[str] = ..., delivery: _Optional[int] = ..., deliveries: _Optional[int] = ..., delivery_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., visible_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dead_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., history: _Optional[_Iterable[_Union[PastDelivery, _Mapping]]] = ...) -> None: ...

class PastDelivery(_message.Message):
    __slots__ = ("consumer", "delivery_time", "end", "reason")
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_TIME_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    consumer: str
    delivery_time: _timestamp_pb2.Timestamp
    end: DeliveryEnd
    reason: str
    def __init__(self, consumer: _Optional[str] = ..., delivery_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[DeliveryEnd, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class TakeOverRequest(_message.Message):
    __slots__ = ("stream", "group", "consumer", "min_idle_seconds", "ids", "count", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    MIN_IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    consumer: str
    min_idle_seconds: float
    ids: _containers.RepeatedScalarFieldContainer[str]
    count: int
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., consumer: _Optional[str] = ..., min_idle_seconds: _Optional[float] = ..., ids: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class TakeOverResponse(_message.Message):
    __slots__ = ("entries", "visibility_seconds")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Delivered]
    visibility_seconds: float
    def __init__(self, entries: _Optional[_Iterable[_Union[Delivered, _Mapping]]] = ..., visibility_seconds: _Optional[float] = ...) -> None: ...

class RetryRequest(_message.Message):
    __slots__ = ("stream", "group", "ids", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class RetryResponse(_message.Message):
    __slots__ = ("given_back",)
    GIVEN_BACK_FIELD_NUMBER: _ClassVar[int]
    given_back: int
    def __init__(self, given_back: _Optional[int] = ...) -> None: ...

class RemoveConsumerRequest(_message.Message):
    __slots__ = ("stream", "group", "consumer", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    consumer: str
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., consumer: _Optional[str] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class RemoveConsumerResponse(_message.Message):
    __slots__ = ("given_back",)
    GIVEN_BACK_FIELD_NUMBER: _ClassVar[int]
    given_back: int
    def __init__(self, given_back: _Optional[int] = ...) -> None: ...

class DeleteGroupRequest(_message.Message):
    __slots__ = ("stream", "group", "request_id", "scope", "claim")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    group: str
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    claim: _guard_pb2.Guard
    def __init__(self, stream: _Optional[str] = ..., group: _Optional[str] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., claim: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class DeleteGroupResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    def __init__(self, deleted: bool = ...) -> None: ...
