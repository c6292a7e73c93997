"""The patterns for asyncio: see ``cortex_store.patterns``."""

from .._aio.patterns.accumulate import add_to_statistics, append_bounded, count
from .._aio.patterns.batch import batch_results, process_batch
from .._aio.patterns.binary import get_binary, get_reference, put_binary, put_reference
from .._aio.patterns.cache import cache_aside, invalidate, write_through
from .._aio.patterns.keyword_index import index_document, remove_document, search_index
from .._aio.patterns.lock import lock
from .._aio.patterns.names import child_names, discover_namespaces
from .._aio.patterns.state_machine import state_of, transition, transitions_of
from .._core.patterns.credentials import refuse_credentials
from .._core.patterns.keywords import FoundDocument, KeywordIndex, keywords_of
from .._core.patterns.names import NamespaceOverview, join_name, prefix_name, split_name
from .._core.patterns.results import BatchProgress, Binary, BinaryReference, Cached
from .._core.patterns.state_machine import MachineState, StateMachine
from .._core.patterns.statistics import Statistics

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
