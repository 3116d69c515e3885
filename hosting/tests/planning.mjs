// The plan below the form: it is right for what the form asks for, and is made again when it can be.

import assert from "node:assert/strict";

import { openJob, pageTest, signIn } from "./support.mjs";

const problem = (status, type, detail) => ({ status, json: { type: `urn:export-service:problem:${type}`, status, detail } });
const expired = problem(401, "unauthenticated", "missing or invalid token");

pageTest("who signs in again finds no problem of the expired sign-in, and a plan", { errors: [/status of 401/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  let isExpired = true;
  await page.route("**/plans", (route) => (isExpired ? route.fulfill(expired) : route.fallback()));
  await recipes.getByRole("radio", { name: "Serve it" }).check();
  await page.getByText("Your sign-in has expired.").waitFor();
  isExpired = false;
  await signIn(page);
  await recipes.getByText(/to download\./).waitFor();
  assert.equal(await recipes.getByText("issing or invalid token").count(), 0);

  // the same for an export that was refused
  let isRefused = true;
  await page.route("**/exports", (route) =>
    isRefused && route.request().method() === "POST" ? route.fulfill(expired) : route.fallback());
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await page.getByText("Your sign-in has expired.").waitFor();
  isRefused = false;
  await signIn(page);
  await recipes.getByRole("button", { name: "Export", exact: true }).waitFor();
  assert.equal(await recipes.getByText("issing or invalid token").filter({ visible: true }).count(), 0);
});

pageTest("a plan that failed without a network is made when it is back", { errors: [/ERR_INTERNET_DISCONNECTED/] }, async (page, context) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  await context.setOffline(true);
  await recipes.getByRole("radio", { name: "Serve it" }).check();
  await recipes.locator(".plan").getByText("The service cannot be reached. Check your connection.").waitFor();
  await context.setOffline(false);
  await recipes.getByText(/to download\./).waitFor();
});

pageTest("a plan stays if the sizes of other types cannot be had", { errors: [/status of 503/] }, async (page) => {
  let failed = 0;
  await page.route("**/plans", (route) => {
    if (route.request().postDataJSON().quantizations?.join() === "q8_0") {
      return route.fallback();
    }
    failed += 1;
    return route.fulfill(problem(503, "unavailable", "The service is busy."));
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.locator(".plan:not(.busy)").getByText(/to download\./).waitFor();
  assert.equal(failed, 1);
  assert.equal(await recipes.getByText("The service is busy.").count(), 0);
});
