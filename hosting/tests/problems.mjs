// Problems are shown where they belong, in a person's words, and nothing that was typed is lost.

import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";

import { api, checkState, local, openJob, pageTest, signIn } from "./support.mjs";

const goal = (item, name) => item.getByRole("radio", { name });

/** Serves the page as a deployment does, which has no token issuer. */
const asDeployed = async (page) => {
  await page.route("**/__/local/**", (route) => route.fulfill({ status: 404, body: "" }));
  await page.reload();
};

pageTest("a repository that is missing is said at its field", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await goal(recipes, "Publish it").check();
  let started = 0;
  page.on("request", (request) => (started += request.method() === "POST" && request.url().endsWith("/exports") ? 1 : 0));
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  const owner = recipes.getByLabel("Owner: your user name or an organization");
  await recipes.getByText("Enter the owner of the repository").waitFor();
  assert.ok(await owner.evaluate((input) => input === document.activeElement));
  assert.equal(await owner.getAttribute("aria-invalid"), "true");
  assert.equal(await recipes.getByLabel("Name of the repository").inputValue(), "family-recipes");
  await checkState(page, "blank repository");
  assert.equal(started, 0);
});

pageTest("what the service refuses is said at the field", { errors: [/status of 400/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("checkbox", { name: "Also put it on the Hugging Face Hub" }).check();
  const owner = recipes.getByLabel("Owner: your user name or an organization");
  await owner.fill("a b");
  await recipes.getByLabel(/^Access token/).fill("hf_token");
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  const error = recipes.locator(".field-error", { hasText: "The owner of the repository may have letters, digits" });
  await error.waitFor();
  assert.doesNotMatch(await error.textContent(), /hf_repo_id/);
  assert.ok(await owner.evaluate((input) => input === document.activeElement));
});

pageTest("a repository that exists says who can see it before anything is sent", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  await page.route("**/plans", async (route) => {
    const request = route.request().postDataJSON();
    const plan = await (await route.fetch({ postData: { ...request, destination: ["gcs"], hf_repo_id: null } })).json();
    const hub = request.hf_repo_id && { repo: request.hf_repo_id, exists: true, private: false, may_write: true };
    await route.fulfill({ json: { ...plan, hub: hub ?? null } });
  });
  await goal(recipes, "Publish it").check();
  await recipes.getByLabel("Owner: your user name or an organization").fill("ada");
  await recipes.getByLabel(/^Access token/).fill("hf_token");
  await recipes.getByLabel(/^Access token/).press("Tab");
  await recipes.getByText("ada/family-recipes exists and is public: everybody can see and download the model.").waitFor();
  await checkState(page, "repository exists");
});

