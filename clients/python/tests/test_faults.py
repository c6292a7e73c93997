"""Lost replies, slow functions, cancelled calls and closed clients: nothing is lost, and nothing is applied twice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator

import pytest
from conftest import run_program
from test_client import refused

from cortex_store import AsyncCortex, AsyncEvent, Cortex, CortexError, Event


class Proxy:
    """A proxy between client and server that can lose what one side sends, and then cut the connection."""

    def __init__(self, address: str) -> None:
        self._target = address
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._losing: set[str] = set()
        self.delay = 0.0
        """Seconds that each message takes, in each direction."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, what: str) -> None:
        """Loses the ``requests`` or ``replies`` from now on, until the connections are cut in a moment."""
        self._losing.add(what)
        threading.Timer(0.4, self._cut).start()

    def freeze(self) -> None:
        """Loses everything from now on, while the connections stay open."""
        self._losing |= {"requests", "replies"}

    def _cut(self) -> None:
        cut, self._open = self._open, []
        self._losing.clear()
        for one in cut:
            with contextlib.suppress(OSError):  # it has ended already
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            host, port = self._target.rsplit(":", 1)
            server = socket.create_connection((host, int(port)))
            self._open += [client, server]
            for one, other, what in ((client, server, "requests"), (server, client, "replies")):
                threading.Thread(target=self._pump, args=(one, other, what), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, what: str) -> None:
        try:
            while data := one.recv(65536):
                time.sleep(self.delay)
                if what not in self._losing:
                    other.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        self._listening.close()
        self._cut()


@pytest.fixture
def proxy(server: Any) -> Iterator[Proxy]:
    opened = Proxy(server.address)
    yield opened
    opened.close()


# --- lost commits ---


@pytest.mark.parametrize("lost", ["replies", "requests"])
@pytest.mark.parametrize("reads", [True, False])
def test_a_transaction_whose_commit_is_lost_is_applied_once(
    options: dict[str, Any], proxy: Proxy, lost: str, reads: bool
) -> None:
    attempts: list[int] = []

    def work(tx: Any) -> int:
        attempts.append(1)
        before = tx.get("ns", "read") if reads else None
        assert before is None
        tx.increment("ns", "k", create_if_missing=True)
        tx.exists("ns", "other")  # so that the increment has been sent
        if len(attempts) == 1:
            proxy.lose(lost)
        return len(attempts)

    with Cortex(**{**options, "address": proxy.address}) as cortex:
        result = cortex.mutable.transaction(work)
        assert cortex.mutable.get("ns", "k") == 1
    assert (len(attempts), result) == ((1, 1) if lost == "replies" else (2, 2))


@pytest.mark.parametrize("lost", ["replies", "requests"])
def test_a_transaction_of_asyncio_whose_commit_is_lost_is_applied_once(
    options: dict[str, Any], proxy: Proxy, lost: str
) -> None:
    async def main() -> None:
        attempts: list[int] = []

        async def work(tx: Any) -> int:
            attempts.append(1)
            await tx.increment("ns", "k", create_if_missing=True)
            await tx.exists("ns", "other")
            if len(attempts) == 1:
                proxy.lose(lost)
            return len(attempts)

        async with AsyncCortex(**{**options, "address": proxy.address}) as cortex:
            assert await cortex.mutable.transaction(work) == (1 if lost == "replies" else 2)
            assert await cortex.mutable.get("ns", "k") == 1

    asyncio.run(main())


@pytest.mark.parametrize("lost", ["replies", "requests"])
def test_a_block_whose_commit_is_lost_says_what_is_known(options: dict[str, Any], proxy: Proxy, lost: str) -> None:
    """A block cannot run again. Either it was committed, or it certainly was not."""
    with Cortex(**{**options, "address": proxy.address}) as cortex:
        try:
            with cortex.mutable.transaction() as tx:
                tx.set("ns", "k", 1)
                tx.exists("ns", "other")
                proxy.lose(lost)
        except Exception as error:
            assert getattr(error, "details", {}).get("applied") == "no", error
            assert lost == "requests"
            assert cortex.mutable.get("ns", "k") is None
        else:
            assert cortex.mutable.get("ns", "k") == 1


