"""The client of Claims: names that one agent at a time holds."""

from __future__ import annotations

import copy
import os
import time
import uuid
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Callable, Optional

from .._core.errors import CortexError, refused
from .._core.jsontext import to_json
from .._core.methods import ClaimsRpc
from .._core.options import ClaimGuard, guard_message
from .._core.records import ClaimListResult, ClaimRecord, claim_record
from .._core.validate import UNSET, Unset, optional_text, optional_whole, seconds, text, timeout_of
from .._gen.cortex.claims.v1 import claims_pb2
from .events import AsyncEvents
from .immutable import AsyncImmutable
from .io import AsyncEvent, AsyncTask
from .mutable import AsyncMutable
from .streams import AsyncStreams
from .transport import AsyncTransport

_WAIT_MAX = 3600.0
_RETRY_SECONDS = 0.2
_GIVE_UP_SECONDS = 2.0


def _name_text(value: Any) -> str:
    return text(value, "name", "INVALID_CLAIM")


class AsyncClaim:
    """A claim that this client has acquired."""

    def __init__(self, transport: AsyncTransport, record: ClaimRecord, granted_at: float) -> None:
        guarded = transport.guarded(record)
        self._transport = transport
        self.name = record.name
        self.owner = record.owner
        """Who holds it, as it was given."""
        self.fence = record.fence
        """A number that is higher than those of all claims before, as decimal text."""
        self.value = record.value
        """The value that was given; None: none."""
        self.expires_at: datetime = record.expires_at
        """When it ends unless it is renewed, by the database's clock."""
        self.lost = AsyncEvent()
        """Set when the claim is known to be lost: when ``renew`` fails with CLAIM_NOT_HELD, or
        ``claims.hold`` could not renew it in time. ``is_set()`` tells, ``wait(timeout)`` waits for it."""
        self.granted_at = granted_at
        """When this client sent the last call that acquired or renewed it (``time.monotonic``). From then on
        it lasts for its ttl, or longer."""
        self.mutable = AsyncMutable(guarded)
        """MutableStore, whose writes fail with FENCE_STALE once this claim is not held any more. So do those
        of ``immutable``, ``events`` and ``streams``."""
        self.immutable = AsyncImmutable(guarded)
        self.events = AsyncEvents(guarded)
        self.streams = AsyncStreams(guarded)

    async def renew(
        self, *, ttl_seconds: float, request_id: Optional[str] = None, timeout: Optional[float] = None
    ) -> None:
        """Renews the claim: it lasts for ``ttl_seconds`` from now on. Raises CLAIM_NOT_HELD, INVALID_TTL."""
        await self.renew_until(None, ttl_seconds, request_id, timeout)

    async def renew_until(
        self,
        stop: Optional[AsyncEvent],
        ttl_seconds: float,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> None:
        """The same; ``stop`` cancels it."""
        sent_at = time.monotonic()
        request = claims_pb2.RenewRequest(name=self.name, fence=int(self.fence), ttl_seconds=seconds(ttl_seconds))
        try:
            reply = await self._transport.write(
                ClaimsRpc.renew, request, request_id=request_id, timeout=timeout, stop=stop
            )
        except CortexError as error:
            if error.code == "CLAIM_NOT_HELD":
                self.lost.set()
            raise
        self.expires_at = claim_record(reply.claim).expires_at
        self.granted_at = sent_at

    async def release(self, *, request_id: Optional[str] = None, timeout: Optional[float] = None) -> None:
        """Releases the claim. Raises CLAIM_NOT_HELD."""
        request = claims_pb2.ReleaseRequest(name=self.name, fence=int(self.fence))
        await self._transport.write(ClaimsRpc.release, request, request_id=request_id, timeout=timeout)


class AsyncHolder:
    """Who acquires claims by default, and the claims that blocks hold."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._held: dict[AsyncClaim, int] = {}  # each with the process that holds it
        self._tasks: set[AsyncTask] = set()

    def as_agent(self, name: str) -> AsyncHolder:
        """The same for an agent: the client releases what its blocks hold, too."""
        agent = copy.copy(self)
        agent.owner = name
        return agent

    def add(self, claim: AsyncClaim) -> None:
        self._held[claim] = os.getpid()

    def remove(self, claim: AsyncClaim) -> None:
        self._held.pop(claim, None)

    def holds(self, claim: AsyncClaim) -> bool:
        """False in a forked process, if its parent holds the claim."""
        return self._held.get(claim) == os.getpid()

    def run(self, work: Callable[[], Any]) -> None:
        """Runs a function beside the caller, to its end or until the client is closed."""
        self._tasks -= {task for task in self._tasks if task.is_done}
        self._tasks.add(AsyncTask(work))

    async def close(self) -> None:
        """Releases what blocks hold: the client is closed."""
        for task in list(self._tasks):
            await task.join()
        for claim in list(self._held):
            if not self.holds(claim):
                continue
            try:
                await claim.release()
            except CortexError as error:
                if error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    return  # no server: the claims expire by themselves
                pass  # the claim expires by itself


class AsyncClaims:
    """Claims: one agent at a time holds a name, until it releases it or its time is over, by the database's
    clock. A claim outlives the server that granted it.

    A process may be stopped for longer than its claim lasts, and write afterwards. Guard what it writes by
    the claim: ``claim.mutable``, ``claim.immutable``, ``claim.events`` and ``claim.streams`` do, and every
    write takes it as ``claim``. Such a write fails with FENCE_STALE once the claim is not held any more.
    """

    def __init__(self, transport: AsyncTransport, holder: AsyncHolder) -> None:
        self._transport = transport
        self._holder = holder

    async def once(self, name: str, value: Any, *, ttl_seconds: float, timeout: Optional[float] = None) -> bool:
        """Acquires a claim, if nobody holds it. Gives whether it was acquired.

        >>> await cortex.claims.once("report:2026-11-26", "agent-7", ttl_seconds=3600)
        """
        return await self.acquire(name, ttl_seconds=ttl_seconds, value=value, timeout=timeout) is not None

    async def acquire(
        self,
        name: str,
        *,
        ttl_seconds: float,
        wait: float = 0,
        value: Any | Unset = UNSET,
        owner: Optional[str] = None,
        user_id: Optional[str] = None,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Optional[AsyncClaim]:
        """Acquires a claim; None if it is held by others and the wait is over. While it is held nobody
        acquires it, not even its owner.

        :param name: 1 to 512 bytes of UTF-8, not blank, without control characters.
        :param ttl_seconds: how long it lasts unless it is renewed: above 0.
        :param wait: how many seconds to wait for its turn, in the order of arrival: at most an hour. This
            time is added to ``timeout``.
        :param owner: who holds it, for others to see. Default: the ``agent_id`` of the client, or a random id
            of it.
        :param user_id: the user it belongs to; must exist.

        Raises INVALID_CLAIM, INVALID_TTL, INVALID_VALUE, VALUE_TOO_LARGE, USER_NOT_FOUND, QUOTA_EXCEEDED,
        CLAIM_NOT_HELD (under a ``request_id`` that was used before: the claim has ended since).
        """
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 <= wait <= _WAIT_MAX:
            raise refused("INVALID_OPTIONS", "wait", f"is not a number of seconds up to {_WAIT_MAX:g}: {wait!r}")
        request = claims_pb2.AcquireRequest(
            name=_name_text(name),
            owner=text(self._holder.owner if owner is None else owner, "owner", "INVALID_CLAIM"),
            ttl_seconds=seconds(ttl_seconds),
            wait_seconds=wait if wait > 0 else None,
            value_json=None if value is UNSET else to_json(value),
            user_id=optional_text(user_id, "user_id", "INVALID_USER_ID"),
        )
        sent_at = time.monotonic()
        named = uuid.uuid4().hex if request_id is None else request_id
        try:
            reply = await self._transport.write(
                ClaimsRpc.acquire,
                request,
                request_id=named,
                timeout=timeout_of(timeout, self._transport.timeout) + wait,
                waits=wait > 0,
            )
        except CortexError:
            raise
        except BaseException:
            # The caller was cancelled, and nobody would hold what is granted meanwhile. But a caller with a request
            # id of its own may ask again.
            if request_id is None:
                self._holder.run(lambda: self._give_up(request, named))
            raise
        if not reply.HasField("claim"):
            return None
        return AsyncClaim(self._transport, claim_record(reply.claim), sent_at)

    async def _give_up(self, request: claims_pb2.AcquireRequest, request_id: str) -> None:
        """Releases what was granted under a request id."""
        try:
            reply = await self._transport.write(
                ClaimsRpc.acquire, request, request_id=request_id, timeout=_GIVE_UP_SECONDS, waits=True
            )
            if reply.HasField("claim"):
                release = claims_pb2.ReleaseRequest(name=reply.claim.name, fence=reply.claim.fence)
                await self._transport.write(ClaimsRpc.release, release, timeout=_GIVE_UP_SECONDS)
        except CortexError:
            pass  # the claim expires by itself

    def hold(
        self,
        name: str,
        *,
        ttl_seconds: float,
        wait: float = 0,
        value: Any | Unset = UNSET,
        owner: Optional[str] = None,
        user_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> AbstractAsyncContextManager[AsyncClaim]:
        """A block in which a claim is held: it is renewed meanwhile, and released at the end. ``claim.lost``
        is set when the claim is lost, so that the block can stop.

        Raises as ``acquire``, and CLAIM_NOT_HELD if the claim was not acquired, with its ``owner`` in the
        details.

        >>> async with cortex.claims.hold("leader", ttl_seconds=10, wait=60) as claim:
        ...     while not claim.lost.is_set():
        ...         await claim.mutable.update("cluster", "state", step)
        """
        options = {
            "ttl_seconds": ttl_seconds,
            "wait": wait,
            "value": value,
            "owner": owner,
            "user_id": user_id,
            "timeout": timeout,
        }
        return _Held(self, self._holder, name, options)

    async def renew(
        self,
        claim: ClaimGuard,
        *,
        ttl_seconds: float,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> ClaimRecord:
        """Renews a claim by its name and fence. Raises CLAIM_NOT_HELD, INVALID_CLAIM, INVALID_TTL."""
        held = guard_message(claim)
        request = claims_pb2.RenewRequest(name=held.name, fence=held.fence, ttl_seconds=seconds(ttl_seconds))
        reply = await self._transport.write(ClaimsRpc.renew, request, request_id=request_id, timeout=timeout)
        return claim_record(reply.claim)

    async def release(
        self, claim: ClaimGuard, *, request_id: Optional[str] = None, timeout: Optional[float] = None
    ) -> None:
        """Releases a claim by its name and fence. Raises CLAIM_NOT_HELD, INVALID_CLAIM."""
        held = guard_message(claim)
        request = claims_pb2.ReleaseRequest(name=held.name, fence=held.fence)
        await self._transport.write(ClaimsRpc.release, request, request_id=request_id, timeout=timeout)

    async def get(self, name: str, *, timeout: Optional[float] = None) -> Optional[ClaimRecord]:
        """Reads a claim; None if nobody holds it. Raises INVALID_CLAIM."""
        reply = await self._transport.unary(ClaimsRpc.get, claims_pb2.GetRequest(name=_name_text(name)), timeout)
        return claim_record(reply.claim) if reply.HasField("claim") else None

    async def list(
        self,
        *,
        prefix: Optional[str] = None,
        limit: Optional[int] = None,
        page_token: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> ClaimListResult:
        """Lists the claims that are held, in the order of their names: 1 to 1000, by default 100. Raises
        INVALID_FILTER, INVALID_LIMIT, INVALID_PAGE_TOKEN."""
        request = claims_pb2.ListRequest(
            prefix=optional_text(prefix, "prefix", "INVALID_FILTER"),
            limit=optional_whole(limit, "limit", "INVALID_LIMIT"),
            page_token=optional_text(page_token, "page_token", "INVALID_PAGE_TOKEN"),
        )
        reply = await self._transport.unary(ClaimsRpc.list, request, timeout)
        return ClaimListResult([claim_record(one) for one in reply.claims], reply.next_page_token or None)


class _Held(AbstractAsyncContextManager[AsyncClaim]):
    def __init__(self, claims: AsyncClaims, holder: AsyncHolder, name: str, options: dict[str, Any]) -> None:
        self._claims = claims
        self._holder = holder
        self._name = name
        self._options = options
        self._over = AsyncEvent()
        self._claim: Optional[AsyncClaim] = None
        self._task: Optional[AsyncTask] = None
        self._held_at = 0.0

    async def __aenter__(self) -> AsyncClaim:
        self._over = AsyncEvent()
        claim = await self._claims.acquire(self._name, **self._options)
        if claim is None:
            held = await self._claims.get(self._name)
            details = {"claim": self._name, **({"owner": held.owner} if held else {})}
            by = f" by {held.owner!r}" if held else ""
            raise CortexError("CLAIM_NOT_HELD", f"the claim {self._name!r} was not acquired: it is held{by}", details)
        self._claim = claim
        # `granted_at` is when the call was sent, and a call that waited was granted much later. So the time counts
        # from the arrival of the reply, which is too late only by the time that the reply travelled.
        self._held_at = time.monotonic()
        self._holder.add(claim)
        self._task = AsyncTask(self._keep)
        return claim

    async def __aexit__(self, *_: Any) -> None:
        claim, task = self._claim, self._task
        assert claim is not None and task is not None
        if not self._holder.holds(claim):
            return
        self._over.set()
        await task.join()
        if not claim.lost.is_set():
            try:
                await claim.release()
            except CortexError:
                pass  # the claim expires by itself
        self._holder.remove(claim)

    async def _keep(self) -> None:
        """Renews the claim until the block is over or the claim is lost."""
        claim = self._claim
        assert claim is not None
        ttl: float = self._options["ttl_seconds"]
        wait = ttl / 3 - (self._held_at - claim.granted_at)
        while not await self._over.wait(max(wait, 0.001)):
            left = max(claim.granted_at, self._held_at) + ttl - time.monotonic()
            if left <= 0:
                claim.lost.set()
                return
            try:
                await claim.renew_until(self._over, ttl, timeout=left)
                wait = ttl / 3
            except CortexError:
                if claim.lost.is_set() or self._over.is_set():
                    return
                wait = min(_RETRY_SECONDS, max(claim.granted_at, self._held_at) + ttl - time.monotonic())
