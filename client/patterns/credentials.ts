// Refuses what looks like a credential: the store is shared, and its history and its log keep what was stored.
import { CortexError } from "../core/error.js";

/** Texts that are credentials, by the form that their issuers give them. */
const forms: readonly (readonly [what: string, form: RegExp])[] = [
  ["a private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----/],
  ["an API key", /(^|[^A-Za-z0-9])(sk|rk|pk)[-_][A-Za-z0-9_-]{8,}/],
  [
    "a token of GitHub",
    /(^|[^A-Za-z0-9])(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})/,
  ],
  ["a key of AWS", /(^|[^A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}([^A-Za-z0-9]|$)/],
  ["a token of Slack", /(^|[^A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}/],
  ["a key of Google", /(^|[^A-Za-z0-9])AIza[A-Za-z0-9_-]{30,}/],
  ["a signed token", /(^|[^A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\./],
  ["a password in a URL", /[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:[^\s/@]+@/i],
];

/** Names of what is secret: `api_key`, `clientSecret`, `db-password`. */
const secretName =
  /(^|[^a-z])(api[^a-z]?key|access[^a-z]?key|private[^a-z]?key|password|passwd|passphrase|secret|credentials?|bearer|auth[^a-z]?token|access[^a-z]?token|refresh[^a-z]?token)$/;

/** `clientSecret` as `client_secret`. */
const inLowerCase = (name: string) => name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();

/**
 * Throws CREDENTIAL_REFUSED, with the path, if a part of the value looks like a credential: by its form, such as
 * `sk-…`, or a text that is not empty under a name such as `password`. It finds mistakes; it does not find
 * everything.
 *
 * @param name The name that the value is stored under. Default: none.
 */
export function refuseCredentials(value: unknown, name = ""): void {
  const todo: [part: unknown, name: string, path: string][] = [[value, name, "value"]];
  const seen = new Set<object>();
  for (let next = todo.pop(); next; next = todo.pop()) {
    const [part, named, path] = next;
    if (typeof part === "string") {
      const what = secret(part, named);
      if (what === undefined) continue;
      const problem = `looks like a credential (${what}): keep it in the environment or in a secret manager`;
      throw new CortexError("CREDENTIAL_REFUSED", `${path} ${problem}`, { path, problem });
    }
    if (typeof part !== "object" || part === null || seen.has(part)) continue;
    seen.add(part);
    for (const [member, one] of Object.entries(part))
      todo.push(
        Array.isArray(part) ? [one, "", `${path}[${member}]`] : [one, member, `${path}.${member}`],
      );
  }
}

/** What kind of credential a text is; undefined if it looks like none. */
function secret(value: string, name: string): string | undefined {
  const form = forms.find(([, form]) => form.test(value));
  if (form) return form[0];
  return value !== "" && secretName.test(inLowerCase(name)) ? "a secret by its name" : undefined;
}
