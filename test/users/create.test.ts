import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("creates a user once", async () => {
  const user = await s.cortex.users.create("alex", { name: "Alex" });
  expect(user).toEqual({
    id: "alex",
    profile: { name: "Alex" },
    createdAt: expect.any(Date),
    updatedAt: user.createdAt,
  });
  await expect(s.cortex.users.create("alex")).toFailWith("USER_EXISTS", { user_id: "alex" });
  expect(await s.cortex.users.get("alex")).toEqual(user);
});

it("lets one of many rivals win", async () => {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 16 }, () => s.cortex.users.create("rival")),
  );
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

it("refuses bad ids and profiles", async () => {
  for (const id of ["", "  ", "a\nb", "x".repeat(257), "\ud800", 5 as unknown as string])
    await expect(s.cortex.users.create(id)).toFailWith("INVALID_USER_ID");
  expect((await s.cortex.users.create("x".repeat(256))).profile).toEqual({});
  await expect(s.cortex.users.create("p", [] as never)).toFailWith("INVALID_METADATA");
  const fits = { text: "x".repeat(64 * 1024 - 11) };
  expect(JSON.stringify(fits)).toHaveLength(64 * 1024);
  await s.cortex.users.create("p", fits);
  await expect(s.cortex.users.create("q", { text: `${fits.text}x` })).toFailWith(
    "INVALID_METADATA",
    { got: "65537" },
  );
});
