"""Consumes a stream: reads entries, calls a function for each, and acknowledges them or gives them back."""

from __future__ import annotations

import dataclasses
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .._core.errors import CortexError, message_of, refused, traits_of
from .._core.records import DeliveredEntry, delivered_entry
from .io import AsyncEvent, AsyncSlots, AsyncTask, check_callable, is_of_handler, result_of

if TYPE_CHECKING:
    from .streams import AsyncStreamGroup

_BLOCK_SECONDS = 30.0
_PAUSE_SECONDS = 1.0  # the pause before it repeats a failed call
_DELAY_MAX = 60.0
_DELAY_LIMIT = 604_800.0  # the server's
_REASON_CHARS_MAX = 250  # of at most 4 bytes each


@dataclass(frozen=True, eq=False)
class AsyncConsumedEntry(DeliveredEntry):
    """An entry that ``consume`` gives to its function."""

    lost: AsyncEvent = field(default_factory=AsyncEvent)
    """Set when the entry has gone to another consumer."""


class AsyncConsumption:
    """One call of ``consume``."""

    def __init__(
        self,
        group: AsyncStreamGroup,
        stream: str,
        handler: Callable[[AsyncConsumedEntry], Any],
        concurrency: Any,
        retry_delay: Union[float, Callable[[int], float], None],
        on_error: Optional[Callable[[BaseException, AsyncConsumedEntry], Any]],
        stop: Optional[AsyncEvent],
    ) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= 1000:
            raise refused("INVALID_OPTIONS", "concurrency", "is not a whole number from 1 to 1000")
        check_callable(handler, "handler")
        if on_error is not None:
            check_callable(on_error, "on_error")
        if retry_delay is not None and not callable(retry_delay) and not _is_delay(retry_delay):
            raise refused(
                "INVALID_OPTIONS", "retry_delay", "is neither a number of seconds up to a week nor a function"
            )
        if stop is not None and not isinstance(stop, AsyncEvent):
            raise refused("INVALID_OPTIONS", "stop", "is not an AsyncEvent of cortex_store")
        self._group = group
        self._transport = group._transport
        self._stream = stream
        self._handler = handler
        self._retry_delay = retry_delay
        self._on_error = on_error
        self._stop = stop
        self._ending = AsyncEvent()
        self._concurrency = concurrency
        self._slots = AsyncSlots(concurrency)
        self._working: dict[str, AsyncConsumedEntry] = {}
        self._tasks: dict[str, AsyncTask] = {}
        self._handled: set[str] = set()
        self._cut: list[AsyncConsumedEntry] = []
        self._cut_handled: list[AsyncConsumedEntry] = []
        self._asked: Optional[tuple[int, str]] = None
        self._failure: Optional[CortexError] = None
        self._visibility = 0.0

    async def run(self) -> None:
        over = AsyncEvent()
        tasks: list[AsyncTask] = []
        extending = AsyncEvent()

        async def watch_stop() -> None:
            while not over.is_set() and self._stop is not None:
                if await self._stop.wait(0.1):
                    self._ending.set()
                    return

        async def extend_all() -> None:
            while not over.is_set():
                if await extending.wait(0.25) and not await over.wait(max(self._visibility / 3, 0.02)):
                    await self._extend()

        if self._stop is not None:
            tasks.append(AsyncTask(watch_stop))
        tasks.append(AsyncTask(extend_all))
        try:
            try:
                await self._read_all(extending)
            except CortexError as error:
                self._fail(error)
            await self._slots.wait_all()
        except BaseException:
            self._ending.set()
            await self._cut_off()
            raise
        finally:
            self._ending.set()
            over.set()
            for task in tasks:
                await task.join()
        if self._failure is not None:
            raise self._failure

    async def _cut_off(self) -> None:
        """The caller was cancelled: ends the functions at work, and gives their entries back."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            await task.join()
        try:
            if self._cut:
                await self._group.nack(self._stream, self._cut, uncounted=True)
            if self._cut_handled:
                await self._group.ack(self._stream, self._cut_handled)
        except CortexError:
            pass  # the group delivers the entries again after the visibility time
        await self._give_back()

    def _fail(self, error: CortexError) -> None:
        if self._failure is None:
            self._failure = error
        self._ending.set()

    @property
    def _is_ending(self) -> bool:
        return self._ending.is_set() or self._transport.connection.is_closed

    async def _read_all(self, extending: AsyncEvent) -> None:
        # A read that failed may have been given entries: it is repeated with the same request id.
        while True:
            free = await self._slots.wait_free()
            if self._is_ending:
                break
            asked = self._asked = self._asked or (free, uuid.uuid4().hex)
            asked_at = time.monotonic()
            try:
                reply = await self._group.read_reply(
                    self._stream, count=asked[0], request_id=asked[1], block=_BLOCK_SECONDS, stop=self._ending
                )
            except CortexError as error:
                if self._is_ending:
                    break
                has_lasted = time.monotonic() - asked_at > _PAUSE_SECONDS
                is_token_over = error.code == "UNAUTHENTICATED" and self._transport.renews_token
                if not _may_pass(error) and not (has_lasted and is_token_over):
                    raise
                await self._ending.wait(_PAUSE_SECONDS * (0.5 + random.random()))
                continue
            self._asked = None
            self._visibility = reply.visibility_seconds
            extending.set()
            for message in reply.entries:
                await self._begin(delivered_entry(message))
        await self._give_back()

    async def _give_back(self) -> None:
        """Gives back the entries of a read whose answer was not heard."""
        if self._asked is None or self._transport.connection.is_closed:
            return
        count, request_id = self._asked
        try:
            entries = await self._group.read(self._stream, count=count, request_id=request_id)
            if entries:
                await self._group.nack(self._stream, entries, uncounted=True)
        except CortexError:
            pass  # the group delivers the entries again after the visibility time

    async def _begin(self, delivered: DeliveredEntry) -> None:
        fields = {one.name: getattr(delivered, one.name) for one in dataclasses.fields(delivered)}
        entry = AsyncConsumedEntry(**fields)
        # The same entry may have come back before its function has ended.
        for other in list(self._working.values()):
            if other.id == entry.id:
                other.lost.set()
        name = _name(entry)
        self._working[name] = entry
        await self._slots.take(1)

        async def work() -> None:
            is_done = False
            try:
                await self._work(entry)
                is_done = True
            except CortexError as error:
                is_done = True
                # The group delivers the entry again after the visibility time.
                if not _may_pass(error) and not self._is_ending:
                    self._fail(error)
            finally:
                is_handled = name in self._handled
                self._handled.discard(name)
                if not is_done:
                    (self._cut_handled if is_handled else self._cut).append(entry)
                self._working.pop(name, None)
                self._tasks.pop(name, None)
                await self._slots.give()

        self._tasks[name] = AsyncTask(work)
        if name not in self._working:  # it has ended already
            self._tasks.pop(name, None)

    async def _work(self, entry: AsyncConsumedEntry) -> None:
        """Works on an entry to its end."""
        try:
            await result_of(self._handler(entry))
        except BaseException as error:
            if not is_of_handler(error):
                raise
            delay = _default_delay(entry.deliveries)
            try:
                if self._on_error is not None:
                    await result_of(self._on_error(error, entry))
                given = self._retry_delay
                if callable(given):
                    given = given(entry.deliveries)
                if _is_delay(given):
                    delay = float(given)  # type: ignore[arg-type]
            except Exception as raised:
                error = raised
            await self._group.nack(self._stream, [entry], delay=delay, reason=_reason_of(error))
            return
        self._handled.add(_name(entry))
        await self._group.ack(self._stream, [entry])

    async def _extend(self) -> None:
        """Extends the entries that are worked on, and tells those that have gone to another consumer."""
        entries = list(self._working.values())
        if not entries:
            return
        try:
            held = await self._group.extend(self._stream, entries, timeout=max(self._visibility / 3, 1))
        except CortexError:
            return  # the next one may succeed
        names = {f"{one.id} {one.delivery}" for one in held}
        for entry in entries:
            if _name(entry) not in names:
                entry.lost.set()


def _name(entry: DeliveredEntry) -> str:
    return f"{entry.id} {entry.delivery}"


def _may_pass(error: CortexError) -> bool:
    """True if the same call may succeed later."""
    traits = traits_of(error.code)
    return traits.repeatable or traits.timed_out or error.code == "QUOTA_EXCEEDED"


def _is_delay(seconds: Any) -> bool:
    return isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= _DELAY_LIMIT


def _default_delay(deliveries: int) -> float:
    return min(2.0 ** min(deliveries - 1, 10), _DELAY_MAX)


def _reason_of(error: BaseException) -> str:
    shown = message_of(error).encode("utf-8", "replace").decode()[:_REASON_CHARS_MAX]
    return "".join(char if char.isprintable() else " " for char in shown)
