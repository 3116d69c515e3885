// The list of jobs belongs to who is signed in, and keeps what is on the page.

import assert from "node:assert/strict";

import { jobItem, local, openJob, pageTest, signIn } from "./support.mjs";

const unauthenticated = { type: "urn:export-service:problem:unauthenticated", status: 401, detail: "the ID token is not valid" };
const isList = /\/exports$/;
const isAlarming = (text) => text.evaluate((one) => one.classList.contains("bad"));
const goOnline = (page) => page.evaluate(() => window.dispatchEvent(new Event("online")));

pageTest("who signs in again after an expired token sees the jobs", { errors: [/status of 401/] }, async (page) => {
  const token = await local("token", "--user", "ada");
  const [head, payload, signature] = token.split(".");
  const other = `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
  await page.evaluate((bad) => sessionStorage.setItem("token", bad), `${head}.${payload}.${other}`);
  await page.reload();
  await page.getByText("Your sign-in was not accepted: it has expired or is not valid. Sign in again.").waitFor();
  assert.equal(await page.getByText("what you have typed is still there").count(), 0);
  await signIn(page);
  await jobItem(page, "Sonnets").waitFor();
  await page.getByText("4 jobs", { exact: true }).waitFor();
  assert.equal(await isAlarming(page.locator("#jobs-status")), false);
});

pageTest("who signs in again sees a new plan, and no text about the old token", { errors: [/status of 401/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  const refuse = (route) => route.fulfill({ status: 401, json: unauthenticated });
  const meet = async (path, act) => {
    await page.route(path, refuse);
    await act();
    await page.getByText("Your sign-in has expired. Sign in again: what you have typed is still there.").waitFor();
    await page.unroute(path, refuse);
    await signIn(page);
    await recipes.getByText(/to download\./).waitFor();
    assert.equal(await page.locator("#jobs-section").getByText(unauthenticated.detail, { exact: false }).count(), 0);
  };
  await meet("**/plans", () => recipes.getByRole("radio", { name: "Serve it" }).check());
  assert.ok(await recipes.getByRole("radio", { name: "Serve it" }).isChecked());
  await meet(isList, () => recipes.getByRole("button", { name: "Export", exact: true }).click());
  await meet(isList, () => page.getByRole("button", { name: "Reload" }).click());
  await page.getByText("4 jobs", { exact: true }).waitFor();
});

pageTest("a list that comes late is not shown to somebody else", {}, async (page) => {
  await signIn(page);
  await jobItem(page, "Sonnets").waitFor();
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let isHeld = false;
  await page.route(isList, async (route) => {
    if (isHeld) {
      return route.fallback();
    }
    isHeld = true;
    const response = await route.fetch();
    await held;
    return route.fulfill({ response });
  });
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("Loading your jobs…").waitFor();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await signIn(page, "ben");
  await jobItem(page, "Support tickets").waitFor();
  await Promise.all([page.waitForResponse((response) => isList.test(response.url())), release()]);
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 100)));
  assert.deepEqual(await page.getByRole("heading", { level: 3 }).allTextContents(), ["Support tickets"]);
});

pageTest("a search finds the whole and the short name of a month", {}, async (page) => {
  const job = (n) => ({
    job_id: `ada-added-${n}`, job_name: `Added ${n}`, base_model_id: "demo/base", modality: "text", artifacts: {}, created_at: "2025-11-30T12:00:00Z",
  });
  await page.route(isList, async (route) => route.fulfill({ json: [...(await (await route.fetch()).json()), job(1), job(2)] }));
  await page.route("**/exports/ada-added-*", (route) => route.fulfill({ json: { latest_export: null, artifacts: { file: {}, hf: {} } } }));
  await signIn(page);
  await page.getByText("6 jobs", { exact: true }).waitFor();
  for (const text of ["nov 30", "November 2025", "2025-11-30"]) {
    await page.getByLabel("Search by name, base model or date").fill(text);
    await page.getByText("2 jobs", { exact: true }).waitFor();
  }
});

pageTest("a reload of the list keeps open jobs, the search and what was typed", {}, async (page) => {
  const job = (n) => ({ job_id: `ada-added-${n}`, job_name: `Added ${n}`, base_model_id: "demo/base", modality: "text", artifacts: {} });
  let isReload = false;
  await page.route(isList, async (route) => {
    const jobs = await (await route.fetch()).json();
    const kept = jobs.filter(({ job_name: name }) => !(isReload && name === "Upload cut short"));
    await route.fulfill({ json: [...(isReload ? [job(0)] : []), ...kept, job(1), job(2)] });
  });
  await page.route("**/exports/ada-added-*", (route) => route.fulfill({ json: { latest_export: null, artifacts: { file: {}, hf: {} } } }));
  await signIn(page);
  await page.getByText("6 jobs", { exact: true }).waitFor();
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Publish it" }).check();
  await recipes.getByLabel("Owner: your user name or an organization").fill("ada-at-home");
  await recipes.getByLabel(/^Access token/).fill("hf_token");
  const sonnets = await openJob(page, "Sonnets");
  const search = page.getByLabel("Search by name, base model or date");
  await search.fill("ada");
  isReload = true;
  const [, detail] = await Promise.all([
    jobItem(page, "Added 0").waitFor(),
    page.waitForRequest((request) => request.url().endsWith("/exports/ada-recipes")),
    page.getByRole("button", { name: "Reload" }).click(),
  ]);
  assert.ok(detail, "the details are requested again");
  assert.equal(await search.inputValue(), "ada");
  assert.equal(await jobItem(page, "Upload cut short").count(), 0);
  assert.ok(await sonnets.getByRole("button", { name: "Export", exact: true }).isVisible());
  assert.ok(await recipes.getByRole("radio", { name: "Publish it" }).isChecked());
  assert.equal(await recipes.getByLabel("Owner: your user name or an organization").inputValue(), "ada-at-home");
  assert.equal(await recipes.getByLabel(/^Access token/).inputValue(), "hf_token");
});

pageTest("a list that failed loads again when the network is back", { errors: [/ERR_FAILED/] }, async (page) => {
  const fail = (route) => route.abort();
  await page.route(isList, fail);
  await page.getByRole("button", { name: "Sign in as ada" }).click();
  await page.getByText("The service cannot be reached. Check your connection.").waitFor();
  await page.unroute(isList, fail);
  await goOnline(page);
  await jobItem(page, "Sonnets").waitFor();
  // and one on the page that could not be loaded again
  await page.route(isList, fail);
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("The service cannot be reached. Check your connection.").waitFor();
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Publish it" }).check();
  const owner = recipes.getByLabel("Owner: your user name or an organization");
  await owner.fill("ada-at-");
  await page.unroute(isList, fail);
  await goOnline(page);
  await page.getByText("4 jobs", { exact: true }).waitFor();
  await page.keyboard.type("home");
  assert.equal(await owner.inputValue(), "ada-at-home", "the focus stays in the field");
  assert.equal(await isAlarming(page.locator("#jobs-status")), false);
});

pageTest("that there are no jobs is not said to the next user", {}, async (page) => {
  const empty = (route) => route.fulfill({ json: [] });
  await page.route(isList, empty);
  await signIn(page);
  await page.getByText("You have no completed training jobs").waitFor();
  await page.unroute(isList, empty);
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route(isList, async (route) => {
    await held;
    await route.fallback();
  });
  await signIn(page, "ben");
  await page.getByText("Loading your jobs…").waitFor();
  assert.equal(await page.getByText("You have no completed training jobs").isVisible(), false);
  release();
  await jobItem(page, "Support tickets").waitFor();
});

pageTest("an answer that is not the service's is said", {}, async (page) => {
  const portal = (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>Sign in to this network</title>" });
  await page.route(isList, portal);
  await page.getByRole("button", { name: "Sign in as ada" }).click();
  const text = "The answer did not come from the service. Check whether this network asks you to sign in.";
  await page.getByText(text).waitFor();
  await page.unroute(isList, portal);
  await goOnline(page);
  await page.route("**/plans", portal);
  const recipes = await openJob(page, "Family recipes");
  await recipes.locator(".plan").getByText(text).waitFor();
});
