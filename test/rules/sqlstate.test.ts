// Tells errors of Postgres from errors of the socket, whose codes can look alike.
import postgres from "postgres";
import { expect, it } from "vitest";
import { fromDatabase, isRefused } from "../../server/errors/sqlstate.js";

const ofPostgres = (code: string) =>
  Object.assign(new postgres.PostgresError("an error of Postgres"), { code });

it("a statement was refused only if Postgres says so", () => {
  for (const code of ["22003", "23505", "40P01", "P0001", "XX000"])
    expect([code, isRefused(ofPostgres(code))]).toEqual([code, true]);
  for (const code of ["08006", "53300", "57P01", "58030"])
    expect([code, isRefused(ofPostgres(code))]).toEqual([code, false]);
  for (const code of ["EPIPE", "EPERM", "EBUSY", "ENXIO", "ECONNRESET"])
    expect([code, isRefused(Object.assign(new Error("socket"), { code }))]).toEqual([code, false]);
});

it("a full table of locks is said, and the call can be repeated", () => {
  const error = fromDatabase(ofPostgres("53200"));
  expect(error).toMatchObject({ reason: "OVERLOADED", details: { applied: "no" } });
  expect(error?.message).toBe(
    "Postgres has no room for more locks (limit max_locks_per_transaction): repeat in 1000 ms",
  );
});
