// A job on the page: its latest export, its files, cancelling, and the history.

import assert from "node:assert/strict";

import { api, checkState, openJob, pageTest, signIn } from "./support.mjs";

const exportButton = (item) => item.getByRole("button", { name: "Export", exact: true });

/** Exports a job without the page, and waits for the end. */
async function exported(user, request) {
  const { job_id: id } = request;
  await api(user, "/exports", request);
  for (;;) {
    const detail = await api(user, `/exports/${id}`);
    if (detail.latest_export.status !== "running") {
      assert.equal(detail.latest_export.status, "completed", detail.latest_export.message);
      return detail;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Changes the details of the job by `change`. */
const withDetail = (page, id, change) =>
  page.route(`**/exports/${id}`, async (route) => {
    const response = await route.fetch();
    const detail = await response.json();
    change(detail);
    await route.fulfill({ response, json: detail });
  });

pageTest("files of earlier exports stay when a later export fails, or makes something else", {}, async (page, context) => {
  await exported("ada", { job_id: "ada-recipes", export_type: "gguf", quantizations: ["q8_0"] });
  let isFailed = true;
  await withDetail(page, "ada-recipes", ({ latest_export: latest, artifacts }) => {
    if (isFailed) {
      const failure = { code: "interrupted" };
      Object.assign(latest, { export_id: "failed", status: "failed", message: "The base model changed.", failure, artifacts: [] });
      artifacts.hf.gguf = "ada/recipes";
    }
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText("GGUF q8_0 failed (interrupted)").first().waitFor();
  const earlier = recipes.getByRole("link", { name: "Download GGUF" });
  await earlier.waitFor();
  await recipes.getByRole("link", { name: "GGUF on the Hub: ada/recipes" }).waitFor();
  await checkState(page, "failed after a file");
  const [download] = await Promise.all([downloadOf(context), earlier.click()]);
  assert.equal(download.suggestedFilename(), "model.gguf");

  isFailed = false;
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await recipes.getByRole("link", { name: "↓ model.gguf", exact: true }).waitFor();
  assert.equal(await earlier.count(), 0, "the file of the latest export has its own link");

  await exported("ada", { job_id: "ada-recipes", export_type: "gguf", gguf_kind: "lora", quantizations: ["f16"] });
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await recipes.getByText("GGUF adapter f16 completed").first().waitFor();
  await earlier.waitFor();
});

pageTest("a file that is gone leaves the page as it is", { errors: [/status of 404/] }, async (page, context) => {
  const { artifacts, latest_export: latest } = await exported("ada", { job_id: "ada-recipes", export_type: "adapter" });
  const gone = new Set([artifacts.file.gguf, ...latest.artifacts.flatMap(({ files }) => files.map(({ link }) => link))].map((link) => new URL(link, page.url()).pathname));
  await context.route((url) => gone.has(url.pathname), (route) => route.fulfill({ status: 404, body: "no such file" }));
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  for (const [place, name] of [[".export", "↓ adapter.zip"], [".earlier", "Download GGUF"]]) {
    await recipes.getByRole("link", { name, exact: true }).click();
    await recipes.locator(place).getByText("This file no longer exists. Export it again.").waitFor();
    assert.equal(context.pages().length, 1);
    assert.ok(await exportButton(recipes).isVisible());
  }
});

/** The next download in any tab. */
const downloadOf = (context) =>
  new Promise((resolve) => {
    for (const page of context.pages()) {
      page.once("download", resolve);
    }
    context.once("page", (page) => page.once("download", resolve));
  });

for (const [width, height] of [[1280, 900], [360, 640]]) {
  pageTest(`what an export makes is in view at ${width} px`, { viewport: { width, height } }, async (page) => {
    await signIn(page);
    const recipes = await openJob(page, "Family recipes");
    await recipes.getByRole("radio", { name: "Choose from everything" }).check();
    await recipes.getByText(/to download\./).waitFor();
    await exportButton(recipes).click();
    await recipes.getByText("GGUF q8_0 completed").first().waitFor();
    const link = recipes.getByRole("link", { name: "↓ model.gguf", exact: true });
    await link.waitFor();
    const { top, bottom } = await link.evaluate((one) => one.getBoundingClientRect().toJSON());
    assert.ok(top >= 0 && bottom <= height, `from ${top} to ${bottom} of ${height} px`);
  });
}

pageTest("an export whose start had no response is shown", { errors: [/ERR_FAILED/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  await recipes.getByRole("radio", { name: /q6_k/ }).check();
  await page.route(/\/exports$/, async (route) => {
    if (route.request().method() !== "POST") {
      return route.fallback();
    }
    await route.fetch();
    return route.abort();
  });
  await exportButton(recipes).click();
  await recipes.getByText("GGUF q6_k completed").first().waitFor();
  assert.equal(await recipes.getByText("The service cannot be reached.").filter({ visible: true }).count(), 0);
});

/** Makes the latest export of the job a running one, until `end` is called. */
async function withRunning(page, id) {
  await exported("ada", { job_id: id, export_type: "adapter" });
  let isRunning = true;
  await withDetail(page, id, ({ latest_export: latest }) => {
    if (isRunning) {
      Object.assign(latest, { export_id: "running", status: "running", artifacts: [], finished_at: null, message: "Exporting" });
    }
  });
  return { end: () => (isRunning = false) };
}

const online = (page) => page.evaluate(() => window.dispatchEvent(new Event("online")));

pageTest("that an export was not cancelled is said until it ends", { errors: [/ERR_INTERNET_DISCONNECTED/] }, async (page, context) => {
  const run = await withRunning(page, "ada-recipes");
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  const cancel = recipes.getByRole("button", { name: "Cancel the export of Family recipes" });
  await cancel.waitFor();
  await context.setOffline(true);
  await cancel.click();
  const notice = recipes.getByRole("alert").filter({ hasText: "Not cancelled. The service cannot be reached. Check your connection." });
  await notice.waitFor();
  await checkState(page, "not cancelled");
  const polled = page.waitForResponse((response) => response.url().endsWith("/exports/ada-recipes"));
  await context.setOffline(false);
  await polled;
  await recipes.getByText("Trying again").waitFor({ state: "hidden" });
  assert.ok(await notice.isVisible());
  run.end();
  await online(page);
  await cancel.waitFor({ state: "hidden" });
  assert.equal(await notice.isVisible(), false);
});

pageTest("a double click on Cancel sends one request", { errors: [/status of 409/] }, async (page) => {
  const run = await withRunning(page, "ada-recipes");
  await signIn(page);
  let cancels = 0;
  await page.route("**/exports/ada-recipes/cancel", async (route) => {
    cancels += 1;
    await new Promise((resolve) => setTimeout(resolve, 200));
    run.end();
    await route.fulfill(cancels === 1 ? { json: {} } : { status: 409, json: { detail: "No export is running." } });
  });
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("button", { name: "Cancel the export of Family recipes" }).dblclick();
  await recipes.getByRole("button", { name: "Cancel the export of Family recipes" }).waitFor({ state: "hidden" });
  assert.equal(cancels, 1);
});

pageTest("an open history shows how exports end, each once", {}, async (page) => {
  await signIn(page);
  const sonnets = await openJob(page, "Sonnets");
  await sonnets.getByText(/to download\./).waitFor();
  const section = sonnets.getByText("All exports of this job");
  await section.click();
  await sonnets.locator(".history li, .past p:text-is('There are no exports yet.')").first().waitFor();
  await sonnets.getByRole("radio", { name: /q6_k/ }).check();
  await exportButton(sonnets).click();
  const first = sonnets.locator(".history li").first();
  await first.getByText("GGUF q6_k", { exact: true }).waitFor();
  await first.locator(".status.completed").waitFor({ timeout: 60_000 });
  assert.equal(await sonnets.locator(".history").getByText("(running)").count(), 0);

  const { job_id: id } = (await api("ada", "/exports")).find(({ job_name: name }) => name === "Sonnets");
  const { exports } = await api("ada", `/exports/${id}/history`);
  await page.route("**/history?*", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    await route.fallback();
  });
  for (let times = 0; times < 4; times += 1) {
    await section.click();
  }
  await page.waitForTimeout(1000);
  assert.equal(await sonnets.locator(".history li").count(), Math.min(exports.length, 10));
});

pageTest("an earlier export in the history has its files and commands", { errors: [/status of 503/] }, async (page, context) => {
  await exported("ada", { job_id: "ada-recipes", export_type: "gguf", quantizations: ["q5_0"] });
  await exported("ada", { job_id: "ada-recipes", export_type: "gguf", quantizations: ["q8_0"] });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText("All exports of this job").click();
  const earlier = recipes.locator(".history li", { hasText: "GGUF q5_0" }).first();
  const files = earlier.getByText("Files and commands");
  let isBusy = true;
  await page.route("**/history/*", async (route) => {
    await (isBusy ? route.fulfill({ status: 503, json: { detail: "The service is busy." } }) : route.fallback());
  });
  await files.click();
  await earlier.getByText("The service is busy.").waitFor();
  isBusy = false;
  await files.click();
  await files.click();
  const link = earlier.getByRole("link", { name: /^↓ model.*\.gguf$/ });
  await link.waitFor();
  assert.equal(await earlier.getByText("The service is busy.").count(), 0);
  await earlier.getByText(/ollama run family-recipes:q5_0/).waitFor();
  await checkState(page, "files of an earlier export");
  const [download] = await Promise.all([downloadOf(context), link.click()]);
  assert.match(download.suggestedFilename(), /^model.*\.gguf$/);

  await exported("ada", { job_id: "ada-recipes", export_type: "adapter" });
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await recipes.locator(".history li").first().getByText("Adapter", { exact: true }).waitFor();
  assert.ok(await link.isVisible(), "what is open stays when the list changes");
});

pageTest("older exports are shown by keyboard, also after a request that failed", { errors: [/status of 503/] }, async (page) => {
  const one = (n) => ({ export_id: `e${n}`, type: "adapter", status: "completed", started_at: new Date(2026, 1, n).toISOString(), finished_at: new Date(2026, 1, n).toISOString(), message: `Export ${n}` });
  let isBusy = false;
  await page.route("**/history?*", async (route) => {
    const first = Number(new URL(route.request().url()).searchParams.get("page_token") ?? 25);
    const exports = Array.from({ length: Math.min(10, first) }, (_, index) => one(first - index));
    const next = first > 10 ? String(first - 10) : null;
    await route.fulfill(isBusy ? { status: 503, json: { detail: "The service is busy." } } : { json: { exports, next_page_token: next } });
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  const section = recipes.getByText("All exports of this job");
  await section.click();
  const older = recipes.getByRole("button", { name: "Show older" });
  const focusedText = () => page.evaluate(() => document.activeElement.textContent);
  await older.focus();
  isBusy = true;
  await page.keyboard.press("Enter");
  await recipes.getByText("The service is busy.").waitFor();
  assert.equal(await focusedText(), "Try again");
  await section.click();
  isBusy = false;
  await section.click();
  await older.waitFor();
  assert.equal(await recipes.getByRole("button", { name: "Try again" }).count(), 0);
  await older.focus();
  for (const [shown, first] of [[20, 15], [25, 5]]) {
    await page.keyboard.press("Enter");
    await recipes.getByText(`Export ${first}`, { exact: true }).waitFor();
    await page.waitForFunction((text) => document.activeElement.textContent.includes(text), `Export ${first}`);
    assert.equal(await recipes.locator(".history li").count(), shown);
    if (shown < 25) {
      await older.focus();
    }
  }
  assert.equal(await older.isVisible(), false);
});
