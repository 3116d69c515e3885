// A running export is followed through lost connections, reloads and in other tabs.

import assert from "node:assert/strict";

import { api, jobItem, openJob, origin, pageTest, signIn } from "./support.mjs";

const exportIn = async (item, name = /Closest to your model/) => {
  await item.getByRole("radio", { name }).check();
  await item.getByRole("button", { name: "Export", exact: true }).click();
};

pageTest("failed requests do not end following", { errors: [/status of 503/, /ERR_FAILED/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  let failures = 0;
  await page.route("**/exports/ada-recipes", (route) => {
    failures += 1;
    if (failures > 3) {
      return route.fallback();
    }
    return failures === 2 ? route.abort() : route.fulfill({ status: 503, json: { detail: "The service is busy." } });
  });
  await exportIn(recipes);
  await recipes.getByText("The service is busy. Trying again in 2 s.").waitFor();
  await recipes.getByText("GGUF q8_0 completed").first().waitFor();
  assert.equal(await recipes.getByText("Trying again").count(), 0);
});

pageTest("following goes on when the network is back", { errors: [/ERR_INTERNET_DISCONNECTED/] }, async (page, context) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  await context.setOffline(true);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await recipes.getByText("The service cannot be reached. Check your connection.").first().waitFor();
  await api("ada", "/exports", { job_id: "ada-recipes", export_type: "adapter" });
  await context.setOffline(false);
  await recipes.getByText("Adapter completed").first().waitFor();
});

pageTest("a reload and a second tab see the export of the first", {}, async (page, context) => {
  await signIn(page);
  const other = await context.newPage();
  await other.goto(origin);
  await signIn(other);
  await jobItem(other, "Sonnets").waitFor();
  const sonnets = await openJob(page, "Sonnets");
  await sonnets.getByRole("radio", { name: "Serve it" }).check();
  await sonnets.getByRole("button", { name: "Export", exact: true }).click();
  await jobItem(other, "Sonnets").getByText(/Merged model (running|completed)/).waitFor();
  await page.reload();
  await jobItem(page, "Sonnets").getByText("Merged model completed").first().waitFor();
  await jobItem(page, "Sonnets").getByText("vllm serve ./sonnets").waitFor();
  await jobItem(other, "Sonnets").getByText("Merged model completed").first().waitFor();
  await other.close();
});

pageTest("progress has stage, bytes, rate and the time that is left", {}, async (page) => {
  await signIn(page);
  await page.clock.install();
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  let done = 0;
  await page.route("**/exports/ada-recipes", async (route) => {
    const detail = await (await route.fetch()).json();
    done += 3e6;
    Object.assign(detail.latest_export, { status: "running", progress: { stage: "export", bytes_done: done, bytes_total: 60e6 }, eta_seconds: 75 });
    await route.fulfill({ json: detail });
  });
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await recipes.getByText("Exporting, 3.0 MB of 60.0 MB, 2 min left in this step").waitFor();
  await page.clock.runFor(1500);
  await recipes.getByText(/Exporting, 6\.0 MB of 60\.0 MB, [\d.]+ MB\/s, 2 min left in this step/).waitFor();
});

pageTest("a person who asks for it is notified of the end", { permissions: ["notifications"] }, async (page) => {
  await page.addInitScript(() => {
    window.shown = [];
    window.Notification = class extends EventTarget {
      static permission = "granted";
      static requestPermission = async () => "granted";
      constructor(title) {
        super();
        window.shown.push(title);
      }
    };
  });
  await page.reload();
  await signIn(page);
  const sonnets = await openJob(page, "Sonnets");
  await sonnets.getByRole("radio", { name: "Choose from everything" }).check();
  await sonnets.getByRole("checkbox", { name: "q5_k_s", exact: true }).check();
  await sonnets.getByRole("button", { name: "Export", exact: true }).click();
  await sonnets.getByRole("checkbox", { name: "Notify me when it is done" }).check();
  await page.evaluate(() => Object.defineProperty(document, "visibilityState", { value: "hidden" }));
  await sonnets.locator(".status.completed").waitFor({ timeout: 60_000 });
  assert.deepEqual(await page.evaluate(() => window.shown), ["Sonnets: GGUF q8_0, q5_k_s completed"]);
});

pageTest("an older export that still runs is followed in the history, and can be cancelled", {}, async (page) => {
  let requests = 0;
  let cancelled = null;
  await page.route("**/exports/ada-recipes/history?*", async (route) => {
    requests += 1;
    const response = await route.fetch();
    const history = await response.json();
    history.exports.splice(1, 0, { ...history.exports[0], export_id: "older", status: cancelled ? "failed" : "running", finished_at: null, message: null });
    await route.fulfill({ response, json: history });
  });
  await page.route("**/exports/ada-recipes/cancel", (route) => {
    cancelled = route.request().postDataJSON().export_id;
    return route.fulfill({ json: {} });
  });
  await api("ada", "/exports", { job_id: "ada-recipes", export_type: "adapter" });
  await page.clock.install();
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText("Adapter completed").first().waitFor();
  await recipes.getByText("All exports of this job").click();
  const button = recipes.getByRole("button", { name: /^Cancel the export of .*20\d\d/ });
  await button.waitFor();
  const before = requests;
  await page.clock.fastForward(11_000);
  await page.waitForTimeout(500);
  assert.ok(requests > before, "it is requested again while an export runs");
  await button.click();
  await button.waitFor({ state: "detached" });
  assert.equal(cancelled, "older");
});
