"""Watches: the changes of a namespace or a type, going on from the last cursor."""

from __future__ import annotations

from collections import deque
from typing import Any, AsyncIterator, Callable, Generic, Optional, TypeVar

from .._core.errors import CortexError, refused
from .._core.retry import Deadline
from .._core.validate import flag, optional_text
from .io import check_callable, result_of
from .transport import AsyncEndless, AsyncTransport

C = TypeVar("C")


class AsyncWatch(AsyncIterator[C], Generic[C]):
    """The changes of a watch. It never ends by itself: leave the loop and call ``close``, or use it as a
    block."""

    def __init__(
        self,
        transport: AsyncTransport,
        method: Any,
        request: Callable[[dict[str, Any]], Any],
        convert: Callable[[Any], C],
        cursor: Optional[str],
        include_current: bool,
        on_progress: Optional[Callable[[str, bool], Any]],
        timeout: Optional[float],
    ) -> None:
        self._cursor = optional_text(cursor, "cursor", "INVALID_CURSOR")
        self._include_current = flag(include_current, "include_current")
        if include_current and cursor is not None:
            raise refused("INVALID_OPTIONS", "cursor", "cannot go together with include_current")
        if on_progress is not None:
            check_callable(on_progress, "on_progress")
        self._on_progress = on_progress
        self._convert = convert
        self.is_current = not include_current
        self._changes: deque[Any] = deque()
        self._progress: Optional[str] = None
        self._endless: AsyncEndless[Any, Any] = AsyncEndless(
            transport, method, lambda: request(self._resume()), timeout
        )

    def _resume(self) -> dict[str, Any]:
        if self._cursor is not None:
            return {"cursor": self._cursor}
        return {"include_current": self._include_current}

    def close(self) -> None:
        """Ends it, also while another thread or task waits for a change."""
        self._endless.close()

    async def __aenter__(self) -> AsyncWatch[C]:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.close()

    def __aiter__(self) -> AsyncWatch[C]:
        return self

    async def __anext__(self) -> C:
        while True:
            if self._changes:
                change = self._changes.popleft()
                self._cursor = change.cursor
                return self._convert(change)
            await self._tell_progress()
            message = await self._endless.next()
            if message is None:
                raise StopAsyncIteration
            self._take(message)

    def _take(self, message: Any) -> None:
        self._changes.extend(message.changes)
        self._progress = message.cursor
        self.is_current = self.is_current or message.current_complete

    async def _tell_progress(self) -> None:
        """Once all changes of a message have been given."""
        if self._progress is None:
            return
        self._cursor, self._progress = self._progress, None
        if self._on_progress is not None:
            await result_of(self._on_progress(self._cursor, self.is_current))

    async def next_within(self, deadline: Deadline, or_current: bool = False) -> Optional[C]:
        """The next change; None at the deadline, or with ``or_current`` once everything that existed has
        come."""
        while not self._changes:
            await self._tell_progress()
            if (or_current and self.is_current) or deadline.left() <= 0:
                return None
            try:
                message = await self._endless.next(deadline)
            except CortexError:
                if deadline.left() > 0:
                    raise
                return None
            if message is None:
                return None
            self._take(message)
        change = self._changes.popleft()
        self._cursor = change.cursor
        return self._convert(change)
