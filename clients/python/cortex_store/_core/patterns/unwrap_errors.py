"""The errors of patterns, without the update or the transaction in which they came up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Optional

from ..errors import CortexError


@contextmanager
def unwrapped_errors(*codes: str) -> Iterator[None]:
    """A block for an update or a transaction, which wrap an error that their function raised; a transaction also wraps
    that of an operation which the server refused. Raises the wrapped error, if it has one of these codes (default:
    any code), else the error itself. In both cases nothing was written."""
    try:
        yield
    except CortexError as error:
        own = _wrapped(error)
        if own is None or (codes and own.code not in codes):
            raise
        raise own from None


def _wrapped(error: CortexError) -> Optional[CortexError]:
    cause = error.cause
    if error.code == "UPDATE_FAILED":
        return cause if isinstance(cause, CortexError) else None
    reason = error.details.get("reason")
    # After a conflict the same transaction may succeed.
    if error.code != "TRANSACTION_FAILED" or reason is None or reason == "CONFLICT":
        return None
    if isinstance(cause, CortexError) and cause.code == reason:
        return cause
    return CortexError(reason, error.message, error.details)
