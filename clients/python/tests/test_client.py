"""The client itself: its options, errors, deadlines, updates, transactions, watches, events, streams, claims."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Server, run_program

from cortex_store import AsyncCortex, AsyncEvent, Cortex, CortexError, Event, Guard, TlsOptions


def refused(code: str, **details: Any) -> Any:
    """Expects a CortexError with a code and some details."""

    class Refused:
        def __enter__(self) -> Refused:
            self.raises = pytest.raises(CortexError)
            self.info = self.raises.__enter__()
            return self

        def __exit__(self, *error: Any) -> Any:
            swallowed = self.raises.__exit__(*error)
            self.error = self.info.value
            got = {name: self.error.details.get(name) for name in details}
            assert (self.error.code, got) == (code, details), f"{self.error!r} {self.error.details}"
            return swallowed

    return Refused()


# --- options ---


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"address": "http://localhost:1"}, "address"),
        ({"address": "localhost"}, "address"),
        ({"address": "localhost:70000"}, "address"),
        ({"tenant_id": "é"}, "tenant_id"),
        ({"tenant_id": " a"}, "tenant_id"),
        ({"token": "Bearer x"}, "token"),
        ({"token": "a\nb"}, "token"),
        ({"agent_id": 5}, "agent_id"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"tls": "yes"}, "tls"),
        ({"tls": TlsOptions(ca="/path/to/ca.pem")}, "tls.ca"),
        ({"tls": TlsOptions(cert="-----BEGIN CERTIFICATE-----")}, "tls.cert"),
        ({"tls": TlsOptions(ca=5)}, "tls.ca"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("kind", [Cortex, AsyncCortex])
def test_bad_options_are_refused(kind: Any, options: dict[str, Any], field: str) -> None:
    with refused("INVALID_CONFIG", field=field):
        kind(**options)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="ttl"):
        Cortex(address="127.0.0.1:1").mutable.set("ns", "k", 1, ttl=5)  # type: ignore[call-arg]


def test_the_environment_names_server_tenant_and_token(
    server: Server, monkeypatch: pytest.MonkeyPatch, tenant: str
) -> None:
    monkeypatch.setenv("CORTEX_ADDRESS", server.address)
    monkeypatch.setenv("CORTEX_TENANT", tenant)
    with Cortex() as one, Cortex(address=server.address, tenant_id=tenant) as other:
        one.mutable.set("ns", "k", 1)
        assert other.mutable.get("ns", "k") == 1


# --- bad input that only a client can see ---


@pytest.mark.parametrize(
    ("call", "code", "field"),
    [
        (lambda c: c.mutable.get("ns", "a\ud800"), "INVALID_KEY", "key"),
        (lambda c: c.mutable.get(5, "k"), "INVALID_NAMESPACE", "namespace"),
        (lambda c: c.mutable.set("ns", "k", 1, ttl_seconds="5"), "INVALID_TTL", "ttl_seconds"),
        (lambda c: c.mutable.set("ns", "k", 1, if_absent=1), "INVALID_OPTIONS", "if_absent"),
        (lambda c: c.mutable.set("ns", "k", 1, if_revision=5), "INVALID_REVISION", "if_revision"),
        (lambda c: c.mutable.set("ns", "k", 1, claim="c"), "INVALID_OPTIONS", "claim"),
        (lambda c: c.mutable.set("ns", "k", 1, claim=Guard("c", "x")), "INVALID_CLAIM", "claim.fence"),
        (lambda c: c.mutable.set("ns", "k", 1, timeout=-1), "INVALID_CONFIG", "timeout"),
        (lambda c: c.mutable.set("ns", "k", 1, metadata=[1]), "INVALID_METADATA", "metadata"),
        (lambda c: c.mutable.set("ns", "k", 1, user_id="\udc00"), "INVALID_USER_ID", "user_id"),
        (lambda c: c.mutable.increment("ns", "k", float("nan")), "INVALID_AMOUNT", "amount"),
        (lambda c: c.mutable.increment("ns", "k", True), "INVALID_AMOUNT", "amount"),
        (lambda c: c.mutable.list("ns", limit=2**40), "INVALID_LIMIT", "limit"),
        (lambda c: c.mutable.list("ns", limit=1.5), "INVALID_LIMIT", "limit"),
        (lambda c: c.mutable.list("ns", sort_by="size"), "INVALID_SORT", "sort_by"),
        (lambda c: c.mutable.list("ns", updated_after=datetime(2026, 1, 1)), "INVALID_FILTER", "updated_after"),
        (lambda c: c.mutable.list("ns", updated_after="2026-01-01"), "INVALID_FILTER", "updated_after"),
        (lambda c: c.immutable.get_at_timestamp("t", "i", datetime(2026, 1, 1)), "INVALID_TIME", "timestamp"),
        (lambda c: c.immutable.store("t", "i", [1]), "INVALID_DATA", "data"),
        (lambda c: c.immutable.list(tags="x"), "INVALID_FILTER", "tags"),
        (lambda c: c.mutable.get_many("ns", "keys"), "INVALID_BATCH", "keys"),
        (lambda c: c.mutable.set_many("ns", [{"key": "k", "value": 1, "ttl": 5}]), "INVALID_BATCH", "ttl"),
        (lambda c: c.mutable.set_many("ns", [{"key": "k"}]), "INVALID_VALUE", "entries[0].value"),
        (lambda c: c.mutable.transaction([{"op": "sett"}]), "INVALID_OPERATIONS", "operations[0].op"),
        (lambda c: c.mutable.transaction([{"op": "set", "key": "k"}]), "INVALID_OPERATIONS", "operations[0].namespace"),
        (lambda c: c.mutable.transaction(5), "INVALID_OPERATIONS", "work"),
        (lambda c: c.mutable.transaction(print, request_id="r"), "INVALID_OPTIONS", "request_id"),
        (lambda c: c.mutable.update("ns", "k", 5), "INVALID_UPDATER", "updater"),
        (lambda c: c.mutable.watch("ns", cursor="c", include_current=True), "INVALID_OPTIONS", "cursor"),
        (lambda c: c.claims.acquire("c", ttl_seconds=5, wait=-1), "INVALID_OPTIONS", "wait"),
        (lambda c: c.streams.group("g", "c").read("s", block=-1), "INVALID_OPTIONS", "block"),
        (lambda c: c.streams.group("g", "c").ack("s", [5]), "INVALID_ENTRY_ID", "deliveries[0]"),
        (lambda c: c.streams.group("g", "c").consume("s", print, concurrency=0), "INVALID_OPTIONS", "concurrency"),
        (lambda c: c.scope("", "x"), "INVALID_SCOPE", "key"),
        (lambda c: c.scope("a", "b").as_agent("é"), "INVALID_AGENT_ID", "agent_id"),
        (lambda c: c.mutable.purge_namespace("ns", on_progress=print), "INVALID_OPTIONS", "on_progress"),
        (lambda c: c.mutable.purge_namespace("ns", on_progress=5), "INVALID_OPTIONS", "on_progress"),
        (lambda c: c.mutable.set("ns", "k", 1, ttl_seconds=10**5000), "INVALID_TTL", "ttl_seconds"),
        (lambda c: c.mutable.increment("ns", "k", "\ud800"), "INVALID_AMOUNT", "amount"),
        (lambda c: c.mutable.transaction([{"op": ["set"]}]), "INVALID_OPERATIONS", "operations[0].op"),
        (lambda c: c.events.publish_many([{"channel": "c"}]), "INVALID_VALUE", "events[0].data"),
        (lambda c: c.events.subscribe("c", 5), "INVALID_OPTIONS", "handler"),
        (lambda c: c.claims.release("c"), "INVALID_OPTIONS", "claim"),
        (lambda c: c.claims.release(Guard("c", "x")), "INVALID_CLAIM", "claim.fence"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(cortex: Cortex, call: Any, code: str, field: str) -> None:
    with refused(code, field=field):
        call(cortex)
    assert cortex.mutable.list_namespaces() == []


def test_an_async_function_is_refused_by_the_synchronous_client(cortex: Cortex) -> None:
    async def later(value: Any) -> Any:
        return value

    with refused("INVALID_UPDATER", problem="is async: use AsyncCortex"):
        cortex.mutable.update("ns", "k", later, create_if_missing=True)
    with refused("TRANSACTION_FAILED") as failed:
        cortex.mutable.transaction(later)
    assert "AsyncCortex" in str(failed.error)


# --- no server ---


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_without_a_server_each_call_fails_at_its_deadline_with_the_address() -> None:
    address = f"127.0.0.1:{free_port()}"
    with Cortex(address=address, timeout=0.5) as cortex:
        calls = [
            lambda: cortex.mutable.set("ns", "k", 1),
            lambda: cortex.mutable.update("ns", "k", lambda n: n),
            lambda: cortex.mutable.transaction([{"op": "delete", "namespace": "ns", "key": "k"}]),
            lambda: cortex.mutable.wait_for("ns", "k", bool),
            lambda: list(cortex.mutable.scan("ns")),
            lambda: cortex.mutable.list("ns"),
            lambda: cortex.claims.acquire("c", ttl_seconds=5),
            lambda: cortex.events.subscribe("c", print),
            lambda: next(cortex.mutable.watch("ns", timeout=0.5)),
            lambda: next(cortex.events.stream("c", timeout=0.5)),
        ]
        for call in calls:
            began = time.monotonic()
            with refused("UNAVAILABLE", address=address, applied="no") as failed:
                call()  # type: ignore[no-untyped-call]
            assert address in failed.error.message
            assert time.monotonic() - began < 3
        with refused("UNAVAILABLE", address=address, applied="no"), cortex.mutable.transaction() as tx:
            tx.get("ns", "k")


def test_without_a_server_asyncio_fails_too() -> None:
    async def main() -> None:
        address = f"127.0.0.1:{free_port()}"
        async with AsyncCortex(address=address, timeout=0.5) as cortex:
            for call in (
                cortex.mutable.set("ns", "k", 1),
                cortex.mutable.update("ns", "k", lambda n: n),
                cortex.mutable.wait_for("ns", "k", bool),
                cortex.events.subscribe("c", print),
                cortex.mutable.watch("ns", timeout=0.5).__anext__(),
            ):
                with refused("UNAVAILABLE", address=address, applied="no"):
                    await call

    asyncio.run(main())


def test_a_server_that_comes_later_is_found(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Cortex(address=address, timeout=30) as cortex, ThreadPoolExecutor(1) as pool:
        stored = pool.submit(cortex.mutable.set, "ns", "k", 1)
        time.sleep(0.3)
        server = Server(str(tmp_path), listen=address)
        assert stored.result(30).value == 1
        server.stop()


def test_a_peer_that_does_not_answer_ends_at_the_deadline() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Cortex(address=address, timeout=0.5) as cortex, refused("UNAVAILABLE"):
            cortex.mutable.get("ns", "k")


def test_after_close_calls_fail(options: dict[str, Any]) -> None:
    cortex = Cortex(**options)
    cortex.mutable.set("ns", "k", 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(list, cortex.mutable.watch("ns"))
        time.sleep(0.2)
        cortex.close()
        with refused("CANCELLED"):
            waiting.result(5)
    with refused("CANCELLED", applied="no"):
        cortex.mutable.get("ns", "k")


def test_kill_9_of_the_server_loses_nothing_and_applies_nothing_twice(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    server = Server(str(tmp_path), listen=address)
    going = True
    counts = {"increment": 0, "update": 0, "transaction": 0}

    def transact(cortex: Cortex) -> None:
        def work(tx: Any) -> None:
            tx.set("ns", "transaction", (tx.get("ns", "transaction") or 0) + 1)

        cortex.mutable.transaction(work)

    calls = {
        "increment": lambda c: c.mutable.increment("ns", "increment", create_if_missing=True),
        "update": lambda c: c.mutable.update("ns", "update", lambda n: (n or 0) + 1, create_if_missing=True),
        "transaction": transact,
    }

    def work(name: str) -> None:
        with Cortex(address=address, timeout=60) as cortex:
            while going:
                calls[name](cortex)  # type: ignore[no-untyped-call]
                counts[name] += 1

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, name) for name in calls]
        for _ in range(2):
            time.sleep(0.7)
            server.process.kill()
            server.process.wait()
            server = Server(str(tmp_path), listen=address)
        time.sleep(0.5)
        going = False
        for one in working:
            one.result(60)
    with Cortex(address=address, timeout=20) as cortex:
        assert {name: cortex.mutable.get("ns", name) for name in calls} == counts
    assert min(counts.values()) > 10
    server.stop()


# --- update and transaction ---


def test_updates_of_many_threads_lose_nothing(options: dict[str, Any]) -> None:
    def work(_: int) -> None:
        with Cortex(**options) as cortex:
            for _ in range(25):
                cortex.mutable.update("ns", "n", lambda n: (n or 0) + 1, create_if_missing=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    with Cortex(**options) as cortex:
        assert cortex.mutable.get("ns", "n") == 200


def test_an_updater_runs_again_when_others_write_first(cortex: Cortex) -> None:
    cortex.mutable.set("ns", "k", 0)
    seen = []

    def updater(value: int) -> int:
        seen.append(value)
        if len(seen) < 3:
            cortex.mutable.increment("ns", "k", 10)  # the rival
        return value + 1

    assert cortex.mutable.update("ns", "k", updater).value == 21
    assert seen == [0, 10, 20]


def test_what_an_updater_raises_is_the_cause(cortex: Cortex) -> None:
    cortex.mutable.set("ns", "k", 1)

    def fail(_: Any) -> Any:
        raise ValueError("mine")

    with refused("UPDATE_FAILED", namespace="ns", key="k") as failed:
        cortex.mutable.update("ns", "k", fail)
    assert isinstance(failed.error.cause, ValueError)
    with refused("INVALID_VALUE", path="value"):
        cortex.mutable.update("ns", "k", lambda _: {1, 2})
    with refused("KEY_NOT_FOUND", key="none") as missing:
        cortex.mutable.update("ns", "none", lambda n: n)
    assert "create_if_missing" in missing.error.message
    assert cortex.mutable.get("ns", "k") == 1


def test_a_transaction_reads_its_own_writes_and_gives_what_the_function_returns(cortex: Cortex) -> None:
    cortex.mutable.set_many("ns", {"a": 15, "b": 0})

    def move(tx: Any) -> Any:
        if tx.get("ns", "a") < 10:
            raise ValueError("not enough")
        tx.decrement("ns", "a", 10)
        tx.increment("ns", "b", 10)
        tx.append("ns", "log", {"moved": 10}, create_if_missing=True)
        tx.store("audit", "move", {"amount": 10})
        return tx.get_many("ns", ["a", "b", "log", "none"])

    assert cortex.mutable.transaction(move) == [5, 10, [{"moved": 10}], None]
    with refused("TRANSACTION_FAILED") as failed:
        cortex.mutable.transaction(move)
    assert isinstance(failed.error.cause, ValueError)
    assert cortex.mutable.get_many("ns", ["a", "b"]) == [5, 10]
    record = cortex.immutable.get("audit", "move")
    assert record is not None and record.data == {"amount": 10}
    result = cortex.mutable.transaction(lambda tx: tx.set("ns", "c", 1))
    assert (result.operations_executed, result.results[0].value) == (1, 1)


def test_an_operation_that_fails_is_named(cortex: Cortex) -> None:
    def work(tx: Any) -> None:
        tx.set("ns", "a", 1)
        tx.increment("ns", "none")

    with refused("TRANSACTION_FAILED", reason="KEY_NOT_FOUND") as failed:
        cortex.mutable.transaction(work)
    assert failed.error.operation_index == 1
    with refused("TRANSACTION_FAILED", reason="KEY_NOT_FOUND", operation_index="1"):
        cortex.mutable.transaction(lambda tx: [tx.set("ns", "a", 1), tx.update("ns", "none", lambda n: n)])
    with refused("TRANSACTION_FAILED", reason="INVALID_VALUE", operation_index="0", path="value[0]"):
        cortex.mutable.transaction(lambda tx: tx.set("ns", "a", [object()]))
    assert not cortex.mutable.exists("ns", "a")


def test_a_transaction_lists_and_locks(cortex: Cortex) -> None:
    cortex.mutable.set_many("ns", {"a:1": 1, "a:2": 2, "b": 3})

    def work(tx: Any) -> Any:
        tx.delete("ns", "a:1")
        tx.set("ns", "a:3", 3)
        return tx.list("ns", key_prefix="a:"), tx.exists("ns", "a:1")

    assert cortex.mutable.transaction(work) == ([("a:2", 2), ("a:3", 3)], False)


def test_a_block_is_committed_at_its_end_and_rolled_back_if_it_raises(cortex: Cortex) -> None:
    with cortex.mutable.transaction() as tx:
        tx.set("ns", "k", 1)
        assert tx.get("ns", "k") == 1
        assert cortex.mutable.get("ns", "k") is None
    assert cortex.mutable.get("ns", "k") == 1
    with refused("INVALID_TRANSACTION"):
        tx.get("ns", "k")
    with pytest.raises(ZeroDivisionError), cortex.mutable.transaction() as tx:
        tx.set("ns", "k", 2)
        1 / 0  # noqa: B018
    assert cortex.mutable.get("ns", "k") == 1
    with refused("TRANSACTION_FAILED", reason="KEY_NOT_FOUND"), cortex.mutable.transaction() as tx:
        tx.set("ns", "k", 3)
        tx.delete("ns", "none")
    assert cortex.mutable.get("ns", "k") == 1


def test_a_transaction_that_takes_too_long_is_rolled_back(cortex: Cortex) -> None:
    with refused("TRANSACTION_TIMEOUT", applied="no"):

        def slow(tx: Any) -> None:
            tx.set("ns", "k", 1)
            tx.get("ns", "k")
            time.sleep(1)

        cortex.mutable.transaction(slow, timeout=0.5)
    assert cortex.mutable.get("ns", "k") is None


def test_transactions_of_many_threads_are_serial(options: dict[str, Any]) -> None:
    with Cortex(**options) as cortex:
        cortex.mutable.set_many("ns", {"a": 100, "b": 100})

    def work(i: int) -> None:
        source, target = ("a", "b") if i % 2 else ("b", "a")

        def move(tx: Any) -> None:
            one, other = tx.get("ns", source), tx.get("ns", target)
            tx.set("ns", source, one - 1)
            tx.set("ns", target, other + 1)

        with Cortex(**options) as cortex:
            for _ in range(10):
                cortex.mutable.transaction(move)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    with Cortex(**options) as cortex:
        assert cortex.mutable.get_many("ns", ["a", "b"]) == [100, 100]


def test_a_guarded_update_and_transaction_fail_with_a_stale_fence(cortex: Cortex) -> None:
    claim = cortex.claims.acquire("c", ttl_seconds=60)
    assert claim is not None
    claim.mutable.update("ns", "k", lambda n: 1, create_if_missing=True)
    claim.release()
    with refused("FENCE_STALE", claim="c"):
        claim.mutable.update("ns", "k", lambda n: 2)
    with refused("TRANSACTION_FAILED", reason="FENCE_STALE"):
        claim.mutable.transaction(lambda tx: tx.set("ns", "k", 2))
    with refused("TRANSACTION_FAILED", reason="FENCE_STALE"), claim.mutable.transaction() as tx:
        tx.set("ns", "k", 2)
    assert cortex.mutable.get("ns", "k") == 1


# --- watch, events, claims, streams ---


def test_a_watch_goes_on_after_its_cursor(cortex: Cortex) -> None:
    cortex.mutable.set("ns", "a", 1)
    progress: list[tuple[str, bool]] = []
    with cortex.mutable.watch("ns", include_current=True, on_progress=lambda *told: progress.append(told)) as watch:
        first = next(watch)
        assert (first.kind, first.key, first.value) == ("current", "a", 1)
        cortex.mutable.set("ns", "b", 2)
        second = next(watch)
    assert (second.kind, second.key) == ("set", "b")
    assert progress[-1][1] is True
    cortex.mutable.delete("ns", "a")
    with cortex.mutable.watch("ns", cursor=second.cursor) as watch:
        third = next(watch)
    assert (third.kind, third.key, third.value) == ("delete", "a", None)
    with refused("INVALID_CURSOR"):
        next(cortex.mutable.watch("ns", cursor="nonsense"))


def test_immutable_watch_and_wait_for(cortex: Cortex, options: dict[str, Any]) -> None:
    with ThreadPoolExecutor(2) as pool:
        watch = cortex.immutable.watch("t", include_current=True)
        seen = pool.submit(lambda: [next(watch) for _ in range(2)])
        waited = pool.submit(cortex.mutable.wait_for, "ns", "job", lambda v: v == "done")
        cortex.immutable.store("t", "i", {"v": 1})
        cortex.immutable.store("t", "i", {"v": 2})
        cortex.mutable.set("ns", "job", "running")
        cortex.mutable.set("ns", "job", "done")
        assert waited.result(20) == "done"
        assert [one.version for one in seen.result(20)] in ([1, 2], [2, 2])
        watch.close()
    assert cortex.mutable.wait_for("ns", "none", lambda v: v is None) is None
    with refused("DEADLINE_EXCEEDED"):
        cortex.mutable.wait_for("ns", "job", lambda v: v == "never", timeout=0.3)


def test_events_come_to_subscribers(cortex: Cortex) -> None:
    got: list[Any] = []
    errors: list[BaseException] = []
    both = threading.Event()

    def handler(event: Any) -> None:
        got.append((event.type, event.data))
        if len(got) == 2:
            both.set()
        if event.data == 1:
            raise ValueError("mine")

    subscription = cortex.events.subscribe("user:*", handler, on_error=errors.append)
    cortex.events.publish("other", 0)
    cortex.events.publish_many([{"channel": "user:a", "data": 1}, {"channel": "user:b", "data": {"x": 2}}])
    assert both.wait(20)
    subscription.close()
    assert got == [("user:a", 1), ("user:b", {"x": 2})]
    assert [type(error) for error in errors] == [ValueError]
    with refused("INVALID_CHANNEL"):
        cortex.events.subscribe("a**", handler)
    stream = cortex.events.stream("late")
    threading.Timer(0.5, lambda: cortex.events.publish("late", 5)).start()
    event = next(stream)
    assert (event.data, event.timestamp.tzinfo) == (5, timezone.utc)
    stream.close()
    assert list(stream) == []


def test_a_claim_is_renewed_while_it_is_held_and_released_at_the_end(cortex: Cortex) -> None:
    with cortex.claims.hold("c", ttl_seconds=0.6) as claim:
        time.sleep(1.5)
        assert not claim.lost.is_set()
        with refused("CLAIM_NOT_HELD", claim="c", owner=claim.owner), cortex.claims.hold("c", ttl_seconds=1):
            raise AssertionError("it is held")
    assert cortex.claims.get("c") is None
    with cortex.claims.hold("c", ttl_seconds=0.6) as claim:
        cortex.claims.release(claim)  # as if it were lost
        assert claim.lost.wait(5)
        with refused("FENCE_STALE"):
            claim.mutable.set("ns", "k", 1)


def test_a_claim_is_waited_for_in_turn(cortex: Cortex) -> None:
    first = cortex.claims.acquire("c", ttl_seconds=60)
    assert first is not None
    assert cortex.claims.acquire("c", ttl_seconds=60, wait=0.3) is None
    threading.Timer(0.3, first.release).start()
    began = time.monotonic()
    second = cortex.claims.acquire("c", ttl_seconds=60, wait=20)
    assert second is not None and int(second.fence) > int(first.fence)
    assert time.monotonic() - began < 10
    assert cortex.claims.once("d", "me", ttl_seconds=60) and not cortex.claims.once("d", "me", ttl_seconds=60)


def test_consume_works_on_each_entry_and_gives_back_what_failed(cortex: Cortex) -> None:
    group = cortex.streams.group("g", "c")
    group.ensure("s", max_deliveries=2, visibility_seconds=0.5)
    cortex.streams.append_many("s", [{"data": n} for n in range(20)])
    stop = Event()
    seen: list[int] = []
    failed: list[Any] = []

    def handler(entry: Any) -> None:
        seen.append(entry.data)
        if entry.data == 7:
            raise ValueError("seven")
        if entry.data == 8 and entry.deliveries == 1:
            time.sleep(1.2)  # longer than the visibility time: it is extended
        if group.info("s").dead_letters == 1 and len(set(seen)) == 20:
            stop.set()

    def on_error(error: BaseException, entry: Any) -> None:
        failed.append((str(error), entry.deliveries))
        if entry.deliveries == 2:
            threading.Timer(1.5, stop.set).start()

    group.consume("s", handler, concurrency=4, retry_delay=0.1, on_error=on_error, stop=stop)
    assert sorted(set(seen)) == list(range(20))
    assert seen.count(8) == 1 and failed == [("seven", 1), ("seven", 2)]
    (dead,) = group.dead_letters("s").entries
    assert (dead.data, dead.history[-1].reason) == (7, "ValueError: seven")
    assert group.pending("s").entries == []
    with refused("GROUP_NOT_FOUND"):
        cortex.streams.group("none", "c").consume("s", handler)


def test_scopes_agents_and_exports(cortex: Cortex) -> None:
    scope = cortex.scope("org", "1").scope("ws", "2")
    scope.as_agent("agent-7").mutable.set("ns", "k", 1)
    record = scope.mutable.get_record("ns", "k")
    assert record is not None and record.updated_by == "agent-7"
    assert [step.identifier for step in scope.path] == ["1", "2"]
    assert [one for one in scope.export() if '"k"' in one]
    cortex.users.create("u")
    cortex.mutable.set("ns", "mine", 1, user_id="u")
    assert any('"mine"' in line for line in cortex.users.export("u"))
    with refused("USER_NOT_FOUND"):
        list(cortex.users.export("nobody"))


def test_scan_gives_everything_and_purges_go_in_steps(cortex: Cortex) -> None:
    for i in range(0, 2500, 500):
        cortex.mutable.set_many("ns", {f"k{n:05}": n for n in range(i, i + 500)})
    assert [record.value for record in cortex.mutable.scan("ns")] == list(range(2500))
    assert [record.key for record in cortex.mutable.scan("ns", key_prefix="k0000")][:2] == ["k00000", "k00001"]
    told: list[int] = []
    purged = cortex.mutable.purge_namespace(
        "ns", stepped=True, entries_per_step=1000, on_progress=lambda progress: told.append(progress.deleted)
    )
    assert (purged.deleted, len(purged.keys), told[-1]) == (2500, 1000, 2500)
    for n in range(30):
        cortex.immutable.store("t", "i", {"n": n}, include_history=False)
    assert [version.data["n"] for version in cortex.immutable.history_stream("t", "i")][-1] == 29
    assert len(list(cortex.immutable.scan(type="t"))) == 1
    cortex.streams.append_many("s", [{"data": n} for n in range(25)])
    assert [entry.data for entry in cortex.streams.scan("s", limit=10)] == list(range(25))


def test_asyncio_runs_many_calls_at_once_and_stops_when_it_is_cancelled(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncCortex(**options) as cortex:

            async def grow(value: Any) -> Any:
                await asyncio.sleep(0)
                return (value or 0) + 1

            await asyncio.gather(*(cortex.mutable.update("ns", "n", grow, create_if_missing=True) for _ in range(40)))
            assert await cortex.mutable.get("ns", "n") == 40

            async def move(tx: Any) -> Any:
                await tx.set("ns", "m", await tx.get("ns", "n") + 1)
                return await tx.get("ns", "m")

            assert await cortex.mutable.transaction(move) == 41
            async with cortex.mutable.transaction() as tx:
                await tx.delete("ns", "m")
            assert await cortex.mutable.get("ns", "m") is None
            for waiting in (
                cortex.mutable.wait_for("ns", "never", bool, timeout=60),
                cortex.claims.acquire("c", ttl_seconds=5, wait=60),
                cortex.mutable.watch("ns").__anext__(),
            ):
                if "acquire" in getattr(waiting, "__qualname__", ""):
                    await cortex.claims.acquire("c", ttl_seconds=60)
                task = asyncio.ensure_future(waiting)
                await asyncio.sleep(0.2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            group = cortex.streams.group("g", "c")
            await group.ensure("s")
            stop = AsyncEvent()
            seen = []

            async def handler(entry: Any) -> None:
                seen.append(entry.data)
                if len(seen) == 10:
                    stop.set()

            await cortex.streams.append_many("s", [{"data": n} for n in range(10)])
            await group.consume("s", handler, concurrency=3, stop=stop)
            assert sorted(seen) == list(range(10))
            async with cortex.claims.hold("d", ttl_seconds=0.6) as claim:
                await asyncio.sleep(1)
                assert not claim.lost.is_set()
            assert [record.key async for record in cortex.mutable.scan("ns")] == ["n"]

    asyncio.run(main())


def test_a_cancelled_task_releases_what_it_holds(options: dict[str, Any]) -> None:
    """As in redis-py #3847: a lock must not stay held when its task is cancelled."""

    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            holding = asyncio.Event()

            async def hold() -> None:
                async with cortex.claims.hold("c", ttl_seconds=60):
                    holding.set()
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(hold())
            await holding.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await cortex.claims.get("c") is None

    asyncio.run(main())


