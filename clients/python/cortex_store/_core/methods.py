"""The RPCs: their paths, their messages, and whether they may be repeated, from the descriptors."""

from __future__ import annotations

from typing import Generic, TypeVar

from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from .._gen.cortex.claims.v1 import claims_pb2
from .._gen.cortex.events.v1 import events_pb2
from .._gen.cortex.immutable.v1 import immutable_pb2
from .._gen.cortex.mutable.v1 import mutable_pb2
from .._gen.cortex.scopes.v1 import scopes_pb2
from .._gen.cortex.streams.v1 import streams_pb2
from .._gen.cortex.users.v1 import users_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Method(Generic[Request, Response]):
    def __init__(self, service: str, name: str, request: type[Request], response: type[Response]) -> None:
        file = request.DESCRIPTOR.file
        method = file.services_by_name[service].methods_by_name[name]
        fields = request.DESCRIPTOR.fields_by_name
        self.path = f"/{file.package}.{service}/{name}"
        self.request = request
        self.response = response
        self.is_repeatable = method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
        self.has_scope = "scope" in fields
        self.has_claim = "claim" in fields


class MutableRpc:
    set = Method("MutableStore", "Set", mutable_pb2.SetRequest, mutable_pb2.SetResponse)
    get = Method("MutableStore", "Get", mutable_pb2.GetRequest, mutable_pb2.GetResponse)
    get_record = Method("MutableStore", "GetRecord", mutable_pb2.GetRecordRequest, mutable_pb2.GetRecordResponse)
    exists = Method("MutableStore", "Exists", mutable_pb2.ExistsRequest, mutable_pb2.ExistsResponse)
    delete = Method("MutableStore", "Delete", mutable_pb2.DeleteRequest, mutable_pb2.DeleteResponse)
    update = Method("MutableStore", "Update", mutable_pb2.UpdateRequest, mutable_pb2.UpdateResponse)
    batch_get = Method("MutableStore", "BatchGet", mutable_pb2.BatchGetRequest, mutable_pb2.BatchGetResponse)
    batch_set = Method("MutableStore", "BatchSet", mutable_pb2.BatchSetRequest, mutable_pb2.BatchSetResponse)
    commit = Method("MutableStore", "Commit", mutable_pb2.CommitRequest, mutable_pb2.CommitResponse)
    transact = Method("MutableStore", "Transact", mutable_pb2.TransactRequest, mutable_pb2.TransactResponse)
    list = Method("MutableStore", "List", mutable_pb2.ListRequest, mutable_pb2.ListResponse)
    count = Method("MutableStore", "Count", mutable_pb2.CountRequest, mutable_pb2.CountResponse)
    list_namespaces = Method(
        "MutableStore", "ListNamespaces", mutable_pb2.ListNamespacesRequest, mutable_pb2.ListNamespacesResponse
    )
    purge_namespace = Method(
        "MutableStore", "PurgeNamespace", mutable_pb2.PurgeNamespaceRequest, mutable_pb2.PurgeNamespaceResponse
    )
    purge_many = Method("MutableStore", "PurgeMany", mutable_pb2.PurgeManyRequest, mutable_pb2.PurgeManyResponse)
    purge_all = Method("MutableStore", "PurgeAll", mutable_pb2.PurgeAllRequest, mutable_pb2.PurgeAllResponse)
    watch = Method("MutableStore", "Watch", mutable_pb2.WatchRequest, mutable_pb2.WatchResponse)


class ImmutableRpc:
    store = Method("ImmutableStore", "Store", immutable_pb2.StoreRequest, immutable_pb2.StoreResponse)
    get = Method("ImmutableStore", "Get", immutable_pb2.GetRequest, immutable_pb2.GetResponse)
    get_version = Method(
        "ImmutableStore", "GetVersion", immutable_pb2.GetVersionRequest, immutable_pb2.GetVersionResponse
    )
    get_at_timestamp = Method(
        "ImmutableStore", "GetAtTimestamp", immutable_pb2.GetAtTimestampRequest, immutable_pb2.GetAtTimestampResponse
    )
    get_history = Method(
        "ImmutableStore", "GetHistory", immutable_pb2.GetHistoryRequest, immutable_pb2.GetHistoryResponse
    )
    list = Method("ImmutableStore", "List", immutable_pb2.ListRequest, immutable_pb2.ListResponse)
    search = Method("ImmutableStore", "Search", immutable_pb2.SearchRequest, immutable_pb2.SearchResponse)
    count = Method("ImmutableStore", "Count", immutable_pb2.CountRequest, immutable_pb2.CountResponse)
    purge = Method("ImmutableStore", "Purge", immutable_pb2.PurgeRequest, immutable_pb2.PurgeResponse)
    purge_many = Method("ImmutableStore", "PurgeMany", immutable_pb2.PurgeManyRequest, immutable_pb2.PurgeManyResponse)
    purge_versions = Method(
        "ImmutableStore", "PurgeVersions", immutable_pb2.PurgeVersionsRequest, immutable_pb2.PurgeVersionsResponse
    )
    verify_history = Method(
        "ImmutableStore", "VerifyHistory", immutable_pb2.VerifyHistoryRequest, immutable_pb2.VerifyHistoryResponse
    )
    get_retention = Method(
        "ImmutableStore", "GetRetention", immutable_pb2.GetRetentionRequest, immutable_pb2.GetRetentionResponse
    )
    watch = Method("ImmutableStore", "Watch", immutable_pb2.WatchRequest, immutable_pb2.WatchResponse)


