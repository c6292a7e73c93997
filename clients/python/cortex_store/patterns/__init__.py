"""The patterns that agents live by, as functions that take a client or a scope of one.
``cortex_store.patterns.aio`` has them for asyncio."""

from .._core.patterns.credentials import refuse_credentials
from .._core.patterns.keywords import FoundDocument, KeywordIndex, keywords_of
from .._core.patterns.names import NamespaceOverview, join_name, prefix_name, split_name
from .._core.patterns.results import BatchProgress, Binary, BinaryReference, Cached
from .._core.patterns.state_machine import MachineState, StateMachine
from .._core.patterns.statistics import Statistics
from .._sync.patterns.accumulate import add_to_statistics, append_bounded, count
from .._sync.patterns.batch import batch_results, process_batch
from .._sync.patterns.binary import get_binary, get_reference, put_binary, put_reference
from .._sync.patterns.cache import cache_aside, invalidate, write_through
from .._sync.patterns.keyword_index import index_document, remove_document, search_index
from .._sync.patterns.lock import lock
from .._sync.patterns.names import child_names, discover_namespaces
from .._sync.patterns.state_machine import state_of, transition, transitions_of

__all__ = [
    "add_to_statistics",
    "append_bounded",
    "batch_results",
    "BatchProgress",
    "Binary",
    "BinaryReference",
    "cache_aside",
    "Cached",
    "child_names",
    "count",
    "discover_namespaces",
    "FoundDocument",
    "get_binary",
    "get_reference",
    "index_document",
    "invalidate",
    "join_name",
    "KeywordIndex",
    "keywords_of",
    "lock",
    "MachineState",
    "NamespaceOverview",
    "prefix_name",
    "process_batch",
    "put_binary",
    "put_reference",
    "refuse_credentials",
    "remove_document",
    "search_index",
    "split_name",
    "state_of",
    "StateMachine",
    "Statistics",
    "transition",
    "transitions_of",
    "write_through",
]
