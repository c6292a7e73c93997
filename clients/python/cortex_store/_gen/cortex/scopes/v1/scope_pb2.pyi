from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ScopeStep(_message.Message):
    __slots__ = ("key", "identifier")
    KEY_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    key: str
    identifier: str
    def __init__(self, key: _Optional[str] = ..., identifier: _Optional[str] = ...) -> None: ...
