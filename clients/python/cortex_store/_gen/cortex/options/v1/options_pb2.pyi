from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Reach(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REACH_UNSPECIFIED: _ClassVar[Reach]
    REACH_NAMESPACE: _ClassVar[Reach]
    REACH_TYPE: _ClassVar[Reach]
    REACH_USER: _ClassVar[Reach]
    REACH_CLAIM: _ClassVar[Reach]
    REACH_CHANNEL: _ClassVar[Reach]
    REACH_STREAM: _ClassVar[Reach]
REACH_UNSPECIFIED: Reach
REACH_NAMESPACE: Reach
REACH_TYPE: Reach
REACH_USER: Reach
REACH_CLAIM: Reach
REACH_CHANNEL: Reach
REACH_STREAM: Reach
REACH_FIELD_NUMBER: _ClassVar[int]
reach: _descriptor.FieldDescriptor
REASON_FIELD_NUMBER: _ClassVar[int]
reason: _descriptor.FieldDescriptor

class ReasonTraits(_message.Message):
    __slots__ = ("repeatable", "ambiguous", "before_lookup", "timed_out")
    REPEATABLE_FIELD_NUMBER: _ClassVar[int]
    AMBIGUOUS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_LOOKUP_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    repeatable: bool
    ambiguous: bool
    before_lookup: bool
    timed_out: bool
    def __init__(self, repeatable: bool = ..., ambiguous: bool = ..., before_lookup: bool = ..., timed_out: bool = ...) -> None: ...
