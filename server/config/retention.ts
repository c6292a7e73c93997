// Retention: how many versions of a record are kept, a setting of the server.
import { BadValue, type Parse } from "./setting.js";

/** Numbers of versions that are kept, the current one included; -1 keeps all. */
export class Retention {
  constructor(
    readonly defaultVersions: number,
    readonly byType: ReadonlyMap<string, number> = new Map(),
  ) {}

  toString(): string {
    const { defaultVersions, byType } = this;
    return JSON.stringify({ defaultVersions, byType: Object.fromEntries(byType) });
  }
}

/** Parses the setting, which is JSON. A type has a number, or `{"versionsToKeep": number}`. */
export const retention: Parse<Retention> = (text) => {
  const bad = (problem: string) =>
    new BadValue(
      `takes JSON such as {"defaultVersions":20,"byType":{"policy":-1,"kb-article":{"versionsToKeep":50}}} (${problem})`,
    );
  const object = (value: unknown, what: string, known?: string[]): [string, unknown][] => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw bad(`${what} is not an object`);
    const stranger = known && Object.keys(value).find((name) => !known.includes(name));
    if (stranger !== undefined) throw bad(`${what} has no ${JSON.stringify(stranger)}`);
    return Object.entries(value);
  };
  const versions = (value: unknown, what: string): number => {
    if (
      typeof value === "number" &&
      Number.isInteger(value) &&
      value < 2 ** 31 &&
      (value >= 1 || value === -1)
    )
      return value;
    throw bad(`${what} is neither a whole number from 1 nor -1`);
  };
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
  const { defaultVersions = 20, byType = {} } = Object.fromEntries(
    object(given, "it", ["defaultVersions", "byType"]),
  );
  return new Retention(
    versions(defaultVersions, "defaultVersions"),
    new Map(
      object(byType, "byType").map(([type, of]) => {
        const what = `byType ${JSON.stringify(type)}`;
        const keep =
          typeof of === "object" && of !== null
            ? Object.fromEntries(object(of, what, ["versionsToKeep"])).versionsToKeep
            : of;
        return [type, versions(keep, what)];
      }),
    ),
  );
};

/** How many versions of records of the type are kept; -1: all. */
export const versionsToKeep = ({ defaultVersions, byType }: Retention, type: string): number =>
  byType.get(type) ?? defaultVersions;
