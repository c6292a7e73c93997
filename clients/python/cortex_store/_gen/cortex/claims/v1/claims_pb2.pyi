import datetime

from cortex_store._gen.cortex.options.v1 import options_pb2 as _options_pb2
from cortex_store._gen.cortex.scopes.v1 import scope_pb2 as _scope_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Claim(_message.Message):
    __slots__ = ("name", "owner", "fence", "value_json", "acquire_time", "expire_time", "user_id", "agent_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    fence: int
    value_json: str
    acquire_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    user_id: str
    agent_id: str
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., fence: _Optional[int] = ..., value_json: _Optional[str] = ..., acquire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., user_id: _Optional[str] = ..., agent_id: _Optional[str] = ...) -> None: ...

class AcquireRequest(_message.Message):
    __slots__ = ("name", "owner", "value_json", "ttl_seconds", "wait_seconds", "user_id", "request_id", "scope")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    value_json: str
    ttl_seconds: float
    wait_seconds: float
    user_id: str
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., value_json: _Optional[str] = ..., ttl_seconds: _Optional[float] = ..., wait_seconds: _Optional[float] = ..., user_id: _Optional[str] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class AcquireResponse(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: Claim
    def __init__(self, claim: _Optional[_Union[Claim, _Mapping]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("name", "fence", "ttl_seconds", "request_id", "scope")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    fence: int
    ttl_seconds: float
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, name: _Optional[str] = ..., fence: _Optional[int] = ..., ttl_seconds: _Optional[float] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: Claim
    def __init__(self, claim: _Optional[_Union[Claim, _Mapping]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("name", "fence", "request_id", "scope")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    fence: int
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, name: _Optional[str] = ..., fence: _Optional[int] = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("name", "scope")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, name: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: Claim
    def __init__(self, claim: _Optional[_Union[Claim, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("claims", "next_page_token")
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    claims: _containers.RepeatedCompositeFieldContainer[Claim]
    next_page_token: str
    def __init__(self, claims: _Optional[_Iterable[_Union[Claim, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
