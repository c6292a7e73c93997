// A call in which both sides send messages. The server answers each message with one.
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Client, Metadata } from "@grpc/grpc-js";
import type { Conversation } from "./call-options.js";
import { decoder, encoder, pathOf } from "./codec.js";
import { ignore, within } from "./retry.js";

export function openConversation<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodBiDiStreaming<I, O>,
  metadata: Metadata,
  { deadline, signal }: { deadline: Date; signal: AbortSignal | undefined },
): Conversation<MessageInitShape<I>, MessageShape<O>> {
  const [send, receive] = [encoder(method.input), decoder(method.output)];
  const grpc = client.makeBidiStreamRequest(pathOf(method), send, receive, metadata, { deadline });
  grpc.on("error", ignore); // it may come when nobody reads any more, and would end the process
  const reading: AsyncIterator<MessageShape<O>> = grpc[Symbol.asyncIterator]();
  return {
    send: (message) => grpc.write(message),
    async next() {
      const { value, done } = await within(deadline, signal, reading.next());
      return done ? undefined : value;
    },
    close: () => grpc.cancel(),
  };
}
