"""Generated from _aio/transactions.py by tools/generate.py: change that file."""

from __future__ import annotations

import uuid
from typing import Any, Callable, Generic, Optional, Sequence, TypeVar

from .._core.errors import CortexError, certainly_not, message_of, refused, with_applied
from .._core.jsontext import parse, returned
from .._core.messages import OPERATIONS_MAX, Operations
from .._core.methods import MutableRpc
from .._core.records import TransactionResult, operation_result
from .._core.retry import Deadline, pause_before
from .._core.validate import UNSET, Unset, key_text, listed, namespace_text, optional_text, whole
from .._gen.cortex.mutable.v1 import mutable_pb2
from .io import Conversation, Lock, check_callable, result_of, sleep
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
        self._turn = Lock()
        self.failure: Optional[CortexError] = None
        """Why it has ended: the error of the server, or that its caller was cancelled within a call."""

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
        self._check_not_over()
        names = [mutable_pb2.EntryKey(namespace=namespace_text(namespace), key=key_text(key)) for key in keys]
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
        self._check_not_over()
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
        check_callable(updater, "updater", "INVALID_UPDATER")
        text = self.read_text(namespace, key)
        if text is None and not create_if_missing:
            missing = key_not_found(namespace, key)
            missing.details["operation_index"] = str(self._writes)
            raise missing
        before = parse(text or "null")
        value = returned(result_of(updater(before)), before, lambda: parse(text or "null"))
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

    def touch(self, namespace: str, key: str, ttl_seconds: float) -> None:
        """The same as ``expire``."""
        self.expire(namespace, key, ttl_seconds)

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
        self._buffer.append(operation)

    def _check_not_over(self) -> None:
        if self._is_over:
            raise CortexError("INVALID_TRANSACTION", "the transaction is over", {"problem": "it is over"})

    def _ask(self, request: mutable_pb2.TransactRequest) -> mutable_pb2.TransactResponse:
        """Sends what was written so far and then the request, and gives the answer to it. One at a time."""
        with self._turn:
            self._check_not_over()
            try:
                if self._buffer:
                    write = mutable_pb2.TransactWrite(operations=self._buffer)
                    self._buffer = []
                    self._messages.send(mutable_pb2.TransactRequest(write=write))
                    next_answer(self._messages)
                self._messages.send(request)
                return next_answer(self._messages)
            except CortexError as error:
                # No commit was sent.
                self.failure = error if certainly_not(error) else with_applied(error, "no")
                raise self.failure from error.__cause__
            except BaseException:
                self.failure = CortexError("CANCELLED", "a call of the transaction was cancelled", {"applied": "no"})
                raise

    def end(self) -> None:
        """Nothing can be read or written any more."""
        self._is_over = True

    def commit(self, request: mutable_pb2.TransactCommit) -> list_of[mutable_pb2.OperationResult]:
        """Writes what is left, and commits."""
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

    A commit that was sent before the connection was lost may have been applied, or may still arrive. So before the
    next attempt, an empty transaction is committed under its request id. If that is refused, the lost commit was
    applied. If not, the lost commit can never be applied: the server takes each request id once.
    """

    def __init__(self, transport: Transport, deadline: Deadline) -> None:
        self._transport = transport
        self._deadline = deadline
        self._open_commits: list[tuple[str, Any]] = []
        self._messages: Optional[Messages] = None
        self._sent: Optional[tuple[str, Any]] = None
        self.failures = 0

    def begin(self) -> Transaction:
        self._sent = None
        self.settle()
        self._messages = self._transport.conversation(MutableRpc.transact, self._deadline)
        begin = mutable_pb2.TransactBegin(scope=self._transport.scope)
        self._messages.send(mutable_pb2.TransactRequest(begin=begin))
        next_answer(self._messages)
        return Transaction(self._messages)

    def commit(self, tx: Transaction, value: Any) -> list[mutable_pb2.OperationResult]:
        if tx.failure is not None:
            raise tx.failure  # the caller went on although the transaction has ended
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
        """Runs the work until it is committed. Gives the results of the operations, and what the work returned."""
        conflicts = 0
        while True:
            try:
                tx = self.begin()
                value = result_of(work(tx), self._deadline)
                return self.commit(tx, value), value
            except _EarlierCommit as earlier:
                return earlier.results, earlier.value
            except CortexError as error:
                conflicts += error.code == "CONFLICT"
                if max_attempts is not None and conflicts >= max_attempts and not self._open_commits:
                    message = f"others were first in each of {conflicts} attempts; nothing was written"
                    details = {"reason": "CONFLICT", "attempts": str(conflicts)}
                    raise CortexError("TRANSACTION_FAILED", message, details) from error
                wait = self.failed(error)
            finally:
                self.close()
            sleep(wait)

    def failed(self, error: CortexError) -> float:
        """The seconds to wait before the next attempt. If there is no next attempt, raises the error for the
        caller."""
        if self._sent is not None and not certainly_not(error):
            self._open_commits.append(self._sent)
            self._sent = None
        if self._open_commits:
            told = _as_unknown(error)
        else:
            told = error if certainly_not(error) else with_applied(error, "no")  # no commit was sent
        self.failures += 1
        wait = pause_before(error, self.failures, True, self._deadline)
        if wait is None:
            raise told
        return wait

    @property
    def is_unsure(self) -> bool:
        """True if a commit that was sent may have been applied."""
        return bool(self._open_commits)

    def settle(self) -> None:
        """Finds out whether commits whose replies were lost were applied. Raises _EarlierCommit if one was."""
        while self._open_commits:
            request_id, value = self._open_commits[0]
            try:
                self._commit_nothing(request_id)
            except CortexError as error:
                if error.code != "REQUEST_ID_REUSED":
                    raise
                results = self._committed(request_id)
                raise _EarlierCommit(results, value) from None
            self._open_commits.pop(0)

    def _commit_nothing(self, request_id: str) -> None:
        """Uses the request id up. Fails with REQUEST_ID_REUSED if a commit was applied under it."""
        messages = self._transport.conversation(MutableRpc.transact, self._deadline)
        try:
            begin = mutable_pb2.TransactBegin(scope=self._transport.scope)
            messages.send(mutable_pb2.TransactRequest(begin=begin))
            next_answer(messages)
            commit = mutable_pb2.TransactCommit(request_id=request_id)
            messages.send(mutable_pb2.TransactRequest(commit=commit))
            next_answer(messages)
        finally:
            messages.cancel()

    def _committed(self, request_id: str) -> list[mutable_pb2.OperationResult]:
        """The results of the transaction that was committed under the request id."""
        messages = self._transport.conversation(MutableRpc.transact, self._deadline)
        try:
            begin = mutable_pb2.TransactBegin(scope=self._transport.scope, request_id=request_id)
            messages.send(mutable_pb2.TransactRequest(begin=begin))
            answer = next_answer(messages)
            if answer.WhichOneof("message") != "committed":
                raise CortexError("UNAVAILABLE", "the server has no results of the commit", {"applied": "unknown"})
            return list(answer.committed.results)
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
        except Exception as error:
            failure = tx.failure
            if error is failure:
                raise
            if failure is None or failure.code == "CANCELLED":
                raise _CallbackRaised(error) from error
            raise failure from error

    try:
        results, value = locks.run(attempt, max_attempts)
    except _CallbackRaised as raised:
        raise _callback_error(raised.error) from raised.error
    except CortexError as error:
        told = transaction_error(error, deadline, locks.is_unsure)
        if told is error:
            raise
        raise told from error
    return to_result(results) if value is None else value


def _callback_error(error: BaseException) -> CortexError:
    details: dict[str, Any] = {}
    if isinstance(error, CortexError):
        details = {**error.details, "reason": error.code}
    message = f"the function raised, nothing was written: {message_of(error)}"
    return CortexError("TRANSACTION_FAILED", message, details)


def transaction_error(error: CortexError, deadline: Deadline, is_unsure: bool) -> CortexError:
    """The error that the caller of a transaction gets."""
    if error.code in ("DEADLINE_EXCEEDED", "TRANSACTION_TIMEOUT"):
        applied = "unknown" if is_unsure or error.details.get("applied") == "unknown" else "no"
        message = f"the transaction did not end in time ({error.message})"
        details = {"limit": str(deadline.seconds), **error.details, "applied": applied}
        return CortexError("TRANSACTION_TIMEOUT", message, details)
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
            self.result = to_result(self._commit(tx))
        finally:
            self._locks.close()

    def _commit(self, tx: Transaction) -> list[mutable_pb2.OperationResult]:
        """Commits. If the reply is lost, finds out what came of it: the block cannot run again."""
        try:
            return self._locks.commit(tx, None)
        except CortexError as error:
            lost = failed = error
        while True:
            if certainly_not(lost):
                raise transaction_error(lost, self._deadline, False) from lost.__cause__
            try:
                wait = self._locks.failed(failed)
            except CortexError as told:
                raise transaction_error(told, self._deadline, True) from failed
            sleep(wait)
            try:
                self._locks.settle()
            except _EarlierCommit as earlier:
                return earlier.results
            except CortexError as again:
                failed = again
                continue
            raise with_applied(lost, "no") from lost.__cause__
