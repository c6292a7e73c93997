"""Generated from _aio/transactions.py by tools/generate.py: change that file."""

from __future__ import annotations

import uuid
from typing import Any, Callable, Generic, Optional, Sequence, TypeVar

from .._core.errors import CortexError, certainly_not, message_of, refused, with_applied
from .._core.jsontext import parse
from .._core.messages import OPERATIONS_MAX, Operations
from .._core.methods import MutableRpc
from .._core.records import TransactionResult, operation_result
from .._core.retry import Deadline, pause_before
from .._core.validate import UNSET, Unset, key_text, listed, namespace_text, optional_text, whole
from .._gen.cortex.mutable.v1 import mutable_pb2
from .io import Conversation, result_of, sleep
from .transport import Transport

T = TypeVar("T")

Messages = Conversation[mutable_pb2.TransactRequest, mutable_pb2.TransactResponse]


class Transaction:
    """The methods of a transaction. It sees its own writes, and nobody else does before it is committed. What
    it has read stays locked until it ends, so it should be short: the server ends one that sends nothing
    for 5 seconds."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._buffer: list[mutable_pb2.Operation] = []
        self._writes = 0
        self._is_over = False
        self.on_locked: Callable[[], None]
        self.touched: dict[tuple[str, str], None] = {}
        """The keys that it has read or written."""
        self.failure: Optional[CortexError] = None
        """The error with which the server has ended it."""

    def get(self, namespace: str, key: str) -> Any:
        """The value; None if the key does not exist, or if None is stored."""
        return (self.get_many(namespace, [key]))[0]

    def exists(self, namespace: str, key: str) -> bool:
        """True if the key exists."""
        return (self._read(namespace, [key]))[0] is not None

    def get_many(self, namespace: str, keys: Sequence[str]) -> list[Any]:
        """The values in the order of the keys; None for a key that does not exist."""
        states = self._read(namespace, listed(keys, "keys"))
        return [None if text is None else parse(text) for text in states]

    def read_text(self, namespace: str, key: str) -> Optional[str]:
        """The value as JSON text; None if the key does not exist."""
        return (self._read(namespace, [key]))[0]

    def replace_text(self, namespace: str, key: str, value_json: str) -> None:
        """Stores a value that was read, as JSON text. It keeps user, metadata and expiry."""
        replace = mutable_pb2.Replace(value_json=value_json)
        operation = mutable_pb2.Operation(namespace=namespace, key=key, replace=replace, create_if_missing=True)
        self._write(lambda: operation)

    def _read(self, namespace: str, keys: Sequence[str]) -> list[Optional[str]]:
        """The JSON texts of the values; None for a key that does not exist."""
        self._flush()
        names = [mutable_pb2.EntryKey(namespace=namespace_text(namespace), key=key_text(key)) for key in keys]
        for name in names:
            self._note(name.namespace, name.key)
        found: list[Optional[str]] = []
        for i in range(0, len(names), OPERATIONS_MAX):
            request = mutable_pb2.TransactRead(keys=names[i : i + OPERATIONS_MAX])
            answer = self._ask(mutable_pb2.TransactRequest(read=request))
            for result in answer.read.results:
                found.append(result.record.value_json if result.HasField("record") else None)
        return found

    def list(self, namespace: str, *, key_prefix: Optional[str] = None, limit: int = 100) -> list[tuple[str, Any]]:
        """The keys and values of a namespace, by key. Nobody else can create a key in the namespace until the
        transaction ends.

        Raises REPLY_TOO_LARGE if more than ``limit`` (1 to 1000) match.
        """
        self._flush()
        request = mutable_pb2.TransactList(
            namespace=namespace_text(namespace),
            key_prefix=optional_text(key_prefix, "key_prefix", "INVALID_FILTER"),
            limit=whole(limit, "limit", "INVALID_LIMIT"),
        )
        answer = self._ask(mutable_pb2.TransactRequest(list=request))
        return [(record.key, parse(record.value_json)) for record in answer.list.records]

    def set(
        self,
        namespace: str,
        key: str,
        value: Any,
        *,
        user_id: Optional[str] | Unset = UNSET,
        metadata: Optional[dict[str, Any]] | Unset = UNSET,
        ttl_seconds: Optional[float] = None,
    ) -> None:
        """Stores a value: see ``mutable.set``."""
        self._write(Operations.set, namespace, key, value, user_id, metadata, ttl_seconds)

    def update(
        self, namespace: str, key: str, updater: Callable[[Any], Any], *, create_if_missing: bool = False
    ) -> None:
        """Changes a value by a function. A missing key is KEY_NOT_FOUND; with ``create_if_missing`` the
        function is called with None instead."""
        text = self.read_text(namespace, key)
        if text is None and not create_if_missing:
            missing = key_not_found(namespace, key)
            missing.details["operation_index"] = str(self._writes)
            raise missing
        value = result_of(updater(None if text is None else parse(text)))
        self._write(Operations.update, namespace, key, value, create_if_missing)

    def increment(self, namespace: str, key: str, amount: Any = 1, *, create_if_missing: bool = False) -> None:
        """Adds to a number, in exact decimal arithmetic: see ``mutable.increment``."""
        self._write(Operations.increment, namespace, key, amount, create_if_missing)

    def decrement(self, namespace: str, key: str, amount: Any = 1, *, create_if_missing: bool = False) -> None:
        """Subtracts from a number: see ``increment``."""
        self._write(Operations.decrement, namespace, key, amount, create_if_missing)

    def append(self, namespace: str, key: str, element: Any, *, create_if_missing: bool = False) -> None:
        """Appends an element to a list: see ``mutable.append``."""
        self._write(Operations.append, namespace, key, element, create_if_missing)

    def merge(self, namespace: str, key: str, patch: Any, *, create_if_missing: bool = False) -> None:
        """Merges a patch into an object: see ``mutable.merge``."""
        self._write(Operations.merge, namespace, key, patch, create_if_missing)

    def expire(self, namespace: str, key: str, ttl_seconds: float) -> None:
        """Sets when a key expires. A missing key fails the transaction with KEY_NOT_FOUND."""
        self._write(Operations.expire, namespace, key, ttl_seconds)

    def delete(self, namespace: str, key: str) -> None:
        """Deletes a key. A missing key fails the transaction with KEY_NOT_FOUND."""
        self._write(Operations.delete, namespace, key)

    def store(
        self,
        type: str,
        id: str,
        data: dict[str, Any],
        *,
        user_id: Optional[str] | Unset = UNSET,
        metadata: Optional[dict[str, Any]] | Unset = UNSET,
        if_version: Optional[int] = None,
    ) -> None:
        """Stores a version of an immutable record, together with the rest or not at all: see
        ``immutable.store``."""
        self._write(Operations.store, type, id, data, user_id, metadata, if_version)

    def publish(self, channel: str, data: Any, *, user_id: Optional[str] = None) -> None:
        """Publishes an event, exactly if the transaction is committed: see ``events.publish``."""
        self._write(Operations.publish, channel, data, user_id)

    def append_entry(
        self,
        stream: str,
        data: Any,
        *,
        user_id: Optional[str] = None,
        id: Optional[str] = None,
        max_len: Optional[int] = None,
        max_age_seconds: Optional[float] = None,
    ) -> None:
        """Appends an entry to a stream, exactly if the transaction is committed: see ``streams.append``."""
        self._write(Operations.append_entry, stream, data, user_id, id, max_len, max_age_seconds)

    def _write(self, build: Callable[..., mutable_pb2.Operation], *arguments: Any) -> None:
        self._check_not_over()
        try:
            if self._writes == OPERATIONS_MAX:
                raise refused("INVALID_OPERATIONS", "operations", f"are too many: at most {OPERATIONS_MAX}")
            operation = build(*arguments)
        except CortexError as error:
            error.details["operation_index"] = str(self._writes)
            raise
        self._writes += 1
        self._note(operation.namespace, operation.key)
        self._buffer.append(operation)

    def _note(self, namespace: str, key: str) -> None:
        if key:
            self.touched[(namespace, key)] = None

    def _check_not_over(self) -> None:
        if self._is_over:
            raise CortexError("INVALID_TRANSACTION", "the transaction is over", {"problem": "it is over"})

    def _flush(self) -> None:
        self._check_not_over()
        if self._buffer:
            request = mutable_pb2.TransactWrite(operations=self._buffer)
            self._buffer = []
            self._ask(mutable_pb2.TransactRequest(write=request))

    def _ask(self, request: mutable_pb2.TransactRequest) -> mutable_pb2.TransactResponse:
        try:
            self._messages.send(request)
            answer = next_answer(self._messages)
        except CortexError as error:
            self.failure = error
            raise
        self.on_locked()
        return answer

    def lock(self, keys: Sequence[tuple[str, str]]) -> None:
        """Locks keys again that an earlier attempt has used."""
        for i in range(0, len(keys), OPERATIONS_MAX):
            names = [mutable_pb2.EntryKey(namespace=ns, key=key) for ns, key in keys[i : i + OPERATIONS_MAX]]
            self._ask(mutable_pb2.TransactRequest(read=mutable_pb2.TransactRead(keys=names)))

    def end(self) -> None:
        """Nothing can be read or written any more."""
        self._is_over = True

    def commit(self, request: mutable_pb2.TransactCommit) -> list_of[mutable_pb2.OperationResult]:
        """Writes what is left, and commits."""
        if self.failure is not None:
            raise self.failure  # the caller went on although the server has ended it
        buffer, self._buffer = self._buffer, []
        self.end()
        if buffer:
            write = mutable_pb2.TransactWrite(operations=buffer)
            self._messages.send(mutable_pb2.TransactRequest(write=write))
        self._messages.send(mutable_pb2.TransactRequest(commit=request))
        while True:
            answer = next_answer(self._messages)
            if answer.WhichOneof("message") == "committed":
                return list(answer.committed.results)


list_of = list  # the class has a method `list`


def next_answer(messages: Messages) -> mutable_pb2.TransactResponse:
    answer = messages.read()
    if answer is None:
        raise CortexError("UNAVAILABLE", "the server ended the transaction")
    return answer


class _EarlierCommit(Exception):
    """Ends an attempt: an earlier attempt turns out to have committed."""

    def __init__(self, results: list[mutable_pb2.OperationResult], value: Any) -> None:
        super().__init__()
        self.results = results
        self.value = value


class Locks(Generic[T]):
    """Makes attempts at a transaction, until one is committed or fails for good.

    A commit that was sent before the connection was lost may still be running. Once the next attempt holds a
    lock of the same keys, that commit has ended. So that attempt asks for its outcome before it uses a value
    that it has read.
    """

    def __init__(self, transport: Transport, deadline: Deadline) -> None:
        self._transport = transport
        self._deadline = deadline
        self._open_commits: list[tuple[str, Any]] = []
        self._messages: Optional[Messages] = None
        self._sent: Optional[tuple[str, Any]] = None
        self.failures = 0

    @property
    def was_sent(self) -> bool:
        """True if a commit was sent."""
        return self._sent is not None or bool(self._open_commits)

    def begin(self, request_id: Optional[str] = None) -> Transaction:
        self._sent = None
        self._messages = self._transport.conversation(MutableRpc.transact, self._deadline)
        begin = mutable_pb2.TransactBegin(scope=self._transport.scope, request_id=request_id)
        self._messages.send(mutable_pb2.TransactRequest(begin=begin))
        next_answer(self._messages)
        tx = Transaction(self._messages)
        tx.on_locked = self._ask_for_commits
        return tx

    def commit(self, tx: Transaction, value: Any) -> list[mutable_pb2.OperationResult]:
        if self._deadline.left() <= 0:
            raise CortexError("DEADLINE_EXCEEDED", "the function took too long", {"applied": "no"})
        request_id = uuid.uuid4().hex
        self._sent = (request_id, value)
        request = mutable_pb2.TransactCommit(request_id=request_id, claim=self._transport.guard)
        return tx.commit(request)

    def close(self) -> None:
        """Rolls back what was not committed."""
        if self._messages is not None:
            self._messages.cancel()
        self._messages = None

    def run(
        self, work: Callable[[Transaction], Any], max_attempts: Optional[int] = None
    ) -> tuple[list[mutable_pb2.OperationResult], Any]:
        """Runs the work until it is committed. Gives the results of the operations, and what the work
        returned."""
        conflicts = 0
        while True:
            try:
                tx = self.begin()
                value = result_of(work(tx))
                return self.commit(tx, value), value
            except _EarlierCommit as earlier:
                return earlier.results, earlier.value
            except CortexError as error:
                conflicts += error.code == "CONFLICT"
                if conflicts == max_attempts:
                    message = f"others were first in each of {conflicts} attempts; nothing was written"
                    details = {"reason": "CONFLICT", "attempts": str(conflicts)}
                    raise CortexError("TRANSACTION_FAILED", message, details) from error
                wait = self.failed(error)
            finally:
                self.close()
            sleep(wait)

    def outcome(self, keys: Sequence[tuple[str, str]]) -> Optional[list[mutable_pb2.OperationResult]]:
        """The results of the commit that was sent; None if it was not applied. It locks the keys first: a
        commit that is still running holds them, so it has ended once they are locked."""
        try:
            (self.begin()).lock(keys)
        except _EarlierCommit as earlier:
            return earlier.results
        finally:
            self.close()
        return None

    def failed(self, error: CortexError) -> float:
        """The seconds to wait before the next attempt. If there is no next attempt, raises the error for the
        caller."""
        if self._sent is not None and not certainly_not(error):
            self._open_commits.append(self._sent)
        if self._open_commits:
            told = _as_unknown(error)
        elif self._sent is not None or certainly_not(error):
            told = error
        else:
            told = with_applied(error, "no")  # no commit was sent
        self.failures += 1
        wait = pause_before(error, self.failures, True, self._deadline)
        if wait is None:
            raise told
        return wait

    def _ask_for_commits(self) -> None:
        while self._open_commits:
            request_id, value = self._open_commits[0]
            results = self._committed(request_id)
            if results is not None:
                raise _EarlierCommit(results, value)
            self._open_commits.pop(0)

    def _committed(self, request_id: str) -> Optional[list[mutable_pb2.OperationResult]]:
        """The results of the transaction that was committed under the request id; None if none was."""
        messages = self._transport.conversation(MutableRpc.transact, self._deadline)
        try:
            begin = mutable_pb2.TransactBegin(scope=self._transport.scope, request_id=request_id)
            messages.send(mutable_pb2.TransactRequest(begin=begin))
            answer = next_answer(messages)
            return list(answer.committed.results) if answer.WhichOneof("message") == "committed" else None
        finally:
            messages.cancel()


def _as_unknown(error: CortexError) -> CortexError:
    if not certainly_not(error):
        return error
    message = "whether the transaction was committed is not known"
    told = CortexError("UNAVAILABLE", message, {"applied": "unknown"})
    told.__cause__ = error
    return told


class _CallbackRaised(Exception):
    """Carries what the caller's function raised through the attempts."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def run_transaction(
    transport: Transport, work: Callable[[Transaction], Any], deadline: Deadline, max_attempts: int
) -> Any:
    """Runs a function as a transaction. Gives what it returned, or the results of its writes if it returned
    None."""
    locks: Locks[Any] = Locks(transport, deadline)

    def attempt(tx: Transaction) -> Any:
        try:
            return result_of(work(tx))
        except _EarlierCommit:
            raise
        except CortexError as error:
            if error is tx.failure:
                raise
            raise _CallbackRaised(error) from error
        except Exception as error:
            raise _CallbackRaised(error) from error

    try:
        results, value = locks.run(attempt, max_attempts)
    except _CallbackRaised as raised:
        raise _callback_error(raised.error) from raised.error
    except CortexError as error:
        raise transaction_error(error, deadline, locks.was_sent) from error
    return to_result(results) if value is None else value