def test_a_client_works_in_a_forked_process(options: dict[str, Any]) -> None:
    """As in grpc #13464: a call in a forked process must not hang."""
    program = """
import os, sys
from cortex_store import Cortex
cortex = Cortex(address=sys.argv[1], tenant_id=sys.argv[2], timeout=20)
cortex.mutable.set("ns", "k", 1)
child = os.fork()
if child == 0:
    cortex.mutable.increment("ns", "k")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(cortex.mutable.increment("ns", "k").value)
"""
    assert run_program(program, options) == "3"


def test_no_message_has_a_name_that_another_package_may_have() -> None:
    """As in mem0 #3777: protobuf accepts each file name and each message once."""
    for path in (ROOT / "clients" / "python" / "cortex_store" / "_gen").rglob("*_pb2.py"):
        assert "# source: cortex/" in path.read_text("utf-8")


# --- credentials and TLS ---

CERTIFICATES = ROOT / "test" / "support" / "certificates"


def test_a_token_function_is_asked_before_each_call(tmp_path: Path) -> None:
    key = "0123456789abcdef0123456789abcdef"
    grant = {
        "principal": "agent-7",
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "tenants": ["acme"],
        "permissions": ["read", "write"],
    }
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [grant]}))
    server = Server(str(tmp_path), "--auth", "keys", "--auth-keys-file", str(tmp_path / "keys.json"))
    asked: list[int] = []

    def token() -> str:
        asked.append(1)
        return key

    def fail() -> str:
        raise ValueError("no token today")

    try:
        with Cortex(address=server.address, tenant_id="acme", token=token, timeout=20) as cortex:
            assert cortex.mutable.set("ns", "k", 1).principal == "agent-7"
            assert cortex.mutable.get("ns", "k") == 1
            assert len(asked) == 2
        for token_given, tenant, code in ((None, "acme", "UNAUTHENTICATED"), (key, "other", "PERMISSION_DENIED")):
            with Cortex(address=server.address, tenant_id=tenant, token=token_given) as cortex, refused(code):
                cortex.mutable.get("ns", "k")
        with Cortex(address=server.address, token=fail) as cortex, refused("UNAUTHENTICATED") as failed:
            cortex.mutable.get("ns", "k")
        assert isinstance(failed.error.cause, ValueError)

        async def main() -> None:
            async def later() -> str:
                return key

            async with AsyncCortex(address=server.address, tenant_id="acme", token=later) as cortex:
                assert await cortex.mutable.get("ns", "k") == 1

        asyncio.run(main())
    finally:
        server.stop()


