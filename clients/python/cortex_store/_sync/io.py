"""What differs between the synchronous client and the asyncio one, beyond words: connections, streams,
threads."""

from __future__ import annotations

import heapq
import inspect
import itertools
import os
import queue
import threading
import time
from typing import Any, Callable, Generic, Iterator, Optional

import grpc

from .._core.config import Config, in_one_line, token_text
from .._core.errors import CortexError, from_grpc, message_of, refused
from .._core.methods import Method, Request, Response
from .._core.retry import Deadline

Metadata = list[tuple[str, str]]

sleep = time.sleep
_PROBE_SECONDS = 1.0
_HEALTH = "/grpc.health.v1.Health/Check"
_SLICE_SECONDS = 0.25
_SLICE_SECONDS_MAX = 4.0
_STOP_SECONDS = 0.1


def is_closed() -> CortexError:
    return CortexError("CANCELLED", "the client is closed", {"applied": "no"})


class Connection:
    """A connection to the server. It is opened when it is first needed, and again after it was lost."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.is_closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._opened: Optional[grpc.Channel] = None
        self._kept: list[Any] = []
        self._calls: dict[str, Any] = {}
        self._is_ready = False
        self._timers = _Timers()

    @property
    def _channel(self) -> grpc.Channel:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = self._open()
        return self._opened

    def _open(self) -> grpc.Channel:
        config = self._config
        if config.credentials is None:
            return grpc.insecure_channel(config.address, options=config.options)
        return grpc.secure_channel(config.address, config.credentials, options=config.options)

    def close(self) -> None:
        self.is_closed = True
        if self._process != os.getpid():
            return  # after a fork it is the parent's
        self._timers.close()
        if self._opened is not None:
            self._opened.close()

    def ready(self, deadline: Deadline, stop: Optional[Event] = None) -> None:
        """Waits for the connection before a call is sent. If it fails, the call has not reached the server. ``stop``
        ends the wait."""
        if self._process != os.getpid():
            # After a fork the connection is the parent's. It is kept, so that nobody closes it here.
            kept = [*self._kept, self._opened]
            self._begin()
            self._kept = kept
        seconds = _SLICE_SECONDS
        while not self._is_ready:
            if self.is_closed:
                raise is_closed()
            if stop is not None and stop.is_set():
                raise CortexError("CANCELLED", "the call was cancelled", {"applied": "no"})
            if deadline.left() <= 0:
                raise self._unreachable()
            # In slices, so that `stop` ends it; they get longer, for a slow connection. A call, because
            # grpc.channel_ready_future would leave a thread behind for 0.2 s, and a fork at that time ends the child.
            self._is_ready = self._answers(min(deadline.left(), seconds))
            seconds = min(2 * seconds, _SLICE_SECONDS_MAX)
        if self.is_closed:
            raise is_closed()

    def _answers(self, seconds: float) -> bool:
        check: Any = self._channel.unary_unary(_HEALTH, request_serializer=None, response_deserializer=None)
        try:
            check(b"", timeout=seconds, wait_for_ready=True)
        except ValueError:  # "the channel is closed"
            raise is_closed() from None
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                time.sleep(min(seconds, _SLICE_SECONDS / 2))  # the connection was lost at once
            unknown = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            return error.code() not in unknown
        return True

    def missing(self) -> Optional[CortexError]:
        """The error UNAVAILABLE if no server can be reached; None if one can."""
        try:
            self._is_ready = False
            self.ready(Deadline(_PROBE_SECONDS))
        except CortexError as error:
            return error if error.code == "UNAVAILABLE" else None
        return None

    def _unreachable(self) -> CortexError:
        probe: Any = self._channel.unary_unary("/", request_serializer=None, response_deserializer=None)
        problem = ""
        try:
            probe(b"", timeout=_PROBE_SECONDS)
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

    def failed(self, error: grpc.RpcError) -> CortexError:
        converted = from_grpc(error)
        if converted.code == "UNAVAILABLE":
            self._is_ready = False
        return converted

    def unary(
        self, method: Method[Request, Response], request: Request, metadata: Metadata, timeout: float
    ) -> Response:
        try:
            return self._call("unary_unary", method)(request, metadata=metadata, timeout=timeout)  # type: ignore[no-any-return]
        except grpc.RpcError as error:
            raise self.failed(error) from error
        except ValueError:  # "the channel is closed"
            raise is_closed() from None

    def stoppable(
        self, method: Method[Request, Response], request: Request, metadata: Metadata, timeout: float, stop: Event
    ) -> Response:
        """The same, until ``stop`` is set: then it fails with CANCELLED."""
        try:
            call = self._call("unary_unary", method).future(request, metadata=metadata, timeout=timeout)
        except ValueError:
            raise is_closed() from None
        while True:
            try:
                return call.result(timeout=_STOP_SECONDS)  # type: ignore[no-any-return]
            except grpc.FutureTimeoutError:
                if stop.is_set():
                    call.cancel()
                    raise CortexError("CANCELLED", "the call was cancelled") from None
            except grpc.FutureCancelledError:
                raise CortexError("CANCELLED", "the client is closed") from None
            except grpc.RpcError as error:
                raise self.failed(error) from error

    def stream(
        self, method: Method[Request, Response], request: Request, metadata: Metadata, timeout: Optional[float]
    ) -> Stream[Response]:
        try:
            call = self._call("unary_stream", method)(request, metadata=metadata, timeout=timeout)
        except ValueError:
            raise is_closed() from None
        return Stream(call, self)

    def conversation(
        self, method: Method[Request, Response], metadata: Metadata, timeout: float
    ) -> Conversation[Request, Response]:
        return Conversation(self._call("stream_stream", method), self, metadata, timeout)

    def after(self, seconds: float, action: Callable[[], Any]) -> Callable[[], None]:
        """Calls a function later. Gives a function that prevents it."""
        return self._timers.after(seconds, action)


class _Timers:
    """Calls functions later, by one thread, which begins with the first and ends when the client is closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, list[Any]]] = []
        self._numbers = itertools.count()
        self._thread: Optional[threading.Thread] = None
        self._is_closed = False

    def after(self, seconds: float, action: Callable[[], Any]) -> Callable[[], None]:
        item = [action]
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), item))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cortex-store-timers", daemon=True)
                self._thread.start()
            if self._heap[0][2] is item:
                self._changed.notify()
        return item.clear

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._heap.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and self._heap and not self._heap[0][2]:
                    heapq.heappop(self._heap)  # it was prevented
                if self._is_closed:
                    return
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                item = heapq.heappop(self._heap)[2]
            for action in item[:1]:
                action()