def test_an_increment_whose_reply_is_lost_is_applied_once(options: dict[str, Any], proxy: Proxy) -> None:
    with Cortex(**{**options, "address": proxy.address}) as cortex:
        cortex.mutable.set("ns", "k", 0)
        proxy.lose("replies")
        assert cortex.mutable.increment("ns", "k").value == 1
        assert cortex.mutable.get("ns", "k") == 1


def test_a_function_that_swallows_the_failure_commits_nothing(cortex: Cortex) -> None:
    def work(tx: Any) -> str:
        tx.set("ns", "k", 1)
        tx.increment("ns", "missing")
        try:
            tx.get("ns", "k")
        except Exception:
            return "went on"
        raise AssertionError("the increment of a missing key fails")

    with refused("TRANSACTION_FAILED", reason="KEY_NOT_FOUND"):
        cortex.mutable.transaction(work)
    assert cortex.mutable.get("ns", "k") is None


# --- deadlines ---


def test_an_update_whose_function_takes_too_long_stores_nothing(cortex: Cortex, options: dict[str, Any]) -> None:
    def slow(_: Any) -> int:
        time.sleep(0.6)
        return 1

    with refused("DEADLINE_EXCEEDED", applied="no"):
        cortex.mutable.update("ns", "k", slow, create_if_missing=True, timeout=0.4)
    time.sleep(0.3)
    assert cortex.mutable.get("ns", "k") is None

    async def main() -> None:
        async with AsyncCortex(**options) as aio:

            async def stuck(_: Any) -> int:
                await asyncio.sleep(60)
                return 1

            with refused("DEADLINE_EXCEEDED", applied="no"):
                await aio.mutable.update("ns", "k", stuck, create_if_missing=True, timeout=0.4)

    begun = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - begun < 30
    assert cortex.mutable.get("ns", "k") is None


def test_a_slow_updater_on_a_contended_key_loses_nothing(options: dict[str, Any]) -> None:
    slow_calls: list[int] = []

    def slow(n: int) -> int:
        slow_calls.append(n)
        time.sleep(0.2)
        return n + 1000

    with Cortex(**options) as cortex, ThreadPoolExecutor(3) as pool:
        cortex.mutable.set("ns", "k", 0)
        ends = threading.Event()

        def quick() -> int:
            done = 0
            while not ends.is_set():
                cortex.mutable.update("ns", "k", lambda n: n + 1)
                done += 1
            return done

        others = [pool.submit(quick) for _ in range(2)]
        try:
            cortex.mutable.update("ns", "k", slow)
        finally:
            ends.set()
        expected = 1000 + sum(one.result(20) for one in others)
        assert cortex.mutable.get("ns", "k") == expected
    assert slow_calls


# --- cancelled calls and closed clients ---


