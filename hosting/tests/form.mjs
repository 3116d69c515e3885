// The form of an export: what it offers, and what it does not send.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";

import { api, checkState, openJob, pageTest, signIn } from "./support.mjs";

/** Counts the exports that the page starts; none begins. */
async function countStarts(page) {
  const started = [];
  await page.route("**/exports", (route) => {
    if (route.request().method() !== "POST") {
      return route.fallback();
    }
    started.push(route.request().postDataJSON());
    return route.fulfill({ status: 409, json: { status: 409, detail: "no export in this test" } });
  });
  return started;
}

const exportButton = (item) => item.getByRole("button", { name: "Export", exact: true });
const hintOf = (item, type) => item.locator(".quantizations .choice", { has: item.page().getByRole("checkbox", { name: type, exact: true }) }).locator(".hint");

pageTest("an export without a quantization type is not sent", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  const started = await countStarts(page);
  await recipes.getByRole("radio", { name: "Choose from everything" }).check();
  await recipes.locator(".quantizations").getByRole("checkbox", { name: "q8_0", exact: true }).uncheck();
  await exportButton(recipes).click();
  const boxes = recipes.locator(".quantizations");
  await boxes.getByRole("alert").filter({ hasText: "Choose at least one quantization type." }).waitFor();
  assert.ok(await boxes.getByRole("checkbox").first().evaluate((box) => box === document.activeElement));
  await checkState(page, "no quantization type");
  for (const box of await boxes.getByRole("checkbox").all()) {
    await box.check();
  }
  await exportButton(recipes).click();
  await boxes.getByRole("alert").filter({ hasText: "Choose at most 8: 19 are chosen." }).waitFor();
  await page.waitForTimeout(500);
  assert.equal(await recipes.getByText(/^Choose at (most|least)/).filter({ visible: true }).count(), 1);
  await checkState(page, "too many quantization types");
  assert.deepEqual(started, []);
});

/** Opens the form of a job with its further options: the field for the largest size, and the exports that are started. */
async function openSize(page) {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  const started = await countStarts(page);
  await recipes.getByRole("radio", { name: "Choose from everything" }).check();
  await recipes.getByText("More options").click();
  return { recipes, started, size: recipes.getByLabel("Largest size of the file, in GB") };
}

pageTest("Enter in a field plans the export and does not start it", {}, async (page) => {
  const { recipes, started, size } = await openSize(page);
  await size.fill("1");
  await page.keyboard.press("Enter");
  await recipes.getByText(/Types of the tensors: \d+ ×/).waitFor();
  assert.deepEqual(started, []);
});

pageTest("a size is a decimal number", {}, async (page) => {
  const { recipes, started, size } = await openSize(page);
  for (const wrong of ["0x10", "1e3", "-1", "4 GB", "0"]) {
    await size.fill(wrong);
    await exportButton(recipes).click();
    await recipes.getByText("Enter a size in GB, for example 4.").waitFor();
    assert.equal(await size.getAttribute("aria-invalid"), "true", wrong);
  }
  assert.deepEqual(started, []);
  for (const [text, bytes] of [["7,5", 7.5e9], [".5", 0.5e9]]) {
    const planned = page.waitForRequest((one) => one.url().endsWith("/plans") && one.postDataJSON().max_bytes === bytes);
    await size.fill(text);
    await page.keyboard.press("Tab");
    await planned;
  }
});

pageTest("a size that no file has is said at its field with the least that is possible", { errors: [/status of 4(09|22)/] }, async (page) => {
  const { recipes, started, size } = await openSize(page);
  await size.fill("0.000001");
  // before there is a plan, and after it
  for (let clicks = 0; clicks < 2; clicks += 1) {
    await exportButton(recipes).click();
    await page.waitForFunction(() => document.activeElement.name === "max_bytes");
  }
  const error = recipes.locator(".field-error", { hasText: /^No file of this model is that small: enter at least 0\.\d+ GB\.$/ });
  await error.waitFor();
  assert.equal(await size.getAttribute("aria-invalid"), "true");
  assert.equal(await recipes.getByText(/bytes in the smallest types/).count(), 0);
  await checkState(page, "size too small");
  assert.deepEqual(started, []);
  const [least] = (await error.textContent()).match(/0\.\d+/);
  await size.fill(least);
  await size.press("Tab");
  await recipes.getByText(/Types of the tensors: \d+ ×/).waitFor();
  await exportButton(recipes).click();
  await recipes.getByText("no export in this test").waitFor();
  assert.deepEqual(started.map(({ max_bytes: bytes }) => bytes), [Math.round(Number(least) * 1e9)]);
});

pageTest("the URL of a file begins as those of the service's storage", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Choose from everything" }).check();
  await recipes.getByText("More options").click();
  await recipes.getByText(/^The file:\/\/ URL of a file below the folder of the adapter: one prompt a line/).waitFor();
  assert.equal(await recipes.getByLabel("Your own prompts").getAttribute("placeholder"), "file://");
  assert.equal(await recipes.getByText("gs://").count(), 0);
});

