// 300 jobs: short, searchable, and without a request for a job that nobody has seen.

import assert from "node:assert/strict";

import { checkState, origin, pageTest, signIn } from "./support.mjs";

const JOBS = 300;

pageTest("300 jobs are searched and shown page by page", {}, async (page) => {
  // the list of a job that the stack has, under many names
  await page.route(/\/exports$/, async (route) => {
    const [, job] = await (await route.fetch()).json();
    const numbers = Array.from({ length: JOBS }, (_, index) => index + 1);
    await route.fulfill({ json: numbers.map((n) => ({ ...job, job_id: `run-${n}`, job_name: `Run ${n} of the sweep` })) });
  });
  await page.route("**/exports/run-*", async (route) => {
    const response = await route.fetch({ url: `${origin}/exports/ada-recipes` });
    await route.fulfill({ response });
  });
  const requests = [];
  page.on("request", (request) => requests.push(new URL(request.url()).pathname));
  await signIn(page);
  await page.getByText(`20 of ${JOBS} jobs`).waitFor();
  await page.waitForLoadState("networkidle");
  const details = () => requests.filter((path) => path.startsWith("/exports/")).length;
  assert.ok(details() <= 20, `${details()} requests of jobs`);
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  assert.ok(height < 3000, `${height} px high`);
  await checkState(page, "crowd");

  await page.getByRole("button", { name: "Show 20 more" }).click();
  await page.getByText(`40 of ${JOBS} jobs`).waitFor();
  const focused = await page.evaluate(() => document.activeElement.closest("li")?.querySelector("h3").textContent);
  assert.ok(focused?.startsWith("Run "), "the focus is on the first job that was added");

  await page.getByLabel("Search by name, base model or date").fill("run 217 sweep");
  await page.getByText("1 job", { exact: true }).waitFor();
  assert.deepEqual(await page.getByRole("heading", { level: 3 }).allTextContents(), ["Run 217 of the sweep"]);
  await page.getByLabel("Search by name, base model or date").fill("nothing like it");
  await page.getByText("No job matches. Change or clear the search.").waitFor();
  await checkState(page, "no match");
});
