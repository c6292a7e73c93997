import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("replaces the profile of a user, once under a request id; an unknown user is USER_NOT_FOUND", async () => {
  const created = await s.cortex.users.create("alex", { a: 1 });
  const changed = await s.cortex.users.update("alex", { b: 2 }, { requestId: "once" });
  expect(changed).toMatchObject({ id: "alex", profile: { b: 2 }, createdAt: created.createdAt });
  expect(changed.updatedAt.getTime()).toBeGreaterThanOrEqual(created.updatedAt.getTime());
  await s.cortex.users.update("alex", { c: 3 });
  expect(await s.cortex.users.update("alex", { b: 2 }, { requestId: "once" })).toEqual(changed);
  expect((await s.cortex.users.get("alex"))?.profile).toEqual({ c: 3 });
  await expect(s.cortex.users.update("nobody", {})).toFailWith("USER_NOT_FOUND", {
    user_id: "nobody",
  });
  expect(await s.cortex.users.get("nobody")).toBeNull();
  await expect(s.cortex.users.update("", {})).toFailWith("INVALID_USER_ID");
  await expect(s.cortex.users.update("alex", [] as never)).toFailWith("INVALID_METADATA");
});
