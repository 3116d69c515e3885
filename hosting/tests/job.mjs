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
  for (const name of ["↓ adapter.zip", "Download GGUF"]) {
    const [tab] = await Promise.all([context.waitForEvent("page"), recipes.getByRole("link", { name, exact: true }).click()]);
    await tab.getByText("no such file").waitFor();
    assert.equal(await tab.evaluate(() => window.opener), null);
    await tab.close();
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
