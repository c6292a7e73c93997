"""The error that every call raises, and its conversion from a gRPC status."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Union

import grpc

from .._gen.cortex.error.v1 import error_pb2
from .._gen.cortex.options.v1 import options_pb2
from .._gen.cortex.python.v1 import status_pb2


class Traits(NamedTuple):
    """What a client may conclude from a reason, as the proto declares it."""

    repeatable: bool
    ambiguous: bool
    before_lookup: bool
    timed_out: bool


def _read_traits() -> dict[str, Traits]:
    found = {}
    prefix = "ERROR_REASON_"
    for value in error_pb2.ErrorReason.DESCRIPTOR.values:
        extensions: Any = value.GetOptions().Extensions
        traits: options_pb2.ReasonTraits = extensions[options_pb2.reason]
        found[value.name[len(prefix) :]] = Traits(
            traits.repeatable, traits.ambiguous, traits.before_lookup, traits.timed_out
        )
    return found


_traits = _read_traits()
_NO_TRAITS = Traits(False, True, False, False)


def traits_of(code: str) -> Traits:
    return _traits.get(code, _NO_TRAITS)


class CortexError(Exception):
    """The error that every call raises.

    >>> try:
    ...     cortex.mutable.increment("counters", "visits")
    ... except CortexError as error:
    ...     if error.code == "KEY_NOT_FOUND": ...
    """

    code: str
    """The reason, for a program: ``KEY_NOT_FOUND``, ``REVISION_MISMATCH``, … as
    ``cortex.error.v1.ErrorReason`` documents them."""
    message: str
    details: dict[str, Any]
    """What belongs to the reason, as text: the field, the limit, what was got. Each reason documents its
    names."""
    retryable: bool
    """True if the same call, unchanged, may succeed later. The call that failed may have been applied: see
    ``code``."""

    def __init__(self, code: str, message: str = "", details: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.details = dict(details or {})
        self.deadline: Optional[object] = None
        traits = traits_of(code)
        has_conflict = code == "TRANSACTION_FAILED" and self.details.get("reason") == "CONFLICT"
        self.retryable = (traits.repeatable or traits.timed_out or has_conflict) and "tls" not in self.details

    @property
    def operation_index(self) -> Optional[int]:
        """The operation of a transaction that failed, from 0; None if the error names none."""
        index = self.details.get("operation_index")
        return None if index is None else int(index)

    @property
    def cause(self) -> Optional[BaseException]:
        """The error that led to this one, such as what an updater raised."""
        return self.__cause__

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message != self.code else self.code

    def __repr__(self) -> str:
        return f"CortexError({self.code!r}, {self.message!r}, {self.details!r})"

    def __reduce__(self) -> Any:
        return (CortexError, (self.code, self.message, self.details))


def refused(code: str, field: str, problem: str) -> CortexError:
    """The error for an argument that is refused."""
    return CortexError(code, f"{field} {problem}", {"field": field, "problem": problem})


def with_applied(error: CortexError, applied: str) -> CortexError:
    """The same error, with what is known about whether the call was applied."""
    changed = CortexError(error.code, error.message, {**error.details, "applied": applied})
    changed.__cause__ = error.__cause__
    return changed


def too_late(deadline: object) -> CortexError:
    """The error for a function of the caller that was not done at the deadline of its call."""
    error = CortexError("DEADLINE_EXCEEDED", "the function took too long", {"applied": "no"})
    error.deadline = deadline
    return error


def is_late(error: BaseException, deadline: object) -> bool:
    """True if this deadline ended the function, and not an error that it raised itself."""
    return isinstance(error, CortexError) and error.deadline is deadline


def certainly_not(error: BaseException) -> bool:
    """True if a write that failed with this error was certainly not applied."""
    if not isinstance(error, CortexError):
        return False
    applied = error.details.get("applied")
    return applied == "no" or (not traits_of(error.code).ambiguous and applied != "unknown")


def from_grpc(error: Union[grpc.RpcError, Any]) -> CortexError:
    """The error of a failed call, from the reason that the server gave; without a reason, from its status."""
    status: grpc.StatusCode = error.code()
    text = error.details() or ""
    info = _info_of(error)
    if info is not None and info.reason in _traits:
        return _caused(CortexError(info.reason, text, dict(info.metadata)), error)
    details = {"status": status.name}
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL):
        # Without a reason it is not from the server: the connection broke.
        return _caused(CortexError("UNAVAILABLE", text, details), error)
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CortexError("DEADLINE_EXCEEDED", "the call ran out of time", details)
    if status is grpc.StatusCode.CANCELLED:
        return CortexError("CANCELLED", text or "the call was cancelled", details)
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # The transport itself refuses a message far above the limit.
        return CortexError("MESSAGE_TOO_LARGE", text, details)
    return _caused(CortexError("UNKNOWN", f"{status.name}: {text}", details), error)


def _caused(error: CortexError, cause: Any) -> CortexError:
    error.__cause__ = cause
    return error


def _info_of(error: Any) -> Optional[status_pb2.ErrorInfo]:
    """The reason in the trailers; None if there is none, or if it cannot be read."""
    for name, value in error.trailing_metadata() or ():
        if name != "grpc-status-details-bin":
            continue
        try:
            for detail in status_pb2.Status.FromString(value).details:
                if detail.type_url.endswith("/google.rpc.ErrorInfo"):
                    return status_pb2.ErrorInfo.FromString(detail.value)
        except Exception:  # the trailer is not ours: a proxy set it, for example
            return None
    return None


def shown(value: Any) -> str:
    """A value as text for an error, in at most 100 characters."""
    try:
        text = repr(value)
    except Exception:  # such as an int of more digits than Python shows
        return f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:100]}…"


def message_of(error: BaseException) -> str:
    """The kind of an error and its text: ``KeyError: 'name'``."""
    try:
        text = str(error)
    except Exception:  # its __str__ fails
        text = ""
    if isinstance(error, CortexError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
