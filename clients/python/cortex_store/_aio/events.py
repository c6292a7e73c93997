"""The client of Events: messages to whoever listens at that moment."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, AsyncIterator, Callable, Mapping, Optional, Sequence

from .._core.errors import CortexError, message_of, refused
from .._core.messages import known, new_event
from .._core.methods import EventsRpc
from .._core.options import ClaimGuard, ScopeStep
from .._core.records import EventEnvelope, event_envelope
from .._core.validate import listed, text, timeout_of
from .._gen.cortex.events.v1 import events_pb2
from .io import AsyncEvent, AsyncTask, check_callable, is_of_handler, result_of
from .transport import AsyncEndless, AsyncTransport

_log = logging.getLogger("cortex_store")


class AsyncEvents:
    """Events: a message on a channel goes to all who are subscribed at that moment, on any server. Each of
    them gets it at most once, and nobody gets it later. If no message may be missed, use ``mutable.watch``
    or a stream instead.

    A channel has segments, which ``:`` joins: ``user:created``. In a pattern ``*`` stands for any one
    segment, and ``**`` at its end for one segment or more.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        user_id: Optional[str] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Publishes an event. Gives the number of matching subscriptions of the server process that answered.

        :param channel: 1 to 512 bytes of UTF-8: segments that ``:`` joins, without ``*`` and control
            characters.
        :param data: any JSON value up to 64 KiB.
        :param user_id: the user it belongs to; must exist.

        Raises INVALID_CHANNEL, INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP, INVALID_USER_ID,
        USER_NOT_FOUND, FENCE_STALE, WATCH_DISABLED, OVERLOADED (the tenant has published too much within the
        last seconds).
        """
        request = events_pb2.PublishRequest(events=[new_event(channel, data, user_id)])
        reply = await self._transport.write(
            EventsRpc.publish, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return reply.receivers

    async def publish_many(
        self,
        events: Sequence[Mapping[str, Any]],
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Publishes up to 1000 events, all or none of them. Subscribers get them together, in the order of
        the list. An empty list does nothing. Gives the sum of what ``publish`` would give.

        :param events: dicts with ``channel``, ``data`` and, if wanted, ``user_id``.

        Raises INVALID_BATCH, and as ``publish``.
        """
        messages = []
        for i, event in enumerate(listed(events, "events")):
            given = known(event, ["channel", "data", "user_id"], f"events[{i}]", "INVALID_OPTIONS")
            prefix = f"events[{i}]."
            if "data" not in given:
                raise refused("INVALID_VALUE", f"{prefix}data", "is missing")
            messages.append(new_event(given.get("channel"), given.get("data"), given.get("user_id"), prefix))
        request = events_pb2.PublishRequest(events=messages)
        reply = await self._transport.write(
            EventsRpc.publish, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return reply.receivers

    def stream(
        self,
        pattern: str,
        *,
        on_resubscribe: Optional[Callable[[], Any]] = None,
        timeout: Optional[float] = None,
    ) -> AsyncEventStream:
        """Gives the events of the channels that match a pattern. It subscribes when the first event is asked
        for; events that are published before the server has done so do not come. If that matters, use
        ``subscribe``. After a lost connection it goes on, and what was published meanwhile is missed:
        ``on_resubscribe`` is called then.

        :param timeout: seconds for which it tries to reach a server before it fails. Default: 60.

        Raises INVALID_CHANNEL, WATCH_DISABLED, OVERLOADED, UNAVAILABLE; EVENTS_MISSED if the loop is so slow
        that more than 10 000 events or 16 MiB wait for it.

        >>> async for event in cortex.events.stream("user:**"): ...
        """
        return AsyncEventStream(self._transport, pattern, on_resubscribe, timeout)

    async def subscribe(
        self,
        pattern: str,
        handler: Callable[[EventEnvelope], Any],
        *,
        on_error: Optional[Callable[[BaseException], Any]] = None,
        on_resubscribe: Optional[Callable[[], Any]] = None,
        timeout: Optional[float] = None,
    ) -> AsyncSubscription:
        """Calls a function for each event of the channels that match a pattern, one after the other. Gives
        the subscription once it has begun: events that are published after that come. It goes on until its
        ``close``.

        :param on_error: called with what the handler raises, and with each error of the subscription. After
            EVENTS_MISSED and errors that are ``retryable`` it goes on; after others it has ended. Default: a
            line of the logger ``cortex_store``.
        :param timeout: seconds until this call fails if it cannot begin.

        Raises INVALID_CHANNEL, INVALID_OPTIONS, WATCH_DISABLED, OVERLOADED, UNAVAILABLE, DEADLINE_EXCEEDED.

        >>> subscription = await cortex.events.subscribe("user:*", lambda event: print(event.type, event.data))
        """
        for function, name in ((handler, "handler"), (on_error, "on_error"), (on_resubscribe, "on_resubscribe")):
            if function is not None or name == "handler":
                check_callable(function, name)
        subscription = AsyncSubscription(self._transport, pattern, handler, on_error, on_resubscribe, timeout)
        await subscription.begin()
        return subscription


class AsyncEventStream(AsyncIterator[EventEnvelope]):
    """The events of a pattern. Leave the loop and call ``close``, or use it as a block."""

    def __init__(
        self,
        transport: AsyncTransport,
        pattern: str,
        on_resubscribe: Optional[Callable[[], Any]],
        timeout: Optional[float],
        begin_timeout: Optional[float] = None,
        on_begin: Optional[Callable[[], Any]] = None,
    ) -> None:
        name = text(pattern, "pattern", "INVALID_CHANNEL")
        self._scope: Optional[ScopeStep] = transport.path[-1] if transport.path else None
        self._asked = 0
        self._begun = 0
        self._on_begin = on_begin
        self._on_resubscribe = on_resubscribe
        self._events: deque[Any] = deque()

        def request() -> events_pb2.SubscribeRequest:
            self._asked += 1
            return events_pb2.SubscribeRequest(pattern=name)

        self._endless: AsyncEndless[Any, Any] = AsyncEndless(
            transport, EventsRpc.subscribe, request, timeout, begin_timeout
        )

    @property
    def is_closed(self) -> bool:
        return self._endless.is_closed

    def close(self) -> None:
        """Ends it, also while another thread or task waits for an event."""
        self._endless.close()

    async def __aenter__(self) -> AsyncEventStream:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.close()

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> EventEnvelope:
        while not self._events:
            message = await self._endless.next()
            if message is None:
                raise StopAsyncIteration
            if self._begun < self._asked:  # the first message of the call
                told = self._on_begin if self._begun == 0 else self._on_resubscribe
                self._begun = self._asked
                if told is not None:
                    await result_of(told())
            self._events.extend(message.events)
        return event_envelope(self._events.popleft(), self._scope)


class AsyncSubscription:
    """A subscription that calls a function for each event. ``close`` ends it."""

    def __init__(
        self,
        transport: AsyncTransport,
        pattern: str,
        handler: Callable[[EventEnvelope], Any],
        on_error: Optional[Callable[[BaseException], Any]],
        on_resubscribe: Optional[Callable[[], Any]],
        timeout: Optional[float],
    ) -> None:
        self._transport = transport
        self._pattern = pattern
        self._handler = handler
        self._on_error = on_error
        self._on_resubscribe = on_resubscribe
        self._timeout = timeout_of(timeout, transport.timeout)
        self._begun = AsyncEvent()
        self._failure: Optional[BaseException] = None
        self._is_closed = False
        self._has_begun = False
        self._stream = self._open(self._timeout)

    def _open(self, begin_timeout: Optional[float]) -> AsyncEventStream:
        return AsyncEventStream(self._transport, self._pattern, self._resubscribed, None, begin_timeout, self._on_begin)

    async def begin(self) -> None:
        """Waits until it has begun. Raises if it cannot begin."""
        self._task = AsyncTask(self._run)
        try:
            await self._begun.wait()
        except BaseException:
            self.close()
            raise
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Ends it."""
        self._is_closed = True
        self._stream.close()

    async def _on_begin(self) -> None:
        if self._has_begun:
            await self._resubscribed()
        self._has_begun = True
        self._begun.set()

    async def _resubscribed(self) -> None:
        if self._on_resubscribe is not None:
            await self._calling(self._on_resubscribe)

    async def _run(self) -> None:
        while not self._is_closed:
            try:
                async for event in self._stream:
                    if self._is_closed:
                        return
                    await self._calling(self._handler, event)
                return
            except CortexError as error:
                if not self._has_begun:
                    self._failure = error
                    self._begun.set()
                    return
                if self._is_closed or error.code == "CANCELLED":
                    return
                await self._tell(error)
                if error.code != "EVENTS_MISSED" and not error.retryable:
                    return
                self._stream.close()
                if self._is_closed:
                    return
                try:
                    self._stream = self._open(None)
                except CortexError:
                    return  # the client is closed
                if self._is_closed:
                    self._stream.close()

    async def _calling(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Calls a function of the caller. What it raises is told."""
        try:
            await result_of(call(*arguments))
        except BaseException as error:
            if not is_of_handler(error):
                raise
            await self._tell(error)

    async def _tell(self, error: BaseException) -> None:
        try:
            if self._on_error is not None:
                await result_of(self._on_error(error))
                return
        except Exception as raised:
            error = raised
        _log.error("an event was not handled: %s", message_of(error), exc_info=error)
