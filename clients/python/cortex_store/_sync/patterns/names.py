"""Generated from _aio/patterns/names.py by tools/generate.py: change that file."""

from __future__ import annotations

from ..._core.patterns.names import NamespaceOverview, prefix_name, split_name
from ..scopes import Surface
from .takes_client import takes_client


@takes_client
def child_names(cortex: Surface, namespace: str, *parts: str) -> list[str]:
    """Lists the parts that come directly after the given parts, in order and each once. For example: with the
    keys ``project:7:files:a`` and ``project:7:status``, the parts after ``project``, ``7`` are ``files``
    and ``status``."""
    prefix = prefix_name(*parts) if parts else ""
    found: dict[str, None] = {}
    for record in cortex.mutable.scan(namespace, key_prefix=prefix or None):
        found[split_name(record.key[len(prefix) :])[0]] = None
    return list(found)


@takes_client
def discover_namespaces(cortex: Surface, prefix: str = "", *, sample: int = 5) -> list[NamespaceOverview]:
    """The namespaces that begin with a prefix and hold at least one key, by name.

    :param sample: how many keys of each, 0 to 1000.
    """
    found = []
    for one in cortex.mutable.list_namespaces(prefix=prefix or None):
        keys: list[str] = []
        if sample != 0:
            page = cortex.mutable.list(one.namespace, limit=sample, total=False)
            keys = [record.key for record in page.records]
        found.append(NamespaceOverview(one.namespace, one.keys, keys))
    return found