pageTest("the hint of a type has the size of what is exported", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Choose from everything" }).check();
  await hintOf(recipes, "q8_0").getByText("kB").waitFor();
  const ofModel = await hintOf(recipes, "q8_0").textContent();
  await recipes.getByRole("radio", { name: "Adapter as GGUF" }).check();
  const { files } = await api("ada", "/plans", { job_id: "ada-recipes", export_type: "gguf", gguf_kind: "lora", quantizations: ["q8_0", "f16"] });
  for (const [index, type] of ["q8_0", "f16"].entries()) {
    await hintOf(recipes, type).getByText(`${(files[index].bytes / 1e3).toFixed(1)} kB, `).waitFor();
  }
  assert.match(await hintOf(recipes, "q4_k_m").textContent(), /^4\.9 bits per weight\./);
  await recipes.getByRole("radio", { name: "GGUF", exact: true }).last().check();
  assert.equal(await hintOf(recipes, "q8_0").textContent(), ofModel);
});

pageTest("who publishes a GGUF chooses its types", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Publish it" }).check();
  assert.equal(await recipes.locator(".quantizations").isVisible(), false, "the merged model has no quantization type");
  await recipes.locator("fieldset", { hasText: "As what?" }).getByRole("radio", { name: "GGUF" }).check();
  await recipes.locator(".quantizations").getByRole("checkbox", { name: "q4_k_m", exact: true }).check();
  await recipes.getByText("6 files").waitFor();
  await hintOf(recipes, "q2_k").getByText("kB").waitFor();
});

pageTest("what is wrong with a file of prompts or text is said at its field", { errors: [/status of 422/] }, async (page) => {
  const { adapter_path: folder } = (await api("ada", "/exports")).find(({ job_id: id }) => id === "ada-recipes");
  writeFileSync(new URL(`${folder}/blank.txt`), "");
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Choose from everything" }).check();
  await recipes.locator(".quantizations").getByRole("checkbox", { name: "q4_k_m", exact: true }).check();
  await recipes.getByText("More options").click();
  for (const label of ["Your own prompts", "Text for an importance matrix"]) {
    const input = recipes.getByLabel(label);
    for (const [url, text] of [
      ["gs://elsewhere/file.txt", /^file\.txt is neither below the adapter folder/],
      [`${folder}/absent.txt`, /^absent\.txt does not exist: correct its path\.$/],
      [`${folder}/blank.txt`, /^blank\.txt: has /],
    ]) {
      await input.fill(url);
      await input.press("Tab");
      await recipes.locator(".field-error", { hasText: text }).waitFor();
      assert.equal(await input.getAttribute("aria-invalid"), "true");
      assert.equal(await recipes.locator(".plan").textContent(), "");
    }
    await input.fill("");
  }
});

pageTest("what goes to the Hub too is not counted as to download", {}, async (page) => {
  await page.route("**/plans", async (route) => {
    const request = route.request().postDataJSON();
    const plan = await (await route.fetch({ postData: { ...request, destination: ["gcs"], hf_repo_id: null, hf_token: null } })).json();
    const hub = request.hf_repo_id && { repo: request.hf_repo_id, exists: true, private: true, may_write: true };
    await route.fulfill({ json: { ...plan, files: hub ? [...plan.files, ...plan.files] : plan.files, hub: hub ?? null } });
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  await recipes.getByRole("checkbox", { name: "Also put it on the Hugging Face Hub" }).check();
  await recipes.getByLabel("Owner: your user name or an organization").fill("ada");
  await recipes.getByLabel(/^Access token/).fill("hf_token");
  await recipes.getByLabel(/^Access token/).press("Tab");
  await recipes.getByText(/^Files of [\d.]+ MB in all, to download and on the Hub\./).waitFor();
  assert.equal(await recipes.getByText(/ to download\./).count(), 0);
});

pageTest("notifications that the browser does not allow are said", {}, async (page) => {
  await api("ada", "/exports", { job_id: "ada-recipes", export_type: "adapter" });
  await page.addInitScript(() => {
    window.Notification = { permission: "default", requestPermission: async () => "denied" };
  });
  await page.route("**/exports/ada-recipes", async (route) => {
    const detail = await (await route.fetch()).json();
    detail.latest_export.status = "running";
    await route.fulfill({ json: detail });
  });
  await page.reload();
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  const box = recipes.getByRole("checkbox", { name: "Notify me when it is done" });
  await box.click();
  await recipes.getByText("Your browser does not allow notifications from this page.").waitFor();
  assert.equal(await box.isChecked(), false);
});

pageTest("the advice about a file that does not exist is not about the model or the repository", {}, async (page) => {
  await api("ada", "/exports", { job_id: "ada-recipes", export_type: "adapter" });
  await page.route("**/exports/ada-recipes", async (route) => {
    const detail = await (await route.fetch()).json();
    Object.assign(detail.latest_export, {
      status: "failed", message: "prompts_uri absent.txt does not exist: correct its path", failure: { code: "not_found" },
    });
    await route.fulfill({ json: detail });
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText("Correct the name or the path of what the message says does not exist, then export again.").waitFor();
});