def test_tls_of_both_sides(tmp_path: Path) -> None:
    files = {name: str(CERTIFICATES / name) for name in ("ca.crt", "server-1.crt", "server-1.key")}
    server = Server(
        str(tmp_path),
        *("--tls-cert", files["server-1.crt"], "--tls-key", files["server-1.key"]),
        *("--tls-client-ca", files["ca.crt"]),
    )
    ca = (CERTIFICATES / "ca.crt").read_bytes()

    def options(name: str) -> TlsOptions:
        cert, key = ((CERTIFICATES / f"{name}.{kind}").read_text() for kind in ("crt", "key"))
        return TlsOptions(ca=ca, cert=cert, key=key, server_name="localhost")

    try:
        with Cortex(address=server.address, tls=options("client"), timeout=20) as cortex:
            assert cortex.mutable.set("ns", "k", 1).principal == "agent-7"

        async def main() -> None:
            async with AsyncCortex(address=server.address, tls=options("client"), timeout=20) as cortex:
                assert await cortex.mutable.get("ns", "k") == 1

        asyncio.run(main())
        for tls in (None, True, TlsOptions(ca=ca), options("impostor")):
            with Cortex(address=server.address, tls=tls, timeout=1) as cortex, refused("UNAVAILABLE"):
                cortex.mutable.get("ns", "k")
    finally:
        server.stop()
