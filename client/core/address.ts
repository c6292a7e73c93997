// The address of a server, HOST:PORT, `[IPV6]:PORT` or `unix:PATH`, and what its environment makes of it.
import { BlockList, isIPv4 } from "node:net";

interface Place {
  host: string;
  port: number;
}

/** Host and port of an address; undefined if it has none, as `unix:PATH`, or is no address. */
export function placeOf(address: string): Place | undefined {
  const [, six, host = six, digits] =
    /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(address) ?? [];
  const port = Number(digits);
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

export const isAddress = (address: string): boolean =>
  /^unix:./.test(address) || placeOf(address) !== undefined;

/** True if the address is one of this machine: no proxy can reach it. */
export function isLoopback(address: string): boolean {
  const host = placeOf(address)?.host ?? "";
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/**
 * The proxy that gRPC uses for the address, with the variable that names it; undefined if it uses none. gRPC
 * reads the same variables.
 */
export function proxyOf(address: string): string | undefined {
  const { env } = process;
  const { host } = placeOf(address) ?? {};
  const name = ["grpc_proxy", "https_proxy", "http_proxy"].find((name) => env[name]);
  if (host === undefined || name === undefined || isLoopback(address)) return undefined;
  const text = env[name] ?? "";
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:") return undefined; // gRPC goes without it then
  const excepted = (env.no_grpc_proxy || env.no_proxy || "").split(",");
  if (excepted.some((one) => one !== "" && (host.endsWith(one) || isInSubnet(host, one))))
    return undefined;
  return `${url.host} (${name})`;
}

function isInSubnet(host: string, subnet: string): boolean {
  const [, network = "", prefix] = /^([\d.]+)\/(\d{1,2})$/.exec(subnet) ?? [];
  if (!isIPv4(host) || !isIPv4(network) || Number(prefix) > 32) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix));
  return list.check(host);
}
