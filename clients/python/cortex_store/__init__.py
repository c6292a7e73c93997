"""The client of the Cortex Store: the store that teams of AI agents share their state through.

>>> from cortex_store import Cortex
>>> with Cortex(address="127.0.0.1:50051", tenant_id="acme") as cortex:
...     cortex.mutable.set("inventory", "widget-qty", 100)
...     cortex.mutable.update("inventory", "widget-qty", lambda n: n - 1)
"""

from ._aio.claims import AsyncClaim, AsyncClaims
from ._aio.client import AsyncCortex
from ._aio.consume import AsyncConsumedEntry
from ._aio.data_store import AsyncDataStore
from ._aio.events import AsyncEvents, AsyncEventStream, AsyncSubscription
from ._aio.immutable import AsyncImmutable
from ._aio.io import AsyncEvent
from ._aio.mutable import AsyncMutable
from ._aio.scopes import AsyncScope
from ._aio.streams import AsyncStreamGroup, AsyncStreams
from ._aio.transactions import AsyncTransaction, AsyncTransactionBlock
from ._aio.users import AsyncUsers
from ._aio.watch import AsyncWatch
from ._core.config import TlsOptions
from ._core.errors import CortexError
from ._core.messages import ImmutableFilters, MutableFilters
from ._core.options import ClaimGuard, Guard, ScopeStep
from ._core.records import (
    Appended,
    ClaimListResult,
    ClaimRecord,
    ConsumerRecord,
    DeleteResult,
    DeleteStreamResult,
    DeleteUserResult,
    DeliveredEntry,
    EventEnvelope,
    GroupRecord,
    HeldDelivery,
    Highlight,
    HistoryProblem,
    ImmutableChange,
    ImmutableListResult,
    ImmutablePurgeManyResult,
    ImmutablePurgeResult,
    ImmutableRecord,
    ImmutableVersion,
    MutableChange,
    MutableListResult,
    MutableRecord,
    NackResult,
    NamespaceSummary,
    PastDelivery,
    PendingEntry,
    PendingResult,
    Published,
    PurgeProgress,
    PurgeResult,
    PurgeVersionsResult,
    RecordKey,
    Retention,
    ScopeListResult,
    ScopePurgeResult,
    SearchResult,
    StreamEntry,
    StreamListResult,
    StreamRange,
    StreamRecord,
    TransactionResult,
    User,
    UserListResult,
    VerifyHistoryResult,
)
from ._core.validate import UNSET
from ._sync.claims import Claim, Claims
from ._sync.client import Cortex
from ._sync.consume import ConsumedEntry
from ._sync.data_store import DataStore
from ._sync.events import Events, EventStream, Subscription
from ._sync.immutable import Immutable
from ._sync.io import Event
from ._sync.mutable import Mutable
from ._sync.scopes import Scope
from ._sync.streams import StreamGroup, Streams
from ._sync.transactions import Transaction, TransactionBlock
from ._sync.users import Users
from ._sync.watch import Watch

__all__ = [
    "Appended",
    "AsyncClaim",
    "AsyncClaims",
    "AsyncConsumedEntry",
    "AsyncCortex",
    "AsyncDataStore",
    "AsyncEvent",
    "AsyncEvents",
    "AsyncEventStream",
    "AsyncImmutable",
    "AsyncMutable",
    "AsyncScope",
    "AsyncStreamGroup",
    "AsyncStreams",
    "AsyncSubscription",
    "AsyncTransaction",
    "AsyncTransactionBlock",
    "AsyncUsers",
    "AsyncWatch",
    "Claim",
    "ClaimGuard",
    "ClaimListResult",
    "ClaimRecord",
    "Claims",
    "ConsumedEntry",
    "ConsumerRecord",
    "Cortex",
    "CortexError",
    "DataStore",
    "DeleteResult",
    "DeleteStreamResult",
    "DeleteUserResult",
    "DeliveredEntry",
    "Event",
    "EventEnvelope",
    "Events",
    "EventStream",
    "GroupRecord",
    "Guard",
    "HeldDelivery",
    "Highlight",
    "HistoryProblem",
    "Immutable",
    "ImmutableChange",
    "ImmutableFilters",
    "ImmutableListResult",
    "ImmutablePurgeManyResult",
    "ImmutablePurgeResult",
    "ImmutableRecord",
    "ImmutableVersion",
    "Mutable",
    "MutableChange",
    "MutableFilters",
    "MutableListResult",
    "MutableRecord",
    "NackResult",
    "NamespaceSummary",
    "PastDelivery",
    "PendingEntry",
    "PendingResult",
    "Published",
    "PurgeProgress",
    "PurgeResult",
    "PurgeVersionsResult",
    "RecordKey",
    "Retention",
    "Scope",
    "ScopeListResult",
    "ScopePurgeResult",
    "ScopeStep",
    "SearchResult",
    "StreamEntry",
    "StreamGroup",
    "StreamListResult",
    "StreamRange",
    "StreamRecord",
    "Streams",
    "Subscription",
    "TlsOptions",
    "Transaction",
    "TransactionBlock",
    "TransactionResult",
    "UNSET",
    "User",
    "UserListResult",
    "Users",
    "VerifyHistoryResult",
    "Watch",
]
