"""Generated from _aio/patterns/batch.py by tools/generate.py: change that file."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, Optional, Sequence

from ..._core.errors import refused, shown
from ..._core.patterns.derived_names import claim_name
from ..._core.patterns.results import BatchProgress
from ..._core.patterns.unwrap_errors import unwrapped_errors
from ..io import check_callable, result_of
from ..scopes import Surface
from .takes_client import takes_client


def _result_key(key: str, index: int) -> str:
    """The key of a result. All numbers have 15 digits, so that the keys sort in the order of the items."""
    return f"{key}:{index:015d}"


_IS_NUMBER = re.compile("[0-9]{15}")


def _is_checkpoint(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), int) for name in ("processed", "total"))


@takes_client
def process_batch(
    cortex: Surface,
    namespace: str,
    key: str,
    items: Sequence[Any],
    work: Callable[[Any], Any],
    *,
    batch_size: Optional[int] = None,
    wait: float = 0,
    claim_seconds: float = 30,
) -> BatchProgress:
    """Works on a list of items, from the checkpoint that is stored under a key. The result of each item and
    the new checkpoint are stored in one transaction, under a claim: each item is recorded once, in order,
    whatever crashes. An item may be worked on again if the process dies before its result is stored.
    ``batch_results`` reads all results.

    :param items: the same list in each call.
    :param work: gives the result of an item: any JSON value.
    :param batch_size: how many items this call works on at most. Default: all that are left.
    :param wait: how many seconds to wait if another process works on the batch.
    :param claim_seconds: if the process that works on the batch dies, another may go on after this many
        seconds.

    Raises CLAIM_NOT_HELD if another process works on the batch; INVALID_BATCH if the list has another length
    than when the batch began; FENCE_STALE if this process lost the claim meanwhile; what ``mutable.set``
    raises for a result; and what ``work`` raises. Then the results of the items before the failed one are
    stored.

    >>> progress = process_batch(cortex, "imports", "2026-11", rows, load)
    """
    if not isinstance(items, Sequence) or isinstance(items, (str, bytes)):
        raise refused("INVALID_BATCH", "items", f"is not a list: {shown(items)}")
    check_callable(work, "work")
    total = len(items)
    size = total if batch_size is None else batch_size
    if isinstance(size, bool) or not isinstance(size, int) or size < min(total, 1):
        raise refused("INVALID_BATCH", "batch_size", f"is not a whole number above 0: {batch_size!r}")
    name = claim_name("batch", namespace, key)
    with cortex.claims.hold(name, ttl_seconds=claim_seconds, wait=wait) as claim:
        checkpoint = cortex.mutable.get(namespace, key, default={"processed": 0, "total": total})
        if not _is_checkpoint(checkpoint):
            raise refused("INVALID_DATA", "key", f"holds no checkpoint of a batch: {shown(checkpoint)}")
        if checkpoint["total"] != total:
            problem = f"has {total} elements, but had {checkpoint['total']} when the batch began"
            raise refused("INVALID_BATCH", "items", problem)
        processed: int = checkpoint["processed"]
        results: list[Any] = []
        while processed < total and len(results) < size:
            result = result_of(work(items[processed]))
            after = {"processed": processed + 1, "total": total}
            writes = [
                {"op": "set", "namespace": namespace, "key": _result_key(key, processed), "value": result},
                {"op": "set", "namespace": namespace, "key": key, "value": after},
            ]
            with unwrapped_errors():
                claim.mutable.transaction(writes)
            results.append(result)
            processed += 1
        return BatchProgress(processed, total, processed >= total, results)


@takes_client
def batch_results(cortex: Surface, namespace: str, key: str) -> Iterator[Any]:
    """The results of a batch so far, in the order of its items, in constant memory."""
    prefix = f"{key}:"
    for record in cortex.mutable.scan(namespace, key_prefix=prefix):
        if _IS_NUMBER.fullmatch(record.key[len(prefix) :]):
            yield record.value