def _callback_error(error: BaseException) -> CortexError:
    details: dict[str, Any] = {}
    if isinstance(error, CortexError):
        details = {**error.details, "reason": error.code}
    message = f"the function raised, nothing was written: {message_of(error)}"
    return CortexError("TRANSACTION_FAILED", message, details)


def transaction_error(error: CortexError, deadline: Deadline, was_sent: bool) -> CortexError:
    """The error that the caller of a transaction gets."""
    if error.code in ("DEADLINE_EXCEEDED", "TRANSACTION_TIMEOUT"):
        applied = error.details.get("applied") or ("unknown" if was_sent else "no")
        message = f"the transaction did not end in time ({error.message})"
        return CortexError(
            "TRANSACTION_TIMEOUT", message, {"limit": str(deadline.seconds), **error.details, "applied": applied}
        )
    if error.code == "CONFLICT":
        return CortexError("TRANSACTION_FAILED", "others were first; nothing was written", {"reason": "CONFLICT"})
    if error.code == "TRANSACTION_FAILED" or "operation_index" not in error.details:
        return error
    # The operation itself was invalid, for example its value was too large.
    return CortexError("TRANSACTION_FAILED", error.message, {**error.details, "reason": error.code})


def to_result(results: Sequence[mutable_pb2.OperationResult]) -> TransactionResult:
    return TransactionResult(True, len(results), [operation_result(one) for one in results])


