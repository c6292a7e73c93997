from cortex_store._gen.cortex.scopes.v1 import scope_pb2 as _scope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListRequest(_message.Message):
    __slots__ = ("limit", "page_token", "scope")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    limit: int
    page_token: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, limit: _Optional[int] = ..., page_token: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("scopes", "next_page_token")
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scopes: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    next_page_token: str
    def __init__(self, scopes: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lines: _Optional[_Iterable[str]] = ...) -> None: ...

class PurgeRequest(_message.Message):
    __slots__ = ("dry_run", "request_id", "scope")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    request_id: str
    scope: _containers.RepeatedCompositeFieldContainer[_scope_pb2.ScopeStep]
    def __init__(self, dry_run: bool = ..., request_id: _Optional[str] = ..., scope: _Optional[_Iterable[_Union[_scope_pb2.ScopeStep, _Mapping]]] = ...) -> None: ...

class PurgeResponse(_message.Message):
    __slots__ = ("entries", "records", "versions", "claims", "streams", "dry_run")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    entries: int
    records: int
    versions: int
    claims: int
    streams: int
    dry_run: bool
    def __init__(self, entries: _Optional[int] = ..., records: _Optional[int] = ..., versions: _Optional[int] = ..., claims: _Optional[int] = ..., streams: _Optional[int] = ..., dry_run: bool = ...) -> None: ...
