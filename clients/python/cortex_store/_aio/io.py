"""What differs between the asyncio client and the synchronous one, beyond words: connections, streams, tasks."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any, Callable, Coroutine, Generic, Optional

import grpc
import grpc.aio

from .._core.config import Config, in_one_line, token_text
from .._core.errors import CortexError, from_grpc, is_late, message_of, refused, too_late
from .._core.methods import Method, Request, Response
from .._core.retry import Deadline

Metadata = list[tuple[str, str]]

sleep = asyncio.sleep
_PROBE_SECONDS = 0.25
_CLEANUP_SECONDS = 1.0
_SLICE_SECONDS = 0.25


def is_closed() -> CortexError:
    return CortexError("CANCELLED", "the client is closed", {"applied": "no"})


class AsyncConnection:
    """A connection to the server. It is opened when it is first needed, and again after it was lost."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._process = os.getpid()
        self._opened: Optional[grpc.aio.Channel] = None
        self._calls: dict[str, Any] = {}
        self.is_closed = False

    @property
    def _channel(self) -> grpc.aio.Channel:
        # It belongs to the running event loop, so it is not made before a call.
        if self._opened is None:
            config = self._config
            if config.credentials is None:
                self._opened = grpc.aio.insecure_channel(config.address, options=config.options)
            else:
                self._opened = grpc.aio.secure_channel(config.address, config.credentials, options=config.options)
        return self._opened

    async def close(self) -> None:
        self.is_closed = True
        if self._opened is not None and self._process == os.getpid():  # after a fork it is the parent's
            await self._opened.close()

    async def ready(self, deadline: Deadline, stop: Optional[AsyncEvent] = None) -> None:
        """Waits for the connection before a call is sent. If it fails, the call has not reached the server. ``stop``
        ends the wait."""
        if self.is_closed:
            raise is_closed()
        channel = self._channel
        while (state := self._state(channel)) is not grpc.ChannelConnectivity.READY:
            if self.is_closed or state is grpc.ChannelConnectivity.SHUTDOWN:
                raise is_closed()
            left = deadline.left()
            if left <= 0:
                raise await self._unreachable()
            if stop is not None:
                if stop.is_set():
                    raise CortexError("CANCELLED", "the call was cancelled", {"applied": "no"})
                left = min(left, _SLICE_SECONDS)
            try:
                await asyncio.wait_for(channel.wait_for_state_change(state), left)
            except asyncio.TimeoutError:
                pass
            except grpc.aio.UsageError:  # "the channel is closed"
                raise is_closed() from None

    def _state(self, channel: grpc.aio.Channel) -> grpc.ChannelConnectivity:
        try:
            return channel.get_state(try_to_connect=True)
        except grpc.aio.UsageError:
            return grpc.ChannelConnectivity.SHUTDOWN

    async def missing(self) -> Optional[CortexError]:
        """The error UNAVAILABLE if no server can be reached; None if one can."""
        try:
            await self.ready(Deadline(_PROBE_SECONDS))
        except CortexError as error:
            return error if error.code == "UNAVAILABLE" else None
        return None

    async def _unreachable(self) -> CortexError:
        probe: Any = self._channel.unary_unary("/", request_serializer=None, response_deserializer=None)
        problem = ""
        try:
            await probe(b"", timeout=_PROBE_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                problem = in_one_line(error.details() or "")
        address = self._config.address
        message = f"no server can be reached at {address}{': ' if problem else ''}{problem}"
        return CortexError("UNAVAILABLE", message, {"address": address, "applied": "no"})

    def _call(self, kind: str, method: Method[Request, Response]) -> Any:
        found = self._calls.get(method.path)
        if found is None:
            found = getattr(self._channel, kind)(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            self._calls[method.path] = found
        return found

    async def unary(
        self, method: Method[Request, Response], request: Request, metadata: Metadata, timeout: float
    ) -> Response:
        try:
            return await self._call("unary_unary", method)(request, metadata=metadata, timeout=timeout)  # type: ignore[no-any-return]
        except grpc.RpcError as error:
            raise from_grpc(error) from error
        except (ValueError, grpc.aio.UsageError):  # "the channel is closed"
            raise is_closed() from None
        except asyncio.CancelledError:
            if self.is_closed and not _is_cancelling():
                raise CortexError("CANCELLED", "the client is closed") from None
            raise

    async def stoppable(
        self, method: Method[Request, Response], request: Request, metadata: Metadata, timeout: float, stop: AsyncEvent
    ) -> Response:
        """The same, until ``stop`` is set: then it fails with CANCELLED."""
        call = asyncio.ensure_future(self.unary(method, request, metadata, timeout))
        call.add_done_callback(_heed)
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([call, stopping], return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return call.result()
            raise CortexError("CANCELLED", "the call was cancelled")
        finally:
            stopping.cancel()
            call.cancel()

    def stream(
        self, method: Method[Request, Response], request: Request, metadata: Metadata, timeout: Optional[float]
    ) -> AsyncStream[Response]:
        return AsyncStream(self._call("unary_stream", method)(request, metadata=metadata, timeout=timeout), self)

    def conversation(
        self, method: Method[Request, Response], metadata: Metadata, timeout: float
    ) -> AsyncConversation[Request, Response]:
        return AsyncConversation(self._call("stream_stream", method)(metadata=metadata, timeout=timeout), self)


class AsyncStream(Generic[Response]):
    """The messages of a server-streaming call."""

    def __init__(self, call: Any, connection: AsyncConnection) -> None:
        self._call = call
        self._connection = connection
        self._pending: Optional[asyncio.Future[Any]] = None
        self._is_cancelled = False

    async def read(self, timeout: float) -> Optional[Response]:
        """The next message; None at the end. Fails with DEADLINE_EXCEEDED if none comes in time. If the task that
        awaits it is cancelled, the next call gives the message."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._call.read())
            self._pending.add_done_callback(_heed)
        await asyncio.wait([self._pending], timeout=max(timeout, 0))
        if not self._pending.done():
            self.cancel()
            raise CortexError("DEADLINE_EXCEEDED", "the call ran out of time")
        pending, self._pending = self._pending, None
        try:
            message = pending.result()
        except grpc.RpcError as error:
            raise from_grpc(error) from error
        except asyncio.CancelledError:
            is_closed = self._connection.is_closed and not self._is_cancelled
            text = "the client is closed" if is_closed else "the call was cancelled"
            raise CortexError("CANCELLED", text) from None
        return None if message is grpc.aio.EOF else message

    def cancel(self) -> None:
        self._is_cancelled = True
        self._call.cancel()


def _heed(task: asyncio.Future[Any]) -> None:
    """Takes the error of a task that nobody may await any more, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()


def _is_cancelling() -> bool:
    """True if the running task itself is cancelled, and not only the call that it awaits. Python 3.9 and 3.10 do not
    say."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0


class AsyncConversation(Generic[Request, Response]):
    """A call in which both sides send messages."""

    def __init__(self, call: Any, connection: AsyncConnection) -> None:
        self._call = call
        self._connection = connection
        self._is_cancelled = False

    async def send(self, message: Request) -> None:
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the next read says why it has ended

    async def read(self) -> Optional[Response]:
        """The next message; None at the end."""
        try:
            message = await self._call.read()
            if message is not grpc.aio.EOF:
                return message  # type: ignore[no-any-return]
            if await self._call.code() is grpc.StatusCode.OK:
                return None
            raise grpc.aio.AioRpcError(
                await self._call.code(),
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                await self._call.details(),
            )
        except grpc.RpcError as error:
            raise from_grpc(error) from error
        except asyncio.CancelledError:
            if (self._connection.is_closed or self._is_cancelled) and not _is_cancelling():
                raise CortexError("CANCELLED", "the client is closed") from None
            raise

    def cancel(self) -> None:
        self._is_cancelled = True
        self._call.cancel()


async def token_of(token: Any, deadline: Deadline) -> str:
    """The current token: the text, or what the function returns, which may be awaitable."""
    if isinstance(token, str):
        return token
    try:
        given = await result_of(token(), deadline)
    except Exception as error:
        if is_late(error, deadline):
            raise
        message = f"the token function failed: {message_of(error)}"
        raise CortexError("UNAUTHENTICATED", message, {"problem": "no token"}) from error
    return token_text(given)


async def result_of(value: Any, deadline: Optional[Deadline] = None) -> Any:
    """What a function of the caller returned. It may be awaitable, and is then awaited until the deadline."""
    if not inspect.isawaitable(value):
        return value
    if deadline is None:
        return await value
    work = asyncio.ensure_future(value)
    is_own = work is not value  # a future of the caller is not cancelled: others may await it
    try:
        await asyncio.wait([work], timeout=max(deadline.left(), 0))
    except asyncio.CancelledError:
        if is_own:
            work.cancel()
            await asyncio.wait([work])
        raise
    if not work.done():
        if is_own:
            work.cancel()
            await asyncio.wait([work], timeout=_CLEANUP_SECONDS)
        raise too_late(deadline)
    if work.cancelled():
        raise CortexError("CANCELLED", "the function was cancelled", {"applied": "no"})
    return work.result()


def is_of_handler(error: BaseException) -> bool:
    """True if a function of the caller raised the error, and False if it ends this task."""
    if isinstance(error, asyncio.CancelledError):
        return hasattr(asyncio.current_task(), "cancelling") and not _is_cancelling()
    return isinstance(error, Exception)


def check_callable(function: Any, field: str, code: str = "INVALID_OPTIONS") -> None:
    if not callable(function):
        raise refused(code, field, "is not a function")


class AsyncEvent:
    """An event that is set once."""

    def __init__(self) -> None:
        self._event: Optional[asyncio.Event] = None
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is set, at most ``timeout`` seconds. Gives whether it is set."""
        if self._is_set:
            return True
        if self._event is None:
            self._event = asyncio.Event()  # it belongs to the running event loop
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except asyncio.TimeoutError:
            pass
        return self._is_set


class AsyncTask:
    """Runs a function beside the caller."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work())

    @property
    def is_done(self) -> bool:
        return self._task.done()

    async def join(self) -> None:
        await asyncio.wait([self._task])

    def cancel(self) -> None:
        self._task.cancel()


class AsyncLock:
    """One at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *_: Any) -> None:
        self._lock.release()


class AsyncSlots:
    """Limits how many entries are worked on at once: counts free slots, and waits for a free one."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._count = count
        self._changed = asyncio.Condition()

    async def take(self, count: int) -> None:
        self.free -= count

    async def give(self) -> None:
        async with self._changed:
            self.free += 1
            self._changed.notify_all()

    async def wait_free(self) -> int:
        async with self._changed:
            await self._changed.wait_for(lambda: self.free > 0)
            return self.free

    async def wait_all(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.free == self._count)
