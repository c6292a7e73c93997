"""Updates a value by a function of the caller: at first optimistically, and under a lock if others write first."""

from __future__ import annotations

import random
import time
import uuid
from typing import Any, Callable, Optional

from .._core.errors import CortexError, is_late, message_of
from .._core.jsontext import parse, returned, to_json
from .._core.methods import MutableRpc
from .._core.records import MutableRecord, mutable_record
from .._core.retry import Deadline
from .._gen.cortex.mutable.v1 import mutable_pb2
from .io import result_of, sleep
from .transactions import AsyncLocks, AsyncTransaction, key_not_found
from .transport import AsyncTransport

_LOSSES_MAX = 2  # after this many, an update takes a lock
_CONTENDED_SECONDS = 1.0
_CONTENDED_KEYS_MAX = 10_000


class _UpdaterFailed(Exception):
    """Carries the error of an updater through the attempts."""

    def __init__(self, error: CortexError) -> None:
        super().__init__()
        self.error = error


class AsyncUpdates:
    """The updates of one MutableStore. It remembers the keys that others write often."""

    def __init__(self) -> None:
        self._contended: dict[tuple[str, str], float] = {}

    async def run(
        self,
        transport: AsyncTransport,
        name: tuple[str, str],
        updater: Callable[[Any], Any],
        create_if_missing: bool,
        deadline: Deadline,
    ) -> MutableRecord:
        """Updates the value of a namespace and key, and gives the record."""
        namespace, key = name

        async def compute(value_json: Optional[str]) -> str:
            if value_json is None and not create_if_missing:
                raise _UpdaterFailed(key_not_found(namespace, key))
            try:
                before = parse(value_json or "null")
                new = await result_of(updater(before), deadline)
            except Exception as error:
                if isinstance(error, CortexError) and is_late(error, deadline):
                    raise _UpdaterFailed(error) from None
                raise _UpdaterFailed(_updater_raised(error, namespace, key)) from None
            try:
                return to_json(returned(new, before, lambda: parse(value_json or "null")))
            except CortexError as error:
                raise _UpdaterFailed(error) from None

        try:
            losses = 0
            may_lock = True
            while True:
                if may_lock and (losses == _LOSSES_MAX or self._is_contended(name)):
                    self._note_contention(name)
                    record = await self._locked(transport, name, compute, deadline)
                    may_lock = False
                else:
                    record = await self._once(transport, name, compute, deadline, losses)
                if record is not None:
                    return record
                losses += 1
                await sleep(random.random() * 0.004 * losses)
        except _UpdaterFailed as failed:
            raise failed.error from failed.error.__cause__

    async def _once(
        self,
        transport: AsyncTransport,
        name: tuple[str, str],
        compute: Callable[[Optional[str]], Any],
        deadline: Deadline,
        losses: int,
    ) -> Optional[MutableRecord]:
        """Gives the record; None if others wrote first."""
        namespace, key = name
        left = deadline.left()
        if left <= 0:
            problem = f"others wrote {key!r} first {losses} times"
            message = f"the update did not end within {deadline.seconds} s ({problem}); nothing was written"
            raise CortexError("DEADLINE_EXCEEDED", message, {"applied": "no"})
        read_request = mutable_pb2.GetRecordRequest(namespace=namespace, key=key)
        read = await transport.unary(MutableRpc.get_record, read_request, left)
        exists = read.HasField("record")
        value_json = await compute(read.record.value_json if exists else None)
        left = deadline.left()
        if left <= 0:
            raise CortexError("DEADLINE_EXCEEDED", "the updater took too long; nothing was written", {"applied": "no"})
        request_id = uuid.uuid4().hex
        try:
            if exists:
                update = mutable_pb2.UpdateRequest(
                    namespace=namespace,
                    key=key,
                    replace=mutable_pb2.Replace(value_json=value_json),
                    if_revision=read.record.revision,
                )
                updated = await transport.write(MutableRpc.update, update, request_id=request_id, timeout=left)
                return _with_value(updated.record, value_json)
            create = mutable_pb2.SetRequest(namespace=namespace, key=key, value_json=value_json, if_absent=True)
            created = await transport.write(MutableRpc.set, create, request_id=request_id, timeout=left)
            return _with_value(created.record, value_json)
        except CortexError as error:
            # KEY_NOT_FOUND: it was deleted in between.
            if error.code in ("REVISION_MISMATCH", "KEY_EXISTS", "KEY_NOT_FOUND"):
                return None
            raise

    async def _locked(
        self,
        transport: AsyncTransport,
        name: tuple[str, str],
        compute: Callable[[Optional[str]], Any],
        deadline: Deadline,
    ) -> Optional[MutableRecord]:
        """Gives the record; None if the updater is too slow to hold a lock."""
        namespace, key = name

        async def work(tx: AsyncTransaction) -> str:
            value_json: str = await compute(await tx.read_text(namespace, key))
            await tx.replace_text(namespace, key, value_json)
            return value_json

        locks: AsyncLocks[str] = AsyncLocks(transport, deadline)
        try:
            results, value_json = await locks.run(work)
        except CortexError as error:
            if error.code == "TRANSACTION_TIMEOUT" and deadline.left() > 0 and not locks.is_unsure:
                return None
            told = _update_error(error, deadline, locks.is_unsure)
            if told is error:
                raise
            raise told from error
        return _with_value(results[0].record, value_json)

    def _is_contended(self, name: tuple[str, str]) -> bool:
        """True if others wrote this key first within the last second: then an update takes a lock at once."""
        until = self._contended.get(name)
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        self._contended.pop(name, None)
        return False

    def _note_contention(self, name: tuple[str, str]) -> None:
        if name in self._contended:
            return
        if len(self._contended) >= _CONTENDED_KEYS_MAX:
            self._contended.clear()
        self._contended[name] = time.monotonic() + _CONTENDED_SECONDS


def _with_value(message: mutable_pb2.Record, value_json: str) -> MutableRecord:
    """The record with the value that was computed here, if the reply to a repeated write left it out."""
    if message.value_omitted:
        message.value_omitted = False
        message.value_json = value_json
        message.metadata_json = "{}"
    return mutable_record(message)


def _updater_raised(error: Exception, namespace: str, key: str) -> CortexError:
    details = {"namespace": namespace, "key": key}
    failed = CortexError("UPDATE_FAILED", f"the updater raised: {message_of(error)}", details)
    failed.__cause__ = error
    return failed


def _update_error(error: CortexError, deadline: Deadline, is_unsure: bool) -> CortexError:
    """The error of an update, from that of its transaction."""
    if error.code == "TRANSACTION_FAILED" and "reason" in error.details:
        return CortexError(error.details["reason"], error.details.get("problem", error.message), error.details)
    if error.code == "TRANSACTION_TIMEOUT":
        message = f"the update did not end in time ({error.message})"
        applied = "unknown" if is_unsure else "no"
        return CortexError("DEADLINE_EXCEEDED", message, {**error.details, "applied": applied})
    return error