class UsersRpc:
    create = Method("Users", "Create", users_pb2.CreateRequest, users_pb2.CreateResponse)
    upsert = Method("Users", "Upsert", users_pb2.UpsertRequest, users_pb2.UpsertResponse)
    update = Method("Users", "Update", users_pb2.UpdateRequest, users_pb2.UpdateResponse)
    get = Method("Users", "Get", users_pb2.GetRequest, users_pb2.GetResponse)
    list = Method("Users", "List", users_pb2.ListRequest, users_pb2.ListResponse)
    delete = Method("Users", "Delete", users_pb2.DeleteRequest, users_pb2.DeleteResponse)
    export = Method("Users", "Export", users_pb2.ExportRequest, users_pb2.ExportResponse)


class ClaimsRpc:
    acquire = Method("Claims", "Acquire", claims_pb2.AcquireRequest, claims_pb2.AcquireResponse)
    renew = Method("Claims", "Renew", claims_pb2.RenewRequest, claims_pb2.RenewResponse)
    release = Method("Claims", "Release", claims_pb2.ReleaseRequest, claims_pb2.ReleaseResponse)
    get = Method("Claims", "Get", claims_pb2.GetRequest, claims_pb2.GetResponse)
    list = Method("Claims", "List", claims_pb2.ListRequest, claims_pb2.ListResponse)


class EventsRpc:
    publish = Method("Events", "Publish", events_pb2.PublishRequest, events_pb2.PublishResponse)
    subscribe = Method("Events", "Subscribe", events_pb2.SubscribeRequest, events_pb2.SubscribeResponse)


class StreamsRpc:
    append = Method("Streams", "Append", streams_pb2.AppendRequest, streams_pb2.AppendResponse)
    range = Method("Streams", "Range", streams_pb2.RangeRequest, streams_pb2.RangeResponse)
    trim = Method("Streams", "Trim", streams_pb2.TrimRequest, streams_pb2.TrimResponse)
    info = Method("Streams", "Info", streams_pb2.InfoRequest, streams_pb2.InfoResponse)
    list = Method("Streams", "List", streams_pb2.ListRequest, streams_pb2.ListResponse)
    delete = Method("Streams", "Delete", streams_pb2.DeleteRequest, streams_pb2.DeleteResponse)
    ensure_group = Method("Streams", "EnsureGroup", streams_pb2.EnsureGroupRequest, streams_pb2.EnsureGroupResponse)
    read = Method("Streams", "Read", streams_pb2.ReadRequest, streams_pb2.ReadResponse)
    ack = Method("Streams", "Ack", streams_pb2.AckRequest, streams_pb2.AckResponse)
    nack = Method("Streams", "Nack", streams_pb2.NackRequest, streams_pb2.NackResponse)
    extend = Method("Streams", "Extend", streams_pb2.ExtendRequest, streams_pb2.ExtendResponse)
    pending = Method("Streams", "Pending", streams_pb2.PendingRequest, streams_pb2.PendingResponse)
    take_over = Method("Streams", "TakeOver", streams_pb2.TakeOverRequest, streams_pb2.TakeOverResponse)
    retry = Method("Streams", "Retry", streams_pb2.RetryRequest, streams_pb2.RetryResponse)
    remove_consumer = Method(
        "Streams", "RemoveConsumer", streams_pb2.RemoveConsumerRequest, streams_pb2.RemoveConsumerResponse
    )
    delete_group = Method("Streams", "DeleteGroup", streams_pb2.DeleteGroupRequest, streams_pb2.DeleteGroupResponse)


class ScopesRpc:
    list = Method("Scopes", "List", scopes_pb2.ListRequest, scopes_pb2.ListResponse)
    export = Method("Scopes", "Export", scopes_pb2.ExportRequest, scopes_pb2.ExportResponse)
    purge = Method("Scopes", "Purge", scopes_pb2.PurgeRequest, scopes_pb2.PurgeResponse)
