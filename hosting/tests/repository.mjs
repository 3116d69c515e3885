// The repository on the Hub that the form proposes, and what is said about it.

import assert from "node:assert/strict";

import { checkState, jobItem, openJob, pageTest, signIn } from "./support.mjs";

const nameOf = (item) => item.getByLabel("Name of the repository");
const ownerOf = (item) => item.getByLabel("Owner: your user name or an organization");

/** Opens the form to publish a job. */
async function toPublish(page, name = "Family recipes") {
  const item = await openJob(page, name);
  await item.getByRole("radio", { name: "Publish it" }).check();
  return item;
}

pageTest("the name that is proposed for a job with a long name is one that the Hub takes", {}, async (page) => {
  // the 60th character is where a word ends
  const long = `${"a".repeat(59)} of many words`;
  await page.route(/\/exports$/, async (route) => {
    const jobs = await (await route.fetch()).json();
    jobs[0].job_name = long;
    await route.fulfill({ json: jobs });
  });
  await signIn(page);
  const item = await toPublish(page, long);
  await item.locator("fieldset", { hasText: "As what?" }).getByRole("radio", { name: "GGUF" }).check();
  assert.equal(await nameOf(item).inputValue(), `${"a".repeat(59)}-gguf`);
});

pageTest("a name that the Hub does not take is marked at the name, by the plan too", { errors: [/status of 400/] }, async (page) => {
  await signIn(page);
  const recipes = await toPublish(page);
  await ownerOf(recipes).fill("ada");
  await nameOf(recipes).fill("a b/..c");
  await recipes.getByLabel(/^Access token/).fill("hf_token");
  await recipes.getByLabel(/^Access token/).press("Tab");
  await recipes.locator(".field-error", { hasText: "The name of the repository may have letters, digits, -, _ and . only" }).waitFor();
  assert.equal(await nameOf(recipes).getAttribute("aria-invalid"), "true");
  assert.equal(await ownerOf(recipes).getAttribute("aria-invalid"), null);
  assert.equal(await recipes.getByText("hf_repo_id").count(), 0);
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await page.waitForFunction(() => document.activeElement.name === "hf_name");
  await checkState(page, "repository name");
});

pageTest("who signs out leaves no owner behind", { errors: [/ERR_FAILED/] }, async (page) => {
  await page.route("**/exports", (route) => route.request().method() === "POST"
    ? route.fulfill({ status: 202, json: {} }) : route.fallback());
  await page.route("**/plans", (route) => route.abort());
  await signIn(page);
  const recipes = await toPublish(page);
  await ownerOf(recipes).fill("ada-at-home");
  await recipes.getByLabel(/^Access token/).fill("hf_token");
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("[name=hf_token]").value === "");
  await page.reload();
  await recipes.getByRole("radio", { name: "Publish it" }).check();
  assert.equal(await ownerOf(recipes).inputValue(), "ada-at-home", "it is proposed for the next export");

  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, "ben");
  const tickets = jobItem(page, "Support tickets");
  await tickets.getByRole("radio", { name: "Publish it" }).check();
  assert.equal(await ownerOf(tickets).inputValue(), "");
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify({ ...localStorage })), /ada-at-home/);
});

pageTest("who can see a public repository is said without a contradiction to one that exists", {}, async (page) => {
  await signIn(page);
  const recipes = await toPublish(page);
  await recipes.getByRole("checkbox", { name: "Public" }).check();
  await recipes.getByText(/^Everybody can see and download the model.* A repository that exists keeps its visibility\.$/).waitFor();
});
