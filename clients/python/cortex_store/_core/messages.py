"""Builds messages from the arguments of calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional, Sequence, TypedDict

from .._gen.cortex.events.v1 import events_pb2
from .._gen.cortex.immutable.v1 import immutable_pb2
from .._gen.cortex.mutable.v1 import mutable_pb2
from .._gen.cortex.streams.v1 import streams_pb2
from .errors import refused, shown
from .jsontext import object_to_json, to_json
from .validate import (
    UNSET,
    amount_text,
    delivery,
    flag,
    key_text,
    listed,
    namespace_text,
    optional_seconds,
    optional_text,
    optional_time,
    optional_whole,
    picked,
    seconds,
    text,
    texts,
    user_id_text,
)

OPERATIONS_MAX = 500  # the server's limit


def set_fields(value: Any, user_id: Any, metadata: Any, ttl_seconds: Any, prefix: str = "") -> dict[str, Any]:
    """A value with its user, metadata and expiry."""
    return {
        "value_json": to_json(value, f"{prefix}value"),
        **owner_fields(user_id, metadata, prefix),
        "ttl_seconds": optional_seconds(ttl_seconds, f"{prefix}ttl_seconds"),
    }


def owner_fields(user_id: Any, metadata: Any, prefix: str = "") -> dict[str, Any]:
    """User and metadata: UNSET keeps them, None clears them."""
    fields: dict[str, Any] = {}
    if user_id is None:
        fields["clear_user_id"] = True
    elif user_id is not UNSET:
        fields["user_id"] = user_id_text(user_id, f"{prefix}user_id")
    if metadata is None:
        fields["clear_metadata"] = True
    elif metadata is not UNSET:
        fields["metadata_json"] = object_to_json(metadata, f"{prefix}metadata")
    return fields


def known(given: Any, names: Sequence[str], field: str, code: str) -> Mapping[str, Any]:
    """Refuses a member that is not known. If it were ignored, a misspelt ``ttl_seconds`` would store an entry
    that never expires."""
    if not isinstance(given, Mapping):
        raise refused(code, field, "is not a dict")
    for name in given:
        if name not in names:
            raise refused(code, str(name), f"is not known here; {field} takes {', '.join(names)}")
    return given


def batch_entries(entries: Any) -> list[mutable_pb2.BatchSetEntry]:
    """The entries of set_many: a dict of values, or a list of dicts."""
    if isinstance(entries, Mapping):
        entries = [{"key": key, "value": value} for key, value in entries.items()]
    found = []
    names = ["key", "value", "user_id", "metadata", "ttl_seconds"]
    for i, entry in enumerate(listed(entries, "entries")):
        given = known(entry, names, f"entries[{i}]", "INVALID_BATCH")
        prefix = f"entries[{i}]."
        fields = set_fields(
            _required(given, "value", prefix),
            given.get("user_id", UNSET),
            given.get("metadata", UNSET),
            given.get("ttl_seconds"),
            prefix,
        )
        found.append(mutable_pb2.BatchSetEntry(key=key_text(given.get("key"), f"{prefix}key"), **fields))
    return found


def _required(given: Mapping[str, Any], name: str, prefix: str) -> Any:
    if name not in given:
        problem = "is missing"
        raise refused("INVALID_VALUE" if name == "value" else "INVALID_OPERATIONS", f"{prefix}{name}", problem)
    return given[name]


_MUTABLE_SORT = {
    "key": mutable_pb2.SORT_BY_KEY,
    "updated_at": mutable_pb2.SORT_BY_UPDATE_TIME,
    "access_count": mutable_pb2.SORT_BY_ACCESS_COUNT,
}
_MUTABLE_ORDER = {"asc": mutable_pb2.SORT_ORDER_ASC, "desc": mutable_pb2.SORT_ORDER_DESC}


class MutableFilters(TypedDict, total=False):
    """Selects entries of a namespace: those that match every filter that is given. Times need a time zone."""

    key_prefix: Optional[str]
    """Keys that begin with this text: a prefix, not a pattern."""
    user_id: Optional[str]
    """Entries of this user."""
    updated_after: Optional[datetime]
    """Entries written after this time (exclusive)."""
    updated_before: Optional[datetime]
    """Entries written before this time (exclusive)."""
    last_accessed_before: Optional[datetime]
    """Entries whose last read by ``get`` was before this time (exclusive). For an entry that was never read,
    the time of its creation counts."""
    updated_by: Optional[str]
    """Entries that this agent wrote last."""
    principal: Optional[str]
    """Entries that this principal wrote last."""


def mutable_filter(
    key_prefix: Any = None,
    user_id: Any = None,
    updated_after: Any = None,
    updated_before: Any = None,
    last_accessed_before: Any = None,
    updated_by: Any = None,
    principal: Any = None,
) -> mutable_pb2.Filter:
    return mutable_pb2.Filter(
        key_prefix=optional_text(key_prefix, "key_prefix", "INVALID_FILTER"),
        user_id=optional_text(user_id, "user_id", "INVALID_USER_ID"),
        updated_after=optional_time(updated_after, "updated_after"),
        updated_before=optional_time(updated_before, "updated_before"),
        last_accessed_before=optional_time(last_accessed_before, "last_accessed_before"),
        updated_by=optional_text(updated_by, "updated_by", "INVALID_FILTER"),
        principal=optional_text(principal, "principal", "INVALID_FILTER"),
    )


def mutable_order(sort_by: Any, sort_order: Any) -> dict[str, Any]:
    return {
        "sort_by": picked(_MUTABLE_SORT, sort_by, "sort_by"),
        "sort_order": picked(_MUTABLE_ORDER, sort_order, "sort_order"),
    }


_IMMUTABLE_SORT = {
    "created_at": immutable_pb2.SORT_BY_CREATE_TIME,
    "version": immutable_pb2.SORT_BY_VERSION,
    "type": immutable_pb2.SORT_BY_TYPE,
}
_IMMUTABLE_ORDER = {"asc": immutable_pb2.SORT_ORDER_ASC, "desc": immutable_pb2.SORT_ORDER_DESC}


class ImmutableFilters(TypedDict, total=False):
    """Selects records by their current version: those that match every filter that is given. Times need a
    time zone."""

    type: Optional[str]
    """Records of this type; with ``types``, of this one or any of those. Without either, of all types that do
    not begin with ``$cortex/``."""
    types: Optional[Sequence[str]]
    user_id: Optional[str]
    """Records of this user."""
    metadata: Optional[dict[str, Any]]
    """Records whose metadata contains this object: an object contains one with the same or fewer members, a
    list one with some of its elements."""
    tags: Optional[Sequence[str]]
    """Records that carry all of these tags."""
    any_tag: Optional[Sequence[str]]
    """Records that carry any of these tags."""
    created_after: Optional[datetime]
    """Records whose current version was stored after this time (exclusive)."""
    created_before: Optional[datetime]
    """Records whose current version was stored before this time (exclusive)."""
    min_version: Optional[int]
    """Records at this version or a later one."""
    agent_id: Optional[str]
    """Records whose current version this agent stored."""
    principal: Optional[str]
    """Records whose current version this principal stored."""


def immutable_filter(
    type: Any = None,
    types: Any = None,
    user_id: Any = None,
    metadata: Any = None,
    tags: Any = None,
    any_tag: Any = None,
    created_after: Any = None,
    created_before: Any = None,
    min_version: Any = None,
    agent_id: Any = None,
    principal: Any = None,
) -> immutable_pb2.Filter:
    named = [] if type is None else [text(type, "type", "INVALID_TYPE")]
    return immutable_pb2.Filter(
        types=[*named, *(texts(types, "types") or [])],
        user_id=optional_text(user_id, "user_id", "INVALID_USER_ID"),
        metadata_json=None if metadata is None else object_to_json(metadata, "metadata", "INVALID_FILTER"),
        tags=texts(tags, "tags"),
        any_tags=texts(any_tag, "any_tag"),
        created_after=optional_time(created_after, "created_after"),
        created_before=optional_time(created_before, "created_before"),
        min_version=optional_whole(min_version, "min_version", "INVALID_FILTER"),
        agent_id=optional_text(agent_id, "agent_id", "INVALID_FILTER"),
        principal=optional_text(principal, "principal", "INVALID_FILTER"),
    )


def immutable_order(sort_by: Any, sort_order: Any, include_history: Any) -> dict[str, Any]:
    return {
        "sort_by": picked(_IMMUTABLE_SORT, sort_by, "sort_by"),
        "sort_order": picked(_IMMUTABLE_ORDER, sort_order, "sort_order"),
        "include_history": flag(include_history, "include_history"),
    }


def page_fields(limit: Any, offset: Any, page_token: Any, total: Any) -> dict[str, Any]:
    return {
        "limit": optional_whole(limit, "limit", "INVALID_LIMIT"),
        "offset": optional_whole(offset, "offset", "INVALID_OFFSET"),
        "page_token": optional_text(page_token, "page_token", "INVALID_PAGE_TOKEN"),
        "total": None if total is None else flag(total, "total"),
    }


def store_fields(
    type: Any, id: Any, data: Any, user_id: Any, metadata: Any, if_version: Any, prefix: str = ""
) -> dict[str, Any]:
    """A version to be stored."""
    return {
        "type": text(type, f"{prefix}type", "INVALID_TYPE"),
        "id": text(id, f"{prefix}id", "INVALID_ID"),
        "data_json": object_to_json(data, f"{prefix}data", "INVALID_DATA"),
        **owner_fields(user_id, metadata, prefix),
        "if_version": optional_whole(if_version, f"{prefix}if_version", "INVALID_VERSION"),
    }


def new_event(channel: Any, data: Any, user_id: Any = None, prefix: str = "") -> events_pb2.NewEvent:
    return events_pb2.NewEvent(
        channel=text(channel, f"{prefix}channel", "INVALID_CHANNEL"),
        data_json=to_json(data, f"{prefix}data"),
        user_id=None if user_id is None else user_id_text(user_id, f"{prefix}user_id"),
    )


def new_entry(data: Any, user_id: Any = None, id: Any = None, prefix: str = "") -> streams_pb2.NewEntry:
    return streams_pb2.NewEntry(
        data_json=to_json(data, f"{prefix}data"),
        user_id=None if user_id is None else user_id_text(user_id, f"{prefix}user_id"),
        id=optional_text(id, f"{prefix}id", "INVALID_ENTRY_ID"),
    )


def stream_text(value: Any, field: str = "stream") -> str:
    return text(value, field, "INVALID_STREAM")


def trim_fields(max_len: Any, max_age_seconds: Any) -> dict[str, Any]:
    return {
        "max_len": optional_whole(max_len, "max_len", "INVALID_LIMIT"),
        "max_age_seconds": optional_seconds(max_age_seconds, "max_age_seconds"),
    }


def deliveries_of(deliveries: Any) -> list[streams_pb2.Delivery]:
    """Delivered entries, or ids."""
    found = []
    for i, one in enumerate(listed(deliveries, "deliveries")):
        field = f"deliveries[{i}]"
        if isinstance(one, str):
            found.append(streams_pb2.Delivery(id=text(one, field, "INVALID_ENTRY_ID")))
            continue
        if not hasattr(one, "id"):
            raise refused("INVALID_ENTRY_ID", field, "is neither a delivered entry nor the id of one")
        found.append(
            streams_pb2.Delivery(
                id=text(one.id, f"{field}.id", "INVALID_ENTRY_ID"),
                delivery=delivery(getattr(one, "delivery", None), field),
            )
        )
    return found


class Operations:
    """Builds the operations of a transaction."""

    @staticmethod
    def set(
        namespace: Any, key: Any, value: Any, user_id: Any = UNSET, metadata: Any = UNSET, ttl_seconds: Any = None
    ) -> mutable_pb2.Operation:
        fields = set_fields(value, user_id, metadata, ttl_seconds)
        return _on_key(namespace, key, set=mutable_pb2.SetOperation(**fields))

    @staticmethod
    def update(namespace: Any, key: Any, value: Any, create_if_missing: Any = False) -> mutable_pb2.Operation:
        return _on_key(
            namespace, key, create_if_missing, replace=mutable_pb2.Replace(value_json=to_json(value, "value"))
        )

    @staticmethod
    def increment(namespace: Any, key: Any, amount: Any = 1, create_if_missing: Any = False) -> mutable_pb2.Operation:
        return _on_key(namespace, key, create_if_missing, increment=mutable_pb2.Increment(amount=amount_text(amount)))

    @staticmethod
    def decrement(namespace: Any, key: Any, amount: Any = 1, create_if_missing: Any = False) -> mutable_pb2.Operation:
        return _on_key(namespace, key, create_if_missing, decrement=mutable_pb2.Decrement(amount=amount_text(amount)))

    @staticmethod
    def append(namespace: Any, key: Any, value: Any, create_if_missing: Any = False) -> mutable_pb2.Operation:
        element = mutable_pb2.Append(value_json=to_json(value, "element"))
        return _on_key(namespace, key, create_if_missing, append=element)

    @staticmethod
    def merge(namespace: Any, key: Any, value: Any, create_if_missing: Any = False) -> mutable_pb2.Operation:
        return _on_key(namespace, key, create_if_missing, merge=mutable_pb2.Merge(patch_json=to_json(value, "patch")))

    @staticmethod
    def expire(namespace: Any, key: Any, ttl_seconds: Any) -> mutable_pb2.Operation:
        return _on_key(namespace, key, expire=mutable_pb2.Expire(ttl_seconds=seconds(ttl_seconds)))

    @staticmethod
    def delete(namespace: Any, key: Any) -> mutable_pb2.Operation:
        return _on_key(namespace, key, delete=mutable_pb2.DeleteOperation())

    @staticmethod
    def store(
        type: Any, id: Any, data: Any, user_id: Any = UNSET, metadata: Any = UNSET, if_version: Any = None
    ) -> mutable_pb2.Operation:
        fields = store_fields(type, id, data, user_id, metadata, if_version)
        return mutable_pb2.Operation(store=immutable_pb2.StoreOperation(**fields))

    @staticmethod
    def publish(channel: Any, data: Any, user_id: Any = None) -> mutable_pb2.Operation:
        return mutable_pb2.Operation(publish=new_event(channel, data, user_id))

    @staticmethod
    def append_entry(
        stream: Any, data: Any, user_id: Any = None, id: Any = None, max_len: Any = None, max_age_seconds: Any = None
    ) -> mutable_pb2.Operation:
        return mutable_pb2.Operation(
            append_entries=streams_pb2.NewEntries(
                stream=stream_text(stream),
                entries=[new_entry(data, user_id, id)],
                **trim_fields(max_len, max_age_seconds),
            )
        )


def _on_key(namespace: Any, key: Any, create_if_missing: Any = False, **operation: Any) -> mutable_pb2.Operation:
    return mutable_pb2.Operation(
        namespace=namespace_text(namespace),
        key=key_text(key),
        create_if_missing=flag(create_if_missing, "create_if_missing"),
        **operation,
    )


_OPERATION_NAMES = {
    "set": (["namespace", "key", "value"], ["user_id", "metadata", "ttl_seconds"]),
    "update": (["namespace", "key", "value"], ["create_if_missing"]),
    "increment": (["namespace", "key"], ["amount", "create_if_missing"]),
    "decrement": (["namespace", "key"], ["amount", "create_if_missing"]),
    "append": (["namespace", "key", "value"], ["create_if_missing"]),
    "merge": (["namespace", "key", "value"], ["create_if_missing"]),
    "expire": (["namespace", "key", "ttl_seconds"], []),
    "touch": (["namespace", "key", "ttl_seconds"], []),
    "delete": (["namespace", "key"], []),
    "store": (["type", "id", "data"], ["user_id", "metadata", "if_version"]),
    "publish": (["channel", "data"], ["user_id"]),
    "append_entry": (["stream", "data"], ["user_id", "id", "max_len", "max_age_seconds"]),
}


def operations_of(given: Any) -> list[mutable_pb2.Operation]:
    """The operations of the list form of a transaction: dicts with ``op``, and the arguments of that
    operation."""
    operations = listed(given, "operations", "INVALID_OPERATIONS")
    if not operations:
        raise refused("INVALID_OPERATIONS", "operations", "is empty")
    if len(operations) > OPERATIONS_MAX:
        problem = f"are too many: {len(operations)}, at most {OPERATIONS_MAX}"
        raise refused("INVALID_OPERATIONS", "operations", problem)
    return [_operation_of(operation, f"operations[{i}]") for i, operation in enumerate(operations)]


def _operation_of(given: Any, field: str) -> mutable_pb2.Operation:
    if not isinstance(given, Mapping):
        raise refused("INVALID_OPERATIONS", field, "is not a dict")
    op = given.get("op")
    if not isinstance(op, str) or op not in _OPERATION_NAMES:
        problem = f"is none of {', '.join(_OPERATION_NAMES)}: {shown(op)}"
        raise refused("INVALID_OPERATIONS", f"{field}.op", problem)
    required, more = _OPERATION_NAMES[op]
    known(given, ["op", *required, *more], field, "INVALID_OPERATIONS")
    for name in required:
        _required(given, name, f"{field}.")
    arguments = {name: value for name, value in given.items() if name != "op"}
    build = getattr(Operations, "expire" if op == "touch" else op)
    built: mutable_pb2.Operation = build(**arguments)
    return built