def key_not_found(namespace: str, key: str) -> CortexError:
    message = f"nothing is stored under {namespace!r} / {key!r}; create_if_missing=True creates it"
    return CortexError("KEY_NOT_FOUND", message, {"namespace": namespace, "key": key})


class TransactionBlock:
    """A transaction as a block: it is committed at the end of the block, and rolled back if the block raises."""

    def __init__(self, transport: Transport, deadline: Deadline) -> None:
        self._locks: Locks[None] = Locks(transport, deadline)
        self._deadline = deadline
        self._tx: Optional[Transaction] = None
        self.result: Optional[TransactionResult] = None
        """The results of the writes, once the block has ended."""

    def __enter__(self) -> Transaction:
        while self._tx is None:
            try:
                self._tx = self._locks.begin()
            except CortexError as error:
                self._locks.close()
                wait = self._locks.failed(error)
                sleep(wait)
        return self._tx

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        tx = self._tx
        assert tx is not None
        try:
            if kind is not None:
                tx.end()
                return
            try:
                self.result = to_result(self._locks.commit(tx, None))
            except CortexError as failed:
                self.result = to_result(self._outcome(failed, list(tx.touched)))
        finally:
            self._locks.close()

    def _outcome(self, failed: CortexError, keys: Sequence[tuple[str, str]]) -> list[mutable_pb2.OperationResult]:
        """The results of a commit whose reply was lost. Raises if the commit was not applied, or if its
        outcome is unknown, because the block cannot run again."""
        lost = failed
        if certainly_not(lost):
            raise transaction_error(lost, self._deadline, False)
        while True:
            try:
                wait = self._locks.failed(failed)
            except CortexError as told:
                raise transaction_error(told, self._deadline, True) from failed
            sleep(wait)
            try:
                results = self._locks.outcome(keys)
            except CortexError as again:
                failed = again
                continue
            if results is not None:
                return results
            # Without keys to lock, the commit may still be running.
            raise with_applied(lost, "no" if keys else "unknown") from lost.__cause__