class Stream(Generic[Response]):
    """The messages of a server-streaming call."""

    def __init__(self, call: Any, connection: Connection) -> None:
        self._call = call
        self._connection = connection

    def read(self, timeout: float) -> Optional[Response]:
        """The next message; None at the end. Fails with DEADLINE_EXCEEDED if none comes in time."""
        is_late = False

        def late() -> None:
            nonlocal is_late
            is_late = True
            self._call.cancel()

        prevent = self._connection.after(max(timeout, 0), late)
        try:
            return next(self._call)  # type: ignore[no-any-return]
        except StopIteration:
            return None
        except grpc.RpcError as error:
            if is_late:
                raise CortexError("DEADLINE_EXCEEDED", "the call ran out of time") from None
            raise self._connection.failed(error) from error
        finally:
            prevent()

    def cancel(self) -> None:
        self._call.cancel()


class Conversation(Generic[Request, Response]):
    """A call in which both sides send messages."""

    def __init__(self, call: Any, connection: Connection, metadata: Metadata, timeout: float) -> None:
        self._outgoing: queue.SimpleQueue[Optional[Request]] = queue.SimpleQueue()
        self._connection = connection
        try:
            self._call = call(self._requests(), metadata=metadata, timeout=timeout)
        except ValueError:
            raise is_closed() from None

    def _requests(self) -> Iterator[Request]:
        while (message := self._outgoing.get()) is not None:
            yield message

    def send(self, message: Request) -> None:
        self._outgoing.put(message)

    def read(self) -> Optional[Response]:
        """The next message; None at the end."""
        try:
            return next(self._call)  # type: ignore[no-any-return]
        except StopIteration:
            return None
        except grpc.RpcError as error:
            raise self._connection.failed(error) from error

    def cancel(self) -> None:
        self._call.cancel()
        self._outgoing.put(None)


def token_of(token: Any, deadline: Deadline) -> str:
    """The current token: the text, or what the function returns."""
    if isinstance(token, str):
        return token
    try:
        given = result_of(token(), deadline)
    except Exception as error:
        message = f"the token function failed: {message_of(error)}"
        raise CortexError("UNAUTHENTICATED", message, {"problem": "no token"}) from error
    return token_text(given)


def result_of(value: Any, deadline: Optional[Deadline] = None) -> Any:
    """What a function of the caller returned. An awaitable is refused: nobody would await it."""
    if inspect.isawaitable(value):
        getattr(value, "close", lambda: None)()
        raise TypeError("the function is async: use AsyncCortex")
    return value


def is_of_handler(error: BaseException) -> bool:
    """True: nothing else than a function of the caller ends a thread."""
    return True


def check_callable(function: Any, field: str, code: str = "INVALID_OPTIONS") -> None:
    if not callable(function):
        raise refused(code, field, "is not a function")
    if inspect.iscoroutinefunction(function):
        raise refused(code, field, "is async: use AsyncCortex")


class Event:
    """An event that is set once."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is set, at most ``timeout`` seconds. Gives whether it is set."""
        return self._event.wait(timeout)


class Task:
    """Runs a function beside the caller, in a thread."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._thread = threading.Thread(target=work, name="cortex-store", daemon=True)
        self._thread.start()

    def join(self) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Nothing: a thread cannot be cancelled."""


class Lock:
    """One at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        self._lock.release()


class Slots:
    """Limits how many entries are worked on at once: counts free slots, and waits for a free one."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._count = count
        self._changed = threading.Condition()

    def take(self, count: int) -> None:
        with self._changed:
            self.free -= count

    def give(self) -> None:
        with self._changed:
            self.free += 1
            self._changed.notify_all()

    def wait_free(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self.free > 0)
            return self.free

    def wait_all(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.free == self._count)
