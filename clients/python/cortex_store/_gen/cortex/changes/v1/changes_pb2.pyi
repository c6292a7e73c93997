from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    CHANGE_KIND_SET: _ClassVar[ChangeKind]
    CHANGE_KIND_DELETE: _ClassVar[ChangeKind]
    CHANGE_KIND_EXPIRE: _ClassVar[ChangeKind]
    CHANGE_KIND_PURGE: _ClassVar[ChangeKind]
    CHANGE_KIND_ERASE: _ClassVar[ChangeKind]
    CHANGE_KIND_CURRENT: _ClassVar[ChangeKind]
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_SET: ChangeKind
CHANGE_KIND_DELETE: ChangeKind
CHANGE_KIND_EXPIRE: ChangeKind
CHANGE_KIND_PURGE: ChangeKind
CHANGE_KIND_ERASE: ChangeKind
CHANGE_KIND_CURRENT: ChangeKind
