"""Makes the calls to the server: deadline, retries, scope, claim. Every failure is a CortexError."""

from __future__ import annotations

import os
import threading
import uuid
from collections import deque
from typing import Any, AsyncIterator, Callable, Generic, Optional

from .._core.config import Config
from .._core.errors import CortexError
from .._core.methods import Method, Request, Response
from .._core.options import ClaimGuard, ScopeStep, guard_message, guard_of, scope_step
from .._core.retry import Attempts, Deadline, as_cut, pause_before
from .._core.validate import text, timeout_of
from .._gen.cortex.claims.v1 import guard_pb2
from .._gen.cortex.scopes.v1 import scope_pb2
from .io import AsyncConnection, AsyncConversation, AsyncEvent, AsyncStream, Metadata, is_closed, sleep, token_of

_ENDLESS_SECONDS = 60.0
# The server sends something every 10 seconds. After three times that, the connection counts as lost.
_SILENCE_SECONDS = 30.0
_WAITING_CALLS_MAX = 100  # a server takes 1000 on a connection by default (--streams-max), proxies often 100


class _Waiting:
    """Connections for calls that wait for other callers, such as watches. Short calls have a connection of
    their own: a server accepts a limited number of calls on one connection, so many watches on it would
    block short calls."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._all: list[tuple[AsyncConnection, list[int]]] = []
        self._ended: deque[list[int]] = deque()
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._is_closed = False

    def take(self) -> tuple[AsyncConnection, Callable[[], None]]:
        """A connection with room for a call, and a function to be called when the call has ended."""
        with self._own_lock():
            if self._is_closed:
                raise is_closed()
            while self._ended:
                self._ended.popleft()[0] -= 1
            taken = next((one for one in self._all if one[1][0] < _WAITING_CALLS_MAX), None)
            if taken is None:
                taken = (AsyncConnection(self._config), [0])
                self._all.append(taken)
            connection, calls = taken
            calls[0] += 1
        open_calls = [calls]

        def release() -> None:
            # Without the lock: the garbage collector may call it within `take`.
            try:
                self._ended.append(open_calls.pop())
            except IndexError:
                pass  # it was called before

        return connection, release

    def _own_lock(self) -> threading.Lock:
        if self._process != os.getpid():  # after a fork: another thread of the parent may have held it
            self._process = os.getpid()
            self._lock = threading.Lock()
        return self._lock

    async def close(self) -> None:
        with self._own_lock():
            self._is_closed = True
        for connection, _ in self._all:
            await connection.close()


class AsyncTransport:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.headers = config.headers
        self.timeout = config.timeout
        self.connection = AsyncConnection(config)
        self.waiting = _Waiting(config)
        self.guard: Optional[guard_pb2.Guard] = None
        self.scope: tuple[scope_pb2.ScopeStep, ...] = ()

    async def close(self) -> None:
        await self.connection.close()
        await self.waiting.close()

    def _with(self, **changed: Any) -> AsyncTransport:
        copy = AsyncTransport.__new__(AsyncTransport)
        copy.__dict__.update(self.__dict__, **changed)
        return copy

    def guarded(self, claim: ClaimGuard) -> AsyncTransport:
        """The same transport for writes under a claim."""
        return self._with(guard=guard_message(claim))

    def scoped(self, key: str, identifier: str) -> AsyncTransport:
        """The same transport, for a scope inside the current one."""
        return self._with(scope=(*self.scope, scope_step(key, identifier)))

    def as_agent(self, agent_id: str) -> AsyncTransport:
        """The same transport for another agent."""
        kept = tuple(one for one in self.headers if one[0] != "x-agent-id")
        return self._with(headers=(*kept, ("x-agent-id", agent_id)))

    @property
    def path(self) -> tuple[ScopeStep, ...]:
        return tuple(ScopeStep(step.key, step.identifier) for step in self.scope)

    @property
    def renews_token(self) -> bool:
        """True if the caller may have a new token when the old one is over."""
        return callable(self.config.token)

    async def metadata(self, deadline: Deadline) -> Metadata:
        sent = list(self.headers)
        if self.config.token is not None:
            sent.append(("authorization", f"Bearer {await token_of(self.config.token, deadline)}"))
        return sent

    async def unary(
        self, method: Method[Request, Response], request: Request, timeout: Optional[float] = None
    ) -> Response:
        """Calls an RPC."""
        return await self._call(self.connection, method, request, timeout, method.is_repeatable)

    async def write(
        self,
        method: Method[Request, Response],
        request: Any,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
        waits: bool = False,
        stop: Optional[AsyncEvent] = None,
    ) -> Response:
        """Calls an RPC that writes, with a request id, so that it can be repeated if its reply is lost.
        ``waits`` is for a write that waits for what others do; ``stop`` cancels it."""
        named = uuid.uuid4().hex if request_id is None else text(request_id, "request_id", "INVALID_REQUEST_ID")
        request.request_id = named
        guard = guard_of(method, claim, self.guard)
        if guard is not None:
            request.claim.CopyFrom(guard)
        if not waits:
            return await self._call(self.connection, method, request, timeout, True, stop)
        connection, release = self.waiting.take()
        try:
            return await self._call(connection, method, request, timeout, True, stop)
        finally:
            release()

    async def _call(
        self,
        connection: AsyncConnection,
        method: Method[Request, Response],
        request: Request,
        timeout: Optional[float],
        is_repeatable: bool,
        stop: Optional[AsyncEvent] = None,
    ) -> Response:
        deadline = Deadline(timeout_of(timeout, self.timeout))
        self.in_scope(method, request)
        attempts = Attempts(is_repeatable, deadline)
        while True:
            try:
                await connection.ready(deadline, stop)
                metadata = await self.metadata(deadline)
                left = max(deadline.left(), 0.001)
                if stop is not None:
                    return await connection.stoppable(method, request, metadata, left, stop)
                return await connection.unary(method, request, metadata, left)
            except CortexError as error:
                wait = attempts.failed(error)
            await sleep(wait)

    def in_scope(self, method: Method[Any, Any], request: Any) -> None:
        """Adds the scope to the request, if the RPC has a scope."""
        if self.scope and method.has_scope:
            del request.scope[:]
            request.scope.extend(self.scope)

    async def collect(
        self, method: Method[Request, Response], request: Request, timeout: Optional[float] = None
    ) -> list[Response]:
        """All messages of a short stream, such as one list."""
        deadline = Deadline(timeout_of(timeout, self.timeout))
        self.in_scope(method, request)
        attempts = Attempts(method.is_repeatable, deadline)
        while True:
            stream: Optional[AsyncStream[Response]] = None
            try:
                await self.connection.ready(deadline)
                stream = self.connection.stream(method, request, await self.metadata(deadline), deadline.left())
                messages: list[Response] = []
                while (message := await stream.read(deadline.left())) is not None:
                    messages.append(message)
                return messages
            except CortexError as error:
                wait = attempts.failed(error)
            finally:
                if stream is not None:
                    stream.cancel()
            await sleep(wait)

    async def messages(
        self, method: Method[Request, Response], next_request: Callable[[], Request], timeout: Optional[float]
    ) -> AsyncIterator[Response]:
        """The messages of a stream one by one, in bounded memory. ``timeout`` bounds the wait for each.
        ``next_request`` gives the request to send: the first one, and after a failure the one that
        continues the stream."""
        seconds = timeout_of(timeout, self.timeout)
        failures = 0
        while True:
            deadline = Deadline(seconds)
            stream: Optional[AsyncStream[Response]] = None
            try:
                await self.connection.ready(deadline)
                request = next_request()
                self.in_scope(method, request)
                stream = self.connection.stream(method, request, await self.metadata(deadline), None)
                while (message := await stream.read(deadline.left())) is not None:
                    failures = 0
                    yield message
                    deadline = Deadline(seconds)
                return
            except CortexError as error:
                failures += 1
                wait = pause_before(error, failures, method.is_repeatable, deadline)
                if wait is None:
                    raise
            finally:
                if stream is not None:
                    stream.cancel()
            await sleep(wait)

    async def conversation(
        self, method: Method[Request, Response], deadline: Deadline
    ) -> AsyncConversation[Request, Response]:
        """Opens a call in which both sides send messages."""
        await self.connection.ready(deadline)
        return self.connection.conversation(method, await self.metadata(deadline), max(deadline.left(), 0.001))


class AsyncEndless(Generic[Request, Response]):
    """The messages of a stream that has no end. It goes on after a lost connection. It fails if it has tried
    for ``timeout`` to reach a server, or with an error that would come again."""

    def __init__(
        self,
        transport: AsyncTransport,
        method: Method[Request, Response],
        next_request: Callable[[], Request],
        timeout: Optional[float] = None,
        begin_timeout: Optional[float] = None,
    ) -> None:
        self._transport = transport
        self._method = method
        self._next_request = next_request
        self._timeout = timeout_of(timeout, _ENDLESS_SECONDS)
        self._connection, self._release = transport.waiting.take()
        self._deadline = Deadline(timeout_of(begin_timeout, self._timeout))
        self._failures = 0
        self._has_begun = False
        self._stream: Optional[AsyncStream[Response]] = None
        self._closing = AsyncEvent()

    @property
    def is_closed(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        """Ends it, also while another thread or task waits for a message."""
        self._closing.set()
        self._release()
        if self._stream is not None:
            self._stream.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_release"):  # else its constructor has failed
            self._release()

    async def next(self, deadline: Optional[Deadline] = None) -> Optional[Response]:
        """The next message; None once it is closed, or at the deadline."""
        while not self.is_closed:
            try:
                if self._stream is None:
                    await self._open(self._deadline if deadline is None else deadline)
                    first = self._deadline.left()
                else:
                    first = _SILENCE_SECONDS
                assert self._stream is not None
                if self.is_closed:
                    self._stream.cancel()
                message = await self._stream.read(first if deadline is None else min(first, deadline.left()))
                if message is None:
                    raise CortexError("UNAVAILABLE", "the server ended the stream")
                self._has_begun = True
                self._failures = 0
                return message
            except CortexError as error:
                if deadline is not None and deadline.left() <= 0:
                    self.close()
                    return None
                wait = self._failed(error)
            if wait is not None:
                await self._closing.wait(wait if deadline is None else min(wait, max(deadline.left(), 0)))
        return None

    async def _open(self, deadline: Deadline) -> None:
        await self._connection.ready(deadline, self._closing)
        request = self._next_request()
        self._transport.in_scope(self._method, request)
        metadata = await self._transport.metadata(deadline)
        self._stream = self._connection.stream(self._method, request, metadata, None)

    def _failed(self, error: CortexError) -> Optional[float]:
        """The seconds to wait before it is opened again; None if it was closed."""
        if self._stream is not None:
            self._stream.cancel()
        self._stream = None
        if self.is_closed:
            return None
        if self._connection.is_closed:
            self.close()
            raise is_closed() from None
        if self._has_begun:
            self._deadline = Deadline(self._timeout)
        renews = self._has_begun and self._transport.renews_token
        self._has_begun = False
        self._failures += 1
        wait = pause_before(as_cut(error, renews), self._failures, self._method.is_repeatable, self._deadline)
        if wait is None:
            self.close()
            raise error
        return wait
