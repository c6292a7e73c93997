import { Streams } from "../../gen/cortex/streams/v1/streams_pb.js";
import { defineService } from "../grpc/handlers.js";
import { ack } from "./ack.js";
import { append } from "./append.js";
import { deleteStream } from "./delete.js";
import { deleteGroup } from "./delete-group.js";
import { ensureGroup } from "./ensure-group.js";
import { extend } from "./extend.js";
import { info } from "./info.js";
import { list } from "./list.js";
import { nack } from "./nack.js";
import { pending } from "./pending.js";
import { range } from "./range.js";
import { read } from "./read.js";
import { removeConsumer } from "./remove-consumer.js";
import { retry } from "./retry.js";
import { takeOver } from "./take-over.js";
import { trim } from "./trim.js";

export const streams = defineService({
  descriptor: Streams,
  handlers: {
    append,
    range,
    trim,
    info,
    list,
    delete: deleteStream,
    ensureGroup,
    read,
    ack,
    nack,
    extend,
    pending,
    takeOver,
    retry,
    removeConsumer,
    deleteGroup,
  },
  waiting: ["read"],
  permissions: {
    append: "write",
    range: "read",
    trim: "purge",
    info: "read",
    list: ["read", "named"],
    delete: "purge",
    ensureGroup: "write",
    read: ["read", "write"],
    ack: ["read", "write"],
    nack: ["read", "write"],
    extend: ["read", "write"],
    pending: "read",
    takeOver: ["read", "write"],
    retry: "write",
    removeConsumer: "write",
    deleteGroup: "purge",
  },
});
