"""Generated from _aio/data_store.py by tools/generate.py: change that file."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from .._core.config import TlsOptions
from .._core.errors import refused, shown
from .._core.jsontext import returned
from .._core.patterns.credentials import refuse_credentials
from .._core.patterns.unwrap_errors import unwrapped_errors
from .._core.validate import UNSET, listed, namespace_text
from .client import Cortex
from .io import check_callable, result_of
from .patterns.accumulate import append_bounded
from .patterns.read_many import read_many
from .scopes import Surface


class DataStore:
    """A namespace of MutableStore with a plain surface. Every write is atomic. Change a value by ``update``,
    ``increment`` or ``append``: a ``get`` followed by a ``set`` can lose the change of another caller.

    :param namespace: 1 to 256 bytes.
    :param refuse_credentials: if True, all writes refuse a value or metadata that looks like a credential
        (CREDENTIAL_REFUSED).
    :param cortex: a client, or a scope of one. Default: a client of its own, with the other options, which
        are those of ``Cortex``; ``close`` closes it.

    >>> data_store = DataStore(address="127.0.0.1:50051", namespace="default")
    >>> data_store.set("greeting", "hello", ttl=3600)
    >>> data_store.update("visits", lambda n: n + 1, default=0)
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
        cortex: Optional[Surface] = None,
    ) -> None:
        self._own: Optional[Cortex] = None
        if cortex is None:
            cortex = self._own = Cortex(
                address=address, tenant_id=tenant_id, token=token, tls=tls, agent_id=agent_id, timeout=timeout
            )
        elif not isinstance(cortex, Surface):
            raise refused("INVALID_OPTIONS", "cortex", f"is no Cortex and no scope of one: {shown(cortex)}")
        elif not all(one is None for one in (address, tenant_id, token, tls, agent_id)):
            raise refused("INVALID_OPTIONS", "cortex", "does not go with the options of a client")
        self.cortex: Surface = cortex
        self.namespace = namespace_text(namespace)
        self._refuses_credentials = refuse_credentials

    def close(self) -> None:
        """Closes the client, if it is its own."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> DataStore:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def get(self, key: str, default: Any = None) -> Any:
        """Reads a value; ``default`` if the key does not exist."""
        return self.cortex.mutable.get(self.namespace, key, default=default)

    def set(
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
        self._check("", {"metadata": metadata})
        lasts = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        kept = UNSET if metadata is None else metadata
        self.cortex.mutable.set(self.namespace, key, value, metadata=kept, ttl_seconds=lasts)

    def delete(self, key: str) -> bool:
        """Deletes a key. Gives whether it existed."""
        return (self.cortex.mutable.delete(self.namespace, key)).deleted

    def exists(self, key: str) -> bool:
        return self.cortex.mutable.exists(self.namespace, key)

    def list_keys(self, prefix: Optional[str] = None) -> list[str]:
        """All keys, in bytewise order, however many; with a prefix those that begin with it."""
        scan = self.cortex.mutable.scan(self.namespace, key_prefix=prefix or None)
        return [record.key for record in scan]

    def get_all(self, prefix: Optional[str] = None) -> dict[str, Any]:
        """All keys with their values; with a prefix those that begin with it."""
        scan = self.cortex.mutable.scan(self.namespace, key_prefix=prefix or None)
        return {record.key: record.value for record in scan}

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        """The values in the order of the keys, however many; None for a key that does not exist."""
        return read_many(self.cortex, self.namespace, listed(keys, "keys"))

    def set_many(self, mapping: Mapping[str, Any]) -> None:
        """Stores up to 1000 keys, all of them or none."""
        if not isinstance(mapping, Mapping):
            raise refused("INVALID_BATCH", "mapping", "is not a dict of values")
        for key, value in mapping.items():
            self._check(key, value)
        self.cortex.mutable.set_many(self.namespace, mapping)

    def use_namespace(self, name: str) -> DataStore:
        """The same store with another namespace. It is only a name: nothing is sent. ``close`` of it closes
        nothing."""
        return DataStore(cortex=self.cortex, namespace=name, refuse_credentials=self._refuses_credentials)

    def list_namespaces(self, prefix: Optional[str] = None) -> list[str]:
        """The names of the namespaces that hold at least one key."""
        return [one.namespace for one in self.cortex.mutable.list_namespaces(prefix=prefix or None)]

    def clear(self) -> int:
        """Deletes all keys of the namespace. Gives how many there were."""
        return (self.cortex.mutable.purge_namespace(self.namespace)).deleted

    def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> Any:
        """Changes a value by a function, atomically: nothing is lost, however many change it at once. Gives
        the new value. The function may run several times.

        :param fn: gets the value, or a copy of ``default`` if the key does not exist or holds None.

        Raises UPDATE_FAILED: the function raised, and its error is the ``cause``.
        """
        check_callable(fn, "fn", "INVALID_UPDATER")

        def change(value: Any) -> Any:
            start = copy.deepcopy(default) if value is None else value
            changed = result_of(fn(start))
            if value is None:  # else `mutable.update` checks it
                returned(changed, start, lambda: default)
            self._check(key, changed)
            return changed

        with unwrapped_errors("CREDENTIAL_REFUSED", "INVALID_UPDATER"):
            record = self.cortex.mutable.update(self.namespace, key, change, create_if_missing=True)
        return record.value

    def increment(self, key: str, amount: Any = 1) -> Any:
        """Adds to a number, which begins at 0, in exact decimal arithmetic. Gives the new value."""
        record = self.cortex.mutable.increment(self.namespace, key, amount, create_if_missing=True)
        return record.value

    def append(self, key: str, item: Any, max_length: Optional[int] = None) -> list[Any]:
        """Appends to a list, which begins empty; with ``max_length`` it keeps its last elements. Gives the
        list."""
        self._check(key, item)
        if max_length is not None:
            return append_bounded(self.cortex, self.namespace, key, item, max_length=max_length)
        record = self.cortex.mutable.append(self.namespace, key, item, create_if_missing=True)
        items: list[Any] = record.value
        return items

    def _check(self, key: str, value: Any) -> None:
        if self._refuses_credentials:
            refuse_credentials(value, key)
