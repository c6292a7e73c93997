"""The deadline of a call, and the rules for repeating it."""

from __future__ import annotations

import random
import time
from typing import Optional

from .errors import CortexError, certainly_not, traits_of, with_applied

_BACKOFF = 0.05
_BACKOFF_MAX = 1.0


class Deadline:
    """The end of a call."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        return self._at - time.monotonic()


def _may_repeat(error: CortexError, is_repeatable: bool) -> bool:
    return error.retryable and traits_of(error.code).repeatable and (certainly_not(error) or is_repeatable)


def pause_before(error: CortexError, failures: int, is_repeatable: bool, deadline: Deadline) -> Optional[float]:
    """The seconds to wait before the next attempt; None if there is none."""
    if not _may_repeat(error, is_repeatable):
        return None
    asked = float(error.details.get("retry_after_ms", 0)) / 1000
    wait = asked + random.random() * min(_BACKOFF * 2.0 ** min(failures, 10), _BACKOFF_MAX)  # full jitter
    return wait if wait < deadline.left() else None


def _unsure(error: CortexError) -> CortexError:
    """Corrects the error of a repeat after an attempt that may have been applied. If the repeat changed
    nothing, or was refused before the server looked for the stored reply, its error says nothing about the
    earlier attempt. So ``applied`` becomes ``unknown``."""
    if error.details.get("applied") != "no" and not traits_of(error.code).before_lookup:
        return error
    return with_applied(error, "unknown")


def _after_failure(error: CortexError, before: Optional[CortexError]) -> CortexError:
    """The error of an attempt that ran out of time after another had failed: it names that failure, which is
    why the time ran out."""
    if error.code != "DEADLINE_EXCEEDED" or before is None:
        return error
    applied = before.details.get("applied") if certainly_not(error) else "unknown"
    named = CortexError(
        before.code,
        f"{before.message}; the call was repeated until it ran out of time",
        {**before.details, "applied": applied},
    )
    named.__cause__ = error
    return named


class Attempts:
    """The attempts of one call."""

    def __init__(self, is_repeatable: bool, deadline: Deadline) -> None:
        self._is_repeatable = is_repeatable
        self._deadline = deadline
        self._failures = 0
        self._is_sure = True
        self._before: Optional[CortexError] = None

    def failed(self, error: CortexError) -> float:
        """The seconds to wait before the next attempt. If there is no next attempt, raises the error for the
        caller."""
        named = _after_failure(error, self._before)
        told = named if self._is_sure else _unsure(named)
        self._is_sure = self._is_sure and certainly_not(error)
        self._before = error
        self._failures += 1
        wait = pause_before(error, self._failures, self._is_repeatable, self._deadline)
        if wait is None:
            raise told
        return wait


def as_cut(error: CortexError, may_renew: bool) -> CortexError:
    """For streams without an end: turns SLOW_READER, DEADLINE_EXCEEDED (the server was silent), and the end
    of a token that the caller can renew into UNAVAILABLE. The stream is then opened again, as after a lost
    connection."""
    if error.code in ("SLOW_READER", "DEADLINE_EXCEEDED") or (may_renew and error.code == "UNAUTHENTICATED"):
        return CortexError("UNAVAILABLE", error.message, error.details)
    return error