def test_calls_that_wait_fail_when_the_client_is_closed(options: dict[str, Any]) -> None:
    cortex = Cortex(**options)
    cortex.claims.acquire("held", ttl_seconds=60)
    group = cortex.streams.group("g", "c")
    group.ensure("s")
    calls = [
        lambda: cortex.claims.acquire("held", ttl_seconds=5, wait=60),
        lambda: group.read("s", block=60),
        lambda: cortex.mutable.wait_for("ns", "k", lambda _: False, timeout=60),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        waiting = [pool.submit(call) for call in calls]
        time.sleep(0.5)
        cortex.close()
        for one in waiting:
            with refused("CANCELLED"):
                one.result(20)


def test_calls_of_a_transaction_at_once_go_one_after_the_other(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            for i in range(10):
                await cortex.mutable.set("ns", f"k{i}", i)

            async def work(tx: Any) -> list[Any]:
                await tx.increment("ns", "k0", 0)
                return list(await asyncio.gather(*(tx.get("ns", f"k{i}") for i in range(10))))

            assert await cortex.mutable.transaction(work) == list(range(10))

            async def cancels(tx: Any) -> None:
                await tx.set("ns", "k0", "changed")
                reading = asyncio.ensure_future(tx.get("ns", "k1"))
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

            # Whether the server got the call is not known, so the transaction cannot go on.
            with refused("CANCELLED", applied="no"):
                await cortex.mutable.transaction(cancels)
            assert await cortex.mutable.get("ns", "k0") == 0

    asyncio.run(main())


def test_a_watch_loses_nothing_to_a_time_limit_of_its_reader(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            watch = cortex.mutable.watch("ns", include_current=True)
            changes = watch.__aiter__()
            seen: list[Any] = []

            async def read() -> None:
                while len(seen) < 20:
                    try:
                        change = await asyncio.wait_for(changes.__anext__(), 0.01)
                    except asyncio.TimeoutError:
                        continue
                    if change.value is not None:
                        seen.append(change.value)

            reading = asyncio.ensure_future(read())
            await asyncio.sleep(0.3)
            for i in range(20):
                await cortex.mutable.set("ns", "k", i)
                await asyncio.sleep(0.012)
            await asyncio.wait_for(reading, 30)
            assert seen == list(range(20))

    asyncio.run(main())


def test_a_child_that_closes_keeps_the_claim_of_its_parent(options: dict[str, Any]) -> None:
    program = """
import os, sys
from cortex_store import Cortex
cortex = Cortex(address=sys.argv[1], tenant_id=sys.argv[2], timeout=20)
holding = cortex.claims.hold("c", ttl_seconds=60)
with holding as claim:
    child = os.fork()
    if child == 0:
        holding.__exit__(None, None, None)
        cortex.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert cortex.claims.get("c").fence == claim.fence
    claim.mutable.set("ns", "k", 1)
child = os.fork()
if child == 0:
    with cortex.claims.hold("c", ttl_seconds=60):
        pass
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(cortex.mutable.get("ns", "k"), cortex.claims.get("c"))
"""
    assert run_program(program, options) == "1 None"


def test_consume_takes_only_an_event_as_stop(cortex: Cortex, options: dict[str, Any]) -> None:
    group = cortex.streams.group("g", "c")
    with refused("INVALID_OPTIONS", field="stop"):
        group.consume("s", print, stop=threading.Event() if not isinstance(Event(), threading.Event) else "stop")  # type: ignore[arg-type]

    async def main() -> None:
        async with AsyncCortex(**options) as aio:
            with refused("INVALID_OPTIONS", field="stop"):
                await aio.streams.group("g", "c").consume("s", print, stop=asyncio.Event())  # type: ignore[arg-type]
            stop = AsyncEvent()
            stop.set()
            await aio.streams.group("g", "c").consume("s", print, stop=stop)

    asyncio.run(main())


def test_a_cancelled_consume_gives_its_entries_back(options: dict[str, Any]) -> None:
    """As in gcloud-aio #304: the end of a consumer must not lose what it was given."""

    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            await cortex.streams.append("s", {"n": 1})
            group = cortex.streams.group("g", "c")
            await group.ensure("s", start="0-0")
            working = asyncio.Event()

            async def work(_: Any) -> None:
                working.set()
                await asyncio.sleep(60)

            consuming = asyncio.ensure_future(group.consume("s", work))
            await asyncio.wait_for(working.wait(), 20)
            consuming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consuming
            again = await cortex.streams.group("g", "d").read("s", block=10)
            assert [(one.data, one.deliveries) for one in again] == [({"n": 1}, 1)]

    asyncio.run(main())


def test_a_consume_that_is_cancelled_acknowledges_what_its_function_has_done(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            group = cortex.streams.group("g", "c")
            await group.ensure("s", start="0-0")
            for _ in range(10):
                await cortex.streams.append("s", {"n": 1})
                handled = asyncio.Event()

                async def work(_: Any, handled: asyncio.Event = handled) -> None:
                    handled.set()

                consuming = asyncio.ensure_future(group.consume("s", work))
                await asyncio.wait_for(handled.wait(), 20)
                consuming.cancel()  # during the Ack
                with pytest.raises(asyncio.CancelledError):
                    await consuming
                assert await cortex.streams.group("g", "d").read("s") == []

    asyncio.run(main())


def test_a_consume_that_is_cancelled_gives_back_what_it_was_about_to_get(options: dict[str, Any]) -> None:
    async def main() -> None:
        async def work(_: Any) -> None:
            await asyncio.sleep(60)

        async with AsyncCortex(**options) as cortex:
            group = cortex.streams.group("g", "c")
            await group.ensure("s", start="0-0")
            for i in range(10):
                consuming = asyncio.ensure_future(group.consume("s", work))
                await asyncio.sleep(0.05)
                await cortex.streams.append("s", i)
                await asyncio.sleep(i / 5000)
                consuming.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await consuming
                (entry,) = await cortex.streams.group("g", "d").read("s", block=3)
                assert entry.data == i
                await group.ack("s", [entry])

    asyncio.run(main())


def test_a_handler_that_exits_its_thread_gives_the_entry_back(cortex: Cortex) -> None:
    cortex.streams.append("s", 1)
    group = cortex.streams.group("g", "c")
    group.ensure("s", start="0-0")
    stop = Event()
    seen: list[int] = []

    def work(entry: Any) -> None:
        seen.append(entry.deliveries)
        if len(seen) == 1:
            sys.exit()
        stop.set()

    group.consume("s", work, retry_delay=0, stop=stop)
    assert seen == [1, 2]


# --- claims ---


@pytest.mark.parametrize("is_agent", [False, True])
def test_a_cancelled_acquire_leaves_no_claim_even_if_the_client_is_closed(
    options: dict[str, Any], is_agent: bool
) -> None:
    async def main() -> None:
        with Cortex(**options) as client:
            other = client.scope("a", "b")
            for _ in range(5):
                held = other.claims.acquire("c", ttl_seconds=60)
                assert held is not None
                async with AsyncCortex(**options) as cortex:
                    scope = cortex.scope("a", "b")
                    claims = (scope.as_agent("x") if is_agent else scope).claims
                    waiting = asyncio.ensure_future(claims.acquire("c", ttl_seconds=60, wait=30))
                    await asyncio.sleep(0.1)
                    held.release()
                    await asyncio.sleep(0.002)
                    waiting.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        claim = await waiting
                        assert claim is not None
                        await claim.release()
                assert other.claims.get("c") is None

    asyncio.run(main())


def test_a_block_that_holds_a_claim_can_be_used_again(cortex: Cortex) -> None:
    holding = cortex.claims.hold("c", ttl_seconds=1)
    for _ in range(2):
        with holding as claim:
            assert not claim.lost.wait(2.5)  # it is renewed
            claim.mutable.set("ns", "k", 1)
    assert cortex.claims.get("c") is None


def test_a_cancelled_acquire_under_a_request_id_can_be_repeated(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            asking: Any = {"ttl_seconds": 60, "wait": 30, "request_id": "job-7"}
            held = await cortex.claims.acquire("c", ttl_seconds=60)
            assert held is not None
            waiting = asyncio.ensure_future(cortex.claims.acquire("c", **asking))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            await held.release()
            mine = await cortex.claims.acquire("c", **asking)
            assert mine is not None
            await asyncio.sleep(0.5)
            await mine.renew(ttl_seconds=60)

    asyncio.run(main())


def test_a_block_that_holds_a_claim_ends_soon_when_the_server_is_frozen(options: dict[str, Any], proxy: Proxy) -> None:
    with Cortex(**{**options, "address": proxy.address, "timeout": 1}) as cortex:
        with cortex.claims.hold("c", ttl_seconds=24):
            proxy.freeze()
            time.sleep(8.5)  # a renewal has begun
            begun = time.monotonic()
        assert time.monotonic() - begun < 8  # and not until the claim is over


# --- the connection ---


def test_a_connection_with_much_latency_works(options: dict[str, Any], proxy: Proxy) -> None:
    proxy.delay = 0.3
    with Cortex(**{**options, "address": proxy.address}) as cortex:
        assert cortex.mutable.get("ns", "k") is None


def test_watches_that_nobody_needs_any_more_may_be_collected_at_any_time(cortex: Cortex) -> None:
    def open_many() -> None:
        for count in range(3000):
            gc.set_threshold(50 + count % 97)  # so that it happens at each place once
            cortex.mutable.watch("ns")

    threshold = gc.get_threshold()
    try:
        opening = threading.Thread(target=open_many, daemon=True)
        opening.start()
        opening.join(60)
        assert not opening.is_alive()
    finally:
        gc.set_threshold(*threshold)


# --- functions of the caller ---


def test_an_async_function_that_takes_too_long_is_a_timeout(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            ended: list[str] = []

            async def slow(_: Any) -> None:
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(0.05)
                    ended.append("function")

            for _ in range(5):
                with refused("TRANSACTION_TIMEOUT", applied="no"):
                    await cortex.mutable.transaction(slow, timeout=0.1)
            ended.clear()
            running = asyncio.ensure_future(cortex.mutable.transaction(slow))
            await asyncio.sleep(0.2)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            ended.append("caller")
            assert ended == ["function", "caller"]

    asyncio.run(main())


def test_what_a_function_raises_is_not_taken_for_the_failure_of_its_call(
    cortex: Cortex, options: dict[str, Any]
) -> None:
    inner = CortexError("DEADLINE_EXCEEDED", "of another call", {"applied": "unknown"})

    def updater(_: Any) -> Any:
        raise inner

    with refused("UPDATE_FAILED") as failed:
        cortex.mutable.update("ns", "k", updater, create_if_missing=True)
    assert failed.error.cause is inner

    async def main() -> None:
        async with AsyncCortex(**options) as aio:

            async def work(tx: Any) -> None:
                reading = asyncio.ensure_future(tx.get("ns", "k"))
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                raise KeyError("mine")

            with refused("TRANSACTION_FAILED") as lost:
                await aio.mutable.transaction(work)
            assert isinstance(lost.error.cause, KeyError)

    asyncio.run(main())


def test_a_token_that_many_calls_wait_for_is_not_cancelled_by_one_of_them(options: dict[str, Any]) -> None:
    async def main() -> None:
        async def fetch() -> str:
            await asyncio.sleep(0.6)
            return "token"

        shared = asyncio.ensure_future(fetch())
        async with AsyncCortex(**options, token=lambda: shared) as cortex:
            first = asyncio.ensure_future(cortex.mutable.get("ns", "k", timeout=0.2))
            assert await cortex.mutable.get("ns", "k") is None
            with refused("DEADLINE_EXCEEDED"):
                await first

        def down() -> str:
            raise CortexError("UNAVAILABLE", "the vault is down")

        async with AsyncCortex(**options, token=down) as cortex:
            with refused("UNAUTHENTICATED", problem="no token"):
                await cortex.mutable.get("ns", "k")

    asyncio.run(main())


def test_an_updater_that_changes_its_argument_in_place_is_refused(cortex: Cortex) -> None:
    cortex.mutable.set("ns", "d", {"a": 1})
    with refused("INVALID_UPDATER", field="updater"):
        cortex.mutable.update("ns", "d", lambda d: d.update(b=2))
    with refused("TRANSACTION_FAILED", reason="INVALID_UPDATER"):
        cortex.mutable.transaction(lambda tx: tx.update("ns", "d", lambda d: d.update(b=2)))
    assert cortex.mutable.get("ns", "d") == {"a": 1}
    assert cortex.mutable.update("ns", "d", lambda _: None).value is None
