from cortex_store._gen.cortex.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Guard(_message.Message):
    __slots__ = ("name", "fence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    fence: int
    def __init__(self, name: _Optional[str] = ..., fence: _Optional[int] = ...) -> None: ...
