// What a person does with the page, from signing in to a downloaded file.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { checkState, origin, pageTest, signIn } from "./support.mjs";

const job = (page, name) => page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });

pageTest("a person signs in, sees her completed jobs, and signs out", {}, async (page) => {
  await page.getByText("This is a local stack").waitFor();
  await checkState(page, "sign in");
  await signIn(page);
  await job(page, "Upload cut short").waitFor();
  assert.deepEqual(await page.getByRole("heading", { level: 3 }).allTextContents(), [
    "Sonnets", "Family recipes", "Assistant, full fine-tune", "Upload cut short",
  ]);
  await checkState(page, "jobs");
  await page.reload();
  await job(page, "Sonnets").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in as ben" }).waitFor();
  assert.equal(await page.getByRole("heading", { level: 3 }).count(), 0);
});

pageTest("a user without jobs is told why the list is empty", {}, async (page) => {
  const { token } = await (await fetch(`${origin}/__/local/token?user=nobody`, { method: "POST" })).json();
  await page.evaluate((token) => sessionStorage.setItem("token", token), token);
  await page.reload();
  await page.getByText("You have no completed training jobs").waitFor();
  await checkState(page, "no jobs");
});

pageTest("an export is planned, started, followed and downloaded", {}, async (page) => {
  await signIn(page);
  const recipes = job(page, "Family recipes");
  await recipes.getByRole("checkbox", { name: "q4_k_m" }).check();
  await recipes.getByRole("button", { name: "What would it make?" }).click();
  await recipes.getByText("It reads").waitFor();
  const planned = await recipes.locator(".plan-files li").allTextContents();
  assert.deepEqual(planned.map((line) => line.split(" ")[0]), [
    "model.gguf", "model.Modelfile", "model.report.json", "model-q4_k_m.gguf", "model-q4_k_m.Modelfile", "model-q4_k_m.report.json",
  ]);
  await checkState(page, "plan");

  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await recipes.getByText("GGUF completed").waitFor();
  await recipes.getByRole("link", { name: /model-q4_k_m\.gguf/ }).waitFor();
  await checkState(page, "completed");

  const link = recipes.getByRole("link", { name: /model-q4_k_m\.gguf/ });
  const sha256 = (await link.getAttribute("title")).replace("SHA-256 ", "");
  const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
  assert.equal(download.suggestedFilename(), "model-q4_k_m.gguf");
  const bytes = readFileSync(await download.path());
  assert.equal(bytes.subarray(0, 4).toString(), "GGUF");
  assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256);
});

pageTest("a running export is cancelled", {}, async (page) => {
  await signIn(page);
  const sonnets = job(page, "Sonnets");
  for (const name of ["q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"]) {
    await sonnets.getByRole("checkbox", { name }).check();
  }
  await sonnets.getByRole("button", { name: "Export", exact: true }).click();
  await sonnets.getByText("GGUF running").waitFor();
  await checkState(page, "running");
  await sonnets.getByRole("button", { name: /Cancel/ }).click();
  await sonnets.getByText("GGUF failed (cancelled)").waitFor();
});

pageTest("an export that fails says why", {}, async (page) => {
  await signIn(page);
  const broken = job(page, "Upload cut short");
  await broken.getByRole("button", { name: "Export", exact: true }).click();
  await broken.getByText("GGUF failed (invalid input)").waitFor();
  await broken.getByText("is it truncated?").waitFor();
  await checkState(page, "failed");
});

pageTest("an address without a page is answered by a page", { errors: [/status of 404/] }, async (page) => {
  await page.goto(`${origin}/nothing/here`);
  await page.getByRole("heading", { name: "Page not found" }).waitFor();
  await checkState(page, "not found");
});
