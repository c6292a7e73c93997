"""Generated from _aio/streams.py by tools/generate.py: change that file."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Optional, Sequence, Union

from .._core.errors import refused
from .._core.messages import deliveries_of, known, new_entry, stream_text, trim_fields
from .._core.methods import StreamsRpc
from .._core.options import ClaimGuard
from .._core.records import (
    DeleteStreamResult,
    DeliveredEntry,
    GroupRecord,
    HeldDelivery,
    NackResult,
    PendingResult,
    StreamEntry,
    StreamListResult,
    StreamRange,
    StreamRecord,
    delivered_entry,
    group_record,
    pending_entry,
    stream_entry,
    stream_record,
)
from .._core.validate import (
    flag,
    listed,
    optional_seconds,
    optional_text,
    optional_whole,
    text,
    timeout_of,
)
from .._gen.cortex.streams.v1 import streams_pb2
from .consume import ConsumedEntry, Consumption
from .io import Event
from .transport import Transport

_BLOCK_MAX = 3600.0
_WEEK = 604_800.0

DeliveryRef = Union[str, DeliveredEntry, Any]


class Streams:
    """Streams: a stream is a log to which entries are appended, in one order for all. Consumer groups share
    its entries: each goes to one consumer of each group, until it is acknowledged."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def append(
        self,
        stream: str,
        data: Any,
        *,
        user_id: Optional[str] = None,
        id: Optional[str] = None,
        max_len: Optional[int] = None,
        max_age_seconds: Optional[float] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> str:
        """Appends an entry; the first one creates the stream. Gives the id of the entry.

        :param stream: 1 to 512 bytes of UTF-8, not blank, without control characters.
        :param data: any JSON value up to 1 MiB, unless the server is configured otherwise.
        :param user_id: the user it belongs to; must exist. It is erased together with the user.
        :param id: ``<milliseconds>-<number>``, above all ids that the stream has given. Default: the next
            one.
        :param max_len: how many entries the stream keeps; ``max_age_seconds``: how old one may become. What a
            group has pending or as a dead letter stays.

        Raises INVALID_STREAM, INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP, INVALID_ENTRY_ID,
        ENTRY_ID_TOO_LOW, INVALID_LIMIT, INVALID_TTL, USER_NOT_FOUND, FENCE_STALE, QUOTA_EXCEEDED.
        """
        request = streams_pb2.AppendRequest(
            stream=stream_text(stream),
            entries=[new_entry(data, user_id, id)],
            **trim_fields(max_len, max_age_seconds),
        )
        reply = self._transport.write(StreamsRpc.append, request, request_id=request_id, claim=claim, timeout=timeout)
        return reply.ids[0]

    def append_many(
        self,
        stream: str,
        entries: Sequence[Mapping[str, Any]],
        *,
        max_len: Optional[int] = None,
        max_age_seconds: Optional[float] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> list_of[str]:
        """Appends up to 1000 entries, all or none of them, in the order of the list. An empty list does
        nothing. Gives the ids.

        :param entries: dicts with ``data`` and, if wanted, ``user_id`` and ``id``.

        Raises INVALID_BATCH, and as ``append``.
        """
        messages = []
        for i, entry in enumerate(listed(entries, "entries")):
            given = known(entry, ["data", "user_id", "id"], f"entries[{i}]", "INVALID_OPTIONS")
            if "data" not in given:
                raise refused("INVALID_VALUE", f"entries[{i}].data", "is missing")
            messages.append(new_entry(given["data"], given.get("user_id"), given.get("id"), f"entries[{i}]."))
        request = streams_pb2.AppendRequest(
            stream=stream_text(stream), entries=messages, **trim_fields(max_len, max_age_seconds)
        )
        reply = self._transport.write(StreamsRpc.append, request, request_id=request_id, claim=claim, timeout=timeout)
        return [*reply.ids]

    def range(
        self,
        stream: str,
        *,
        start: Optional[str] = None,
        end: Optional[str] = None,
        reverse: bool = False,
        limit: Optional[int] = None,
        page_token: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> StreamRange:
        """Reads a page of entries by their ids. A stream that does not exist has none.

        :param start: the lowest id; ``<milliseconds>`` is the first of that millisecond. Default: the first
            entry.
        :param end: the highest id; ``<milliseconds>`` is the last of that millisecond. Default: the last
            entry.
        :param reverse: if True, the highest ids come first.
        :param limit: 1 to 1000. Default: 100.

        Raises INVALID_STREAM, INVALID_ENTRY_ID, INVALID_LIMIT, INVALID_PAGE_TOKEN.
        """
        request = streams_pb2.RangeRequest(
            stream=stream_text(stream),
            from_id=optional_text(start, "start", "INVALID_ENTRY_ID"),
            to_id=optional_text(end, "end", "INVALID_ENTRY_ID"),
            reverse=flag(reverse, "reverse"),
            limit=optional_whole(limit, "limit", "INVALID_LIMIT"),
            page_token=optional_text(page_token, "page_token", "INVALID_PAGE_TOKEN"),
        )
        reply = self._transport.unary(StreamsRpc.range, request, timeout)
        return StreamRange([stream_entry(entry) for entry in reply.entries], reply.next_page_token or None)

    def scan(
        self,
        stream: str,
        *,
        start: Optional[str] = None,
        end: Optional[str] = None,
        reverse: bool = False,
        limit: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[StreamEntry]:
        """Gives all entries by their ids, in pages of ``limit``, in constant memory. What is appended
        meanwhile comes too, unless ``reverse`` is set. Raises as ``range``."""
        page_token: Optional[str] = None
        while True:
            page = self.range(
                stream, start=start, end=end, reverse=reverse, limit=limit, page_token=page_token, timeout=timeout
            )
            for entry in page.entries:
                yield entry
            page_token = page.next_page_token
            if page_token is None:
                return

    def trim(
        self,
        stream: str,
        *,
        max_len: Optional[int] = None,
        max_age_seconds: Optional[float] = None,
        before_id: Optional[str] = None,
        include_pending: bool = False,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Deletes the oldest entries that exceed any of the given bounds. Give at least one bound. What a
        group has pending or as a dead letter stays, unless ``include_pending`` is set. Gives how many were
        deleted.

        Raises INVALID_STREAM, INVALID_OPTIONS (it names no bound), INVALID_LIMIT, INVALID_TTL,
        INVALID_ENTRY_ID, FENCE_STALE.
        """
        request = streams_pb2.TrimRequest(
            stream=stream_text(stream),
            **trim_fields(max_len, max_age_seconds),
            before_id=optional_text(before_id, "before_id", "INVALID_ENTRY_ID"),
            include_pending=flag(include_pending, "include_pending"),
        )
        reply = self._transport.write(StreamsRpc.trim, request, request_id=request_id, claim=claim, timeout=timeout)
        return reply.deleted

    def info(self, stream: str, *, timeout: Optional[float] = None) -> Optional[StreamRecord]:
        """Describes a stream and its groups; None if there is no such stream. Raises INVALID_STREAM."""
        request = streams_pb2.InfoRequest(stream=stream_text(stream))
        reply = self._transport.unary(StreamsRpc.info, request, timeout)
        return stream_record(reply.stream, reply.groups) if reply.HasField("stream") else None

    def list(
        self,
        *,
        prefix: Optional[str] = None,
        limit: Optional[int] = None,
        page_token: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> StreamListResult:
        """Lists the streams, in the order of their names: 1 to 1000, by default 100. Raises INVALID_FILTER,
        INVALID_LIMIT, INVALID_PAGE_TOKEN."""
        request = streams_pb2.ListRequest(
            prefix=optional_text(prefix, "prefix", "INVALID_FILTER"),
            limit=optional_whole(limit, "limit", "INVALID_LIMIT"),
            page_token=optional_text(page_token, "page_token", "INVALID_PAGE_TOKEN"),
        )
        reply = self._transport.unary(StreamsRpc.list, request, timeout)
        return StreamListResult([stream_record(one) for one in reply.streams], reply.next_page_token or None)

    def delete(
        self,
        stream: str,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> DeleteStreamResult:
        """Deletes a stream, with its entries and groups. Raises INVALID_STREAM, FENCE_STALE."""
        request = streams_pb2.DeleteRequest(stream=stream_text(stream))
        reply = self._transport.write(StreamsRpc.delete, request, request_id=request_id, claim=claim, timeout=timeout)
        return DeleteStreamResult(reply.deleted, reply.entries)

    def group(self, name: str, consumer: str) -> StreamGroup:
        """A consumer of a group. It is only a pair of names: nothing is sent.

        :param name: the group: 1 to 256 bytes of UTF-8, not blank, without control characters.
        :param consumer: the consumer, written likewise. A consumer that restarts under the same name still
            holds its entries.

        >>> workers = cortex.streams.group("workers", "worker-1")
        >>> workers.ensure("jobs")
        >>> workers.consume("jobs", lambda entry: work(entry.data), concurrency=4)
        """
        return StreamGroup(self._transport, stream_text(name, "group"), stream_text(consumer, "consumer"))


class StreamGroup:
    """A consumer of a group. Methods on a stream that has no such group raise GROUP_NOT_FOUND."""

    def __init__(self, transport: Transport, name: str, consumer: str) -> None:
        self._transport = transport
        self.name = name
        self.consumer = consumer

    def _named(self, stream: str) -> dict[str, Any]:
        return {"stream": stream_text(stream), "group": self.name}

    def ensure(
        self,
        stream: str,
        *,
        start: str = "beginning",
        visibility_seconds: Optional[float] = None,
        max_deliveries: Optional[int] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> bool:
        """Creates the group, and the stream if there is none. If the group exists, it keeps its place;
        options that are given are changed. Gives False if the group was there.

        :param start: where a new group begins: ``beginning``, ``end``, or after the entry with an id.
        :param visibility_seconds: how long a consumer may hold an entry before it goes to another: 0.1 to 604
            800 (a week). Default: 60 for a new group; one that exists keeps what it has.
        :param max_deliveries: how often an entry is delivered before it becomes a dead letter: 1 to 1000; 0:
            again and again. Default: 0 for a new group; one that exists keeps what it has.

        Raises INVALID_ENTRY_ID, INVALID_TTL, INVALID_LIMIT, QUOTA_EXCEEDED (also if the stream has 100
        groups).
        """
        starts = {"beginning": streams_pb2.GROUP_START_BEGINNING, "end": streams_pb2.GROUP_START_END}
        begin = text(start, "start", "INVALID_ENTRY_ID")
        request = streams_pb2.EnsureGroupRequest(
            **self._named(stream),
            start=starts.get(begin),
            after_id=None if begin in starts else begin,
            visibility_seconds=optional_seconds(visibility_seconds, "visibility_seconds"),
            max_deliveries=optional_whole(max_deliveries, "max_deliveries", "INVALID_LIMIT"),
        )
        reply = self._transport.write(
            StreamsRpc.ensure_group, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return reply.created

    def read(
        self,
        stream: str,
        *,
        count: Optional[int] = None,
        block: float = 0,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> list_of[DeliveredEntry]:
        """Gives entries to this consumer, which holds them until it acknowledges them or gives them back, at
        most for the visibility time of the group: first those that came back, then new ones. ``[]`` if
        there are no entries.

        :param count: how many at most: 1 to 1000. Default: 10.
        :param block: how many seconds to wait for the first: at most an hour. This time is added to
            ``timeout``.

        Raises INVALID_LIMIT, QUOTA_EXCEEDED (the tenant has too many pending), OVERLOADED, FENCE_STALE.
        """
        reply = self.read_reply(stream, count=count, block=block, request_id=request_id, claim=claim, timeout=timeout)
        return [delivered_entry(one) for one in reply.entries]

    def read_reply(
        self,
        stream: str,
        *,
        count: Optional[int] = None,
        block: float = 0,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
        stop: Optional[Event] = None,
    ) -> streams_pb2.ReadResponse:
        """The reply of the server to ``read``. ``stop`` cancels it."""
        request = streams_pb2.ReadRequest(
            **self._named(stream),
            consumer=self.consumer,
            count=optional_whole(count, "count", "INVALID_LIMIT"),
            block_seconds=_bounded(block, "block", _BLOCK_MAX) or None,
        )
        return self._transport.write(
            StreamsRpc.read,
            request,
            request_id=request_id,
            claim=claim,
            timeout=timeout_of(timeout, self._transport.timeout) + block,
            waits=block > 0,
            stop=stop,
        )

    def ack(
        self,
        stream: str,
        deliveries: Sequence[DeliveryRef],
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Acknowledges entries: the group is done with them. Gives the number of entries that this call
        acknowledged. Entries that went to another consumer, or were acknowledged before, do not count.

        :param deliveries: at most 1000 delivered entries, or ids. An id is acknowledged even if another
            consumer holds the entry.

        Raises INVALID_BATCH, INVALID_ENTRY_ID, FENCE_STALE.
        """
        request = streams_pb2.AckRequest(**self._named(stream), deliveries=deliveries_of(deliveries))
        reply = self._transport.write(StreamsRpc.ack, request, request_id=request_id, claim=claim, timeout=timeout)
        return reply.acknowledged

    def nack(
        self,
        stream: str,
        deliveries: Sequence[DeliveryRef],
        *,
        delay: float = 0,
        reason: Optional[str] = None,
        uncounted: bool = False,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> NackResult:
        """Gives entries back: they are delivered again, at once or after ``delay``, or become dead letters if
        they were delivered ``max_deliveries`` times.

        :param delay: seconds, at most a week.
        :param reason: why, for the history of the entries: up to 1024 bytes.
        :param uncounted: True if this consumer has not looked at them: then the deliveries do not count.

        Raises INVALID_BATCH, INVALID_ENTRY_ID, INVALID_OPTIONS, FENCE_STALE.
        """
        request = streams_pb2.NackRequest(
            **self._named(stream),
            deliveries=deliveries_of(deliveries),
            delay_seconds=_bounded(delay, "delay", _WEEK),
            reason=optional_text(reason, "reason", "INVALID_OPTIONS"),
            uncounted=flag(uncounted, "uncounted"),
        )
        reply = self._transport.write(StreamsRpc.nack, request, request_id=request_id, claim=claim, timeout=timeout)
        return NackResult(reply.given_back, reply.dead_letters)

    def extend(
        self, stream: str, deliveries: Sequence[DeliveryRef], *, timeout: Optional[float] = None
    ) -> list_of[HeldDelivery]:
        """Holds entries for longer: their visibility time begins anew. Gives the deliveries that are still
        held.

        Raises INVALID_BATCH, INVALID_ENTRY_ID.
        """
        request = streams_pb2.ExtendRequest(**self._named(stream), deliveries=deliveries_of(deliveries))
        reply = self._transport.unary(StreamsRpc.extend, request, timeout)
        return [HeldDelivery(one.id, str(one.delivery)) for one in reply.held]

    def consume(
        self,
        stream: str,
        handler: Callable[[ConsumedEntry], Any],
        *,
        concurrency: int = 1,
        retry_delay: Union[float, Callable[[int], float], None] = None,
        on_error: Optional[Callable[[BaseException, ConsumedEntry], Any]] = None,
        stop: Optional[Event] = None,
    ) -> None:
        """Calls a function for each entry, up to ``concurrency`` at a time, until ``stop`` is set or the
        client is closed. An entry whose function has returned is acknowledged; one whose function raised
        is given back, with the message of the error as the reason. While the function works, the entry is
        held: ``consume`` extends it. ``entry.lost`` is set when the entry has gone to another consumer.
        ``consume`` always waits for the functions that are still running before it returns or raises.

        :param concurrency: 1 to 1000.
        :param retry_delay: seconds until an entry is delivered again after its function raised; or a function
            that gets the number of deliveries and returns the seconds. Default: a second, and twice as long
            each time, up to a minute.
        :param on_error: called with each error that a function raised, before its entry is given back.
        :param stop: a ``cortex_store.Event``. Setting it ends ``consume``.

        Raises GROUP_NOT_FOUND, PERMISSION_DENIED, and other errors that would come again. It goes on after a
        lost connection, and while the tenant has too many pending (QUOTA_EXCEEDED).
        """
        consumption = Consumption(self, stream_text(stream), handler, concurrency, retry_delay, on_error, stop)
        consumption.run()

    def pending(
        self,
        stream: str,
        *,
        consumer: Optional[str] = None,
        limit: Optional[int] = None,
        page_token: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> PendingResult:
        """Lists what the group has pending, in the order of the ids: of all its consumers, or only what
        ``consumer`` holds. ``limit``: 1 to 1000, by default 100. Raises INVALID_FILTER, INVALID_LIMIT,
        INVALID_PAGE_TOKEN."""
        return self._pending(stream, consumer, limit, page_token, timeout, False)

    def dead_letters(
        self,
        stream: str,
        *,
        limit: Optional[int] = None,
        page_token: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> PendingResult:
        """Lists the dead letters of the group, with their histories. ``retry`` gives them back, ``ack``
        removes them. Raises INVALID_LIMIT, INVALID_PAGE_TOKEN."""
        return self._pending(stream, None, limit, page_token, timeout, True)

    def _pending(
        self,
        stream: str,
        consumer: Optional[str],
        limit: Optional[int],
        page_token: Optional[str],
        timeout: Optional[float],
        dead_letters: bool,
    ) -> PendingResult:
        request = streams_pb2.PendingRequest(
            **self._named(stream),
            consumer=optional_text(consumer, "consumer", "INVALID_FILTER"),
            dead_letters=dead_letters,
            limit=optional_whole(limit, "limit", "INVALID_LIMIT"),
            page_token=optional_text(page_token, "page_token", "INVALID_PAGE_TOKEN"),
        )
        reply = self._transport.unary(StreamsRpc.pending, request, timeout)
        return PendingResult([pending_entry(one) for one in reply.entries], reply.next_page_token or None)

    def take_over(
        self,
        stream: str,
        *,
        min_idle: float,
        ids: Sequence[str] = (),
        count: Optional[int] = None,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> list_of[DeliveredEntry]:
        """Takes entries over from consumers that have held them for long, without waiting for their
        visibility time.

        :param min_idle: only entries that were delivered at least this many seconds ago.
        :param ids: only these entries. Default: any.
        :param count: how many at most: 1 to 1000. Default: 100.

        Raises INVALID_OPTIONS (``min_idle``), INVALID_LIMIT, INVALID_BATCH, INVALID_ENTRY_ID, FENCE_STALE.
        """
        request = streams_pb2.TakeOverRequest(
            **self._named(stream),
            consumer=self.consumer,
            min_idle_seconds=_bounded(min_idle, "min_idle", _WEEK),
            ids=[text(id, f"ids[{i}]", "INVALID_ENTRY_ID") for i, id in enumerate(listed(ids, "ids"))],
            count=optional_whole(count, "count", "INVALID_LIMIT"),
        )
        reply = self._transport.write(
            StreamsRpc.take_over, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return [delivered_entry(one) for one in reply.entries]

    def retry(
        self,
        stream: str,
        ids: Sequence[str],
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Gives 1 to 1000 dead letters back to the group: they are delivered again, and their deliveries are
        counted from 0. Gives how many there were. Raises INVALID_BATCH, INVALID_ENTRY_ID, FENCE_STALE."""
        names = [text(id, f"ids[{i}]", "INVALID_ENTRY_ID") for i, id in enumerate(listed(ids, "ids"))]
        request = streams_pb2.RetryRequest(**self._named(stream), ids=names)
        reply = self._transport.write(StreamsRpc.retry, request, request_id=request_id, claim=claim, timeout=timeout)
        return reply.given_back

    def remove_consumer(
        self,
        stream: str,
        consumer: Optional[str] = None,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Gives back all entries that a consumer holds, such as one that is gone (default: this one). It may
        read again. Gives how many it held."""
        name = self.consumer if consumer is None else stream_text(consumer, "consumer")
        request = streams_pb2.RemoveConsumerRequest(**self._named(stream), consumer=name)
        reply = self._transport.write(
            StreamsRpc.remove_consumer, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return reply.given_back

    def info(self, stream: str, *, timeout: Optional[float] = None) -> GroupRecord:
        """Describes the group, with the consumers that hold entries."""
        request = streams_pb2.InfoRequest(**self._named(stream))
        reply = self._transport.unary(StreamsRpc.info, request, timeout)
        return group_record(reply.groups[0])

    def delete(
        self,
        stream: str,
        *,
        request_id: Optional[str] = None,
        claim: Optional[ClaimGuard] = None,
        timeout: Optional[float] = None,
    ) -> bool:
        """Deletes the group, with what it has pending. The entries stay in the stream. False if there was
        none."""
        request = streams_pb2.DeleteGroupRequest(**self._named(stream))
        reply = self._transport.write(
            StreamsRpc.delete_group, request, request_id=request_id, claim=claim, timeout=timeout
        )
        return reply.deleted


list_of = list  # the class has a method `list`


def _bounded(value: Any, field: str, most: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    raise refused("INVALID_OPTIONS", field, f"is not a number of seconds up to {most:g}: {value!r}")