pageTest("an importance matrix is offered where it helps, and its problems are said at its field", { errors: [/status of 422/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await goal(recipes, "Choose from everything").check();
  await recipes.getByText("More options").click();
  const matrix = recipes.getByLabel("Importance matrix (optional)");
  assert.equal(await matrix.isVisible(), false, "q8_0 does not use it");
  await recipes.locator(".quantizations").getByRole("checkbox", { name: "q4_k_m", exact: true }).check();
  await matrix.fill("imatrix.gguf");
  await matrix.press("Tab");
  await recipes.getByText("This is not the URL of a file in the storage. It begins with file:// and ends with the file's name.").waitFor();
  await checkState(page, "importance matrix");
  await matrix.fill("gs://elsewhere/imatrix.gguf");
  await matrix.press("Tab");
  await recipes.locator(".field-error", { hasText: /^imatrix\.gguf is neither below the adapter/ }).waitFor();
  assert.equal(await matrix.getAttribute("aria-invalid"), "true");

  // the matrix of the same shape as the demo's model
  const { adapter_path: folder } = (await api("ada", "/exports")).find(({ job_id: id }) => id === "ada-recipes");
  copyFileSync(new URL("../../engine/tests/fixtures/imatrix/imatrix.gguf", import.meta.url), new URL(`${folder}/imatrix.gguf`));
  await matrix.fill(`${folder}/imatrix.gguf`);
  await matrix.press("Tab");
  await recipes.getByText(/to download\./).waitFor();
  assert.equal(await matrix.getAttribute("aria-invalid"), null);
  const [request] = await Promise.all([
    page.waitForRequest((one) => one.method() === "POST" && one.url().endsWith("/exports")),
    recipes.getByRole("button", { name: "Export", exact: true }).click(),
  ]);
  assert.equal(request.postDataJSON().imatrix, `${folder}/imatrix.gguf`);
  await recipes.getByText("GGUF q8_0, q4_k_m completed").first().waitFor();
});

pageTest("another problem is said above the button, and the focus stays", { errors: [/status of 429/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  const problem = { type: "urn:export-service:problem:too-many-exports", status: 429, detail: "3 exports are running: wait until one has ended" };
  await page.route("**/exports", (route) =>
    route.request().method() === "POST" ? route.fulfill({ status: 429, json: problem }) : route.fallback());
  const button = recipes.getByRole("button", { name: "Export", exact: true });
  await button.focus();
  await page.keyboard.press("Enter");
  const alert = recipes.getByRole("alert").filter({ hasText: "3 exports are running: wait until one has ended" });
  await alert.waitFor();
  assert.ok(await button.evaluate((one) => one === document.activeElement), "the focus is on the button");
  assert.ok(await alert.evaluate((one) => one.getBoundingClientRect().top >= 0 && one.getBoundingClientRect().bottom <= innerHeight));
  await checkState(page, "too many");
});

pageTest("Enter on Export starts it and keeps the focus", {}, async (page) => {
  await signIn(page, "ben");
  const tickets = page.locator("#jobs > li");
  const button = tickets.getByRole("button", { name: "Export", exact: true });
  await button.focus();
  await page.keyboard.press("Enter");
  await tickets.locator(".status.completed").waitFor();
  assert.ok(await button.evaluate((one) => one === document.activeElement));
});

pageTest("a request that is repeated after a lost response starts one export", { errors: [/ERR_FAILED/] }, async (page) => {
  await signIn(page, "ben");
  const tickets = page.locator("#jobs > li");
  const exportsOf = async () => (await api("ben", "/exports/ben-tickets/history")).exports.length;
  const before = await exportsOf();
  const keys = [];
  await page.route("**/exports", async (route) => {
    // the network is lost until the request is repeated
    if (route.request().method() !== "POST") {
      return keys.length === 1 ? route.abort() : route.fallback();
    }
    keys.push(route.request().headers()["idempotency-key"]);
    if (keys.length > 1) {
      return route.fallback();
    }
    await page.route("**/exports/ben-tickets", (one) => (keys.length > 1 ? one.fallback() : one.abort()));
    await route.fetch();
    return route.abort();
  });
  const button = tickets.getByRole("button", { name: "Export", exact: true });
  await button.click();
  await tickets.getByText("The service cannot be reached. Check your connection.", { exact: true }).waitFor();
  await Promise.all([page.waitForResponse((response) => response.request().method() === "POST" && response.ok()), button.click()]);
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
  assert.equal(await exportsOf(), before + 1);
});

pageTest("a pasted token may have line breaks, quotes and the header's name", { errors: [/status of 404/] }, async (page) => {
  const token = await local("token", "--user", "ben");
  await asDeployed(page);
  await checkState(page, "token");
  for (const pasted of ["", "not a token", "a.b", `${token.slice(0, 40)}`]) {
    await page.getByLabel("Your Firebase ID token").fill(pasted);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This is not an ID token.").waitFor();
  }
  await checkState(page, "bad token");
  const broken = `"Bearer ${token.slice(0, 50)}\n  ${token.slice(50, 90)}\r\n${token.slice(90)}"\n`;
  await page.getByLabel("Your Firebase ID token").fill(broken);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Support tickets").waitFor();
});

pageTest("an expired token asks to sign in again and keeps what was typed", { errors: [/status of 401/] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("checkbox", { name: "Also put it on the Hugging Face Hub" }).check();
  await recipes.getByLabel("Owner: your user name or an organization").fill("ada-at-home");
  let expired = true;
  const problem = { type: "urn:export-service:problem:unauthenticated", status: 401, detail: "expired" };
  await page.route("**/exports/*", (route) => (expired ? route.fulfill({ status: 401, json: problem }) : route.fallback()));
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await page.getByText("Your sign-in has expired.").waitFor();
  await checkState(page, "expired");
  expired = false;
  await signIn(page);
  assert.equal(await recipes.getByLabel("Owner: your user name or an organization").inputValue(), "ada-at-home");
});

pageTest("a full fine-tune is not offered what fails", {}, async (page) => {
  await signIn(page);
  const full = await openJob(page, "Assistant, full fine-tune");
  await full.getByText("This is a full fine-tune, so there is no adapter to export.").waitFor();
  await goal(full, "Choose from everything").check();
  assert.ok(await full.getByRole("radio", { name: "Adapter", exact: true }).isDisabled());
  assert.ok(await full.getByRole("radio", { name: "Adapter as GGUF" }).isDisabled());
  await goal(full, "Go on training").check();
  await full.getByText("1 file", { exact: true }).waitFor();
  await full.getByText(/to download\./).waitFor();
  await checkState(page, "full fine-tune");
  await full.getByRole("button", { name: "Export", exact: true }).click();
  await full.getByText("Merged model completed").first().waitFor();
});

pageTest("long names fit on a phone", { viewport: { width: 320, height: 640 } }, async (page) => {
  await signIn(page);
  const long = `${"an-extraordinarily-long-name-".repeat(4)}-0.1`;
  await page.route(/\/exports$/, async (route) => {
    const jobs = await (await route.fetch()).json();
    Object.assign(jobs[0], { job_name: long, base_model_id: `owner/${long}` });
    await route.fulfill({ json: jobs });
  });
  await page.getByRole("button", { name: "Reload" }).click();
  await openJob(page, long);
  await checkState(page, "long names");
});
