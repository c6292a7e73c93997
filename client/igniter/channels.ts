// Channels of programs that were written for Redis, where a channel has no wildcards.

const events = ":events:";

/**
 * The channel here. The package puts service, scopes and identifiers before the name of an event: a `*` there is no
 * wildcard, or one tenant could listen to all. Only after the last `:events:` a `*` is one.
 */
export function channelOf(channel: string): string {
  const at = typeof channel === "string" ? channel.lastIndexOf(events) : -1;
  if (at === -1) return channel;
  return channel.slice(0, at).replaceAll("%", "%25").replaceAll("*", "%2A") + channel.slice(at);
}
