"""A namespace with the plain surface that agents' tools use: get, set, delete, list."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from .._core.config import TlsOptions
from .._core.errors import CortexError, refused
from .._core.pattern_types import own_error, refuse_credentials
from .._core.validate import UNSET, listed
from .client import AsyncCortex
from .io import check_callable, result_of
from .patterns.accumulate import append_bounded
from .scopes import AsyncSurface

_BATCH_MAX = 1000  # the server's limit


class AsyncDataStore:
    """A namespace of MutableStore with a plain surface. Every write is atomic. Change a value by ``update``,
    ``increment`` or ``append``: a ``get`` followed by a ``set`` can lose the change of another caller.

    :param namespace: 1 to 256 bytes.
    :param refuse_credentials: if True, all writes refuse what looks like a credential (CREDENTIAL_REFUSED).
    :param cortex: a client, or a scope of one. Default: a client of its own, with the other options, which
        are those of ``AsyncCortex``; ``close`` closes it.

    >>> data_store = AsyncDataStore(address="127.0.0.1:50051", namespace="default")
    >>> await data_store.set("greeting", "hello", ttl=3600)
    >>> await data_store.update("visits", lambda n: n + 1, default=0)
    """

    def __init__(
        self,
        *,
        address: Optional[str] = None,
        namespace: str = "default",
        tenant_id: Optional[str] = None,
        token: Any = None,
        tls: Union[bool, TlsOptions, None] = None,
        agent_id: Optional[str] = None,
        timeout: float = 5,
        refuse_credentials: bool = False,
        cortex: Optional[AsyncSurface] = None,
    ) -> None:
        self._own: Optional[AsyncCortex] = None
        if cortex is None:
            self._own = AsyncCortex(
                address=address, tenant_id=tenant_id, token=token, tls=tls, agent_id=agent_id, timeout=timeout
            )
        self.cortex: AsyncSurface = cortex if cortex is not None else self._own  # type: ignore[assignment]
        self.namespace = namespace
        self._refuses_credentials = refuse_credentials

    async def close(self) -> None:
        """Closes the client, if it is its own."""
        if self._own is not None:
            await self._own.close()

    async def __aenter__(self) -> AsyncDataStore:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def get(self, key: str, default: Any = None) -> Any:
        """Reads a value; ``default`` if the key does not exist."""
        return await self.cortex.mutable.get(self.namespace, key, default=default)

    async def set(
        self,
        key: str,
        value: Any,
        metadata: Optional[dict[str, Any]] = None,
        ttl: Union[float, timedelta, None] = None,
    ) -> None:
        """Stores a value.

        :param value: any JSON value up to 1 MiB.
        :param metadata: any JSON object up to 64 KiB. None: it stays as it was.
        :param ttl: seconds, or a timedelta, until the key expires. None: never.

        Raises INVALID_VALUE (with the path), VALUE_TOO_LARGE, INVALID_TTL, CREDENTIAL_REFUSED.
        """
        self._check(key, value)
        lasts = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        kept = UNSET if metadata is None else metadata
        await self.cortex.mutable.set(self.namespace, key, value, metadata=kept, ttl_seconds=lasts)

    async def delete(self, key: str) -> bool:
        """Deletes a key. Gives whether it existed."""
        return (await self.cortex.mutable.delete(self.namespace, key)).deleted

    async def exists(self, key: str) -> bool:
        return await self.cortex.mutable.exists(self.namespace, key)

    async def list_keys(self, prefix: Optional[str] = None) -> list[str]:
        """All keys, in bytewise order, however many; with a prefix those that begin with it."""
        scan = self.cortex.mutable.scan(self.namespace, key_prefix=prefix or None)
        return [record.key async for record in scan]

    async def get_all(self, prefix: Optional[str] = None) -> dict[str, Any]:
        """All keys with their values; with a prefix those that begin with it."""
        scan = self.cortex.mutable.scan(self.namespace, key_prefix=prefix or None)
        return {record.key: record.value async for record in scan}

    async def get_many(self, keys: Sequence[str]) -> list[Any]:
        """The values in the order of the keys, however many; None for a key that does not exist."""
        values: list[Any] = []
        for i in range(0, len(listed(keys, "keys")), _BATCH_MAX):
            values.extend(await self._get_some(keys[i : i + _BATCH_MAX]))
        return values

    async def _get_some(self, keys: Sequence[str]) -> list[Any]:
        try:
            return await self.cortex.mutable.get_many(self.namespace, keys)
        except CortexError as error:
            if error.code != "REPLY_TOO_LARGE" or len(keys) == 1:
                raise
        half = len(keys) // 2
        return [*(await self._get_some(keys[:half])), *(await self._get_some(keys[half:]))]

    async def set_many(self, mapping: Mapping[str, Any]) -> None:
        """Stores up to 1000 keys, all of them or none."""
        if not isinstance(mapping, Mapping):
            raise refused("INVALID_BATCH", "mapping", "is not a dict of values")
        for key, value in mapping.items():
            self._check(key, value)
        await self.cortex.mutable.set_many(self.namespace, mapping)

    def use_namespace(self, name: str) -> AsyncDataStore:
        """The same store with another namespace. It is only a name: nothing is sent. ``close`` of it closes
        nothing."""
        return AsyncDataStore(cortex=self.cortex, namespace=name, refuse_credentials=self._refuses_credentials)

    async def list_namespaces(self, prefix: Optional[str] = None) -> list[str]:
        """The names of the namespaces that hold at least one key."""
        return [one.namespace for one in await self.cortex.mutable.list_namespaces(prefix=prefix or None)]

    async def clear(self) -> int:
        """Deletes all keys of the namespace. Gives how many there were."""
        return (await self.cortex.mutable.purge_namespace(self.namespace)).deleted

    async def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> Any:
        """Changes a value by a function, atomically: nothing is lost, however many change it at once. Gives
        the new value. The function may run several times.

        :param fn: gets the value, or a copy of ``default`` if the key does not exist or holds None.

        Raises UPDATE_FAILED: the function raised, and its error is the ``cause``.
        """
        check_callable(fn, "fn", "INVALID_UPDATER")

        async def change(value: Any) -> Any:
            changed = await result_of(fn(copy.deepcopy(default) if value is None else value))
            self._check(key, changed)
            return changed

        try:
            record = await self.cortex.mutable.update(self.namespace, key, change, create_if_missing=True)
        except CortexError as error:
            raise own_error(error, "CREDENTIAL_REFUSED") from error.cause
        return record.value

    async def increment(self, key: str, amount: Any = 1) -> Any:
        """Adds to a number, which begins at 0, in exact decimal arithmetic. Gives the new value."""
        record = await self.cortex.mutable.increment(self.namespace, key, amount, create_if_missing=True)
        return record.value

    async def append(self, key: str, item: Any, max_length: Optional[int] = None) -> list[Any]:
        """Appends to a list, which begins empty; with ``max_length`` it keeps its last elements. Gives the
        list."""
        self._check(key, item)
        if max_length is not None:
            return await append_bounded(self.cortex, self.namespace, key, item, max_length=max_length)
        record = await self.cortex.mutable.append(self.namespace, key, item, create_if_missing=True)
        items: list[Any] = record.value
        return items

    def _check(self, key: str, value: Any) -> None:
        if self._refuses_credentials:
            refuse_credentials(value, key)
