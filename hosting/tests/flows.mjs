// What a person does with the page, from signing in to a downloaded file.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import { api, checkState, jobItem, openJob, origin, pageTest, signIn, signInAs } from "./support.mjs";

pageTest("a person signs in, sees her completed jobs, and signs out", {}, async (page) => {
  await page.getByText("This is a local stack").waitFor();
  assert.ok((await page.getByRole("link", { name: "The API of the service" }).getAttribute("href")) === "/docs/");
  await checkState(page, "sign in");
  await signIn(page);
  await jobItem(page, "Upload cut short").waitFor();
  assert.deepEqual(await page.getByRole("heading", { level: 3 }).allTextContents(), [
    "Sonnets", "Family recipes", "Assistant, full fine-tune", "Upload cut short",
  ]);
  assert.match(await jobItem(page, "Sonnets").textContent(), /6 May 2026|May 6, 2026/);
  await checkState(page, "jobs");
  await page.reload();
  await jobItem(page, "Sonnets").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in as ben" }).waitFor();
  assert.equal(await page.getByRole("heading", { level: 3 }).count(), 0);
});

pageTest("a user without jobs is told why the list is empty", {}, async (page) => {
  await signInAs(page, "nobody");
  await page.getByText("You have no completed training jobs").waitFor();
  await checkState(page, "no jobs");
});

pageTest("an export to run the model is planned, started, followed and downloaded", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  await recipes.getByText(/about .* of memory\. Recommended/).waitFor();
  await checkState(page, "choose");
  await recipes.getByRole("radio", { name: /q4_k_m/ }).check();
  await recipes.getByText("3 files").click();
  const planned = await recipes.locator(".plan-files li").filter({ hasText: "q4_k_m" });
  await planned.first().waitFor();
  const texts = await planned.allTextContents();
  assert.deepEqual(texts.map((line) => line.split(" ")[0]), ["model-q4_k_m.gguf", "model-q4_k_m.Modelfile", "model-q4_k_m.report.json"]);

  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await recipes.getByText("GGUF q4_k_m completed").first().waitFor();
  const link = recipes.getByRole("link", { name: "↓ model-q4_k_m.gguf" });
  await link.waitFor();
  await recipes.getByText("ollama run family-recipes").waitFor();
  await recipes.getByText(/Checked: all \d+ LoRA pairs were merged/).waitFor();
  await recipes.getByText(/^Keeps .* % of what the fine-tune changed/).waitFor();
  await recipes.getByText("The proof in detail").click();
  await recipes.getByText("All exports of this job").click();
  await recipes.locator(".history li").first().waitFor();
  await checkState(page, "completed");

  const sha256 = await recipes.locator(".artifact .digest code").first().textContent();
  const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
  assert.equal(download.suggestedFilename(), "model-q4_k_m.gguf");
  const bytes = readFileSync(await download.path());
  assert.ok(texts[0].includes(`(${(bytes.length / 1e3).toFixed(1)} kB)`), `${texts[0]} has ${bytes.length} bytes`);
  assert.equal(bytes.subarray(0, 4).toString(), "GGUF");
  assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256);
});

pageTest("a type that keeps little of the fine-tune is said once, with the type to take", {}, async (page) => {
  await page.route("**/exports/ada-recipes", async (route) => {
    const job = await (await route.fetch()).json();
    job.latest_export.message = "GGUF export is complete; q4_k_m keeps 41 % of the fine-tune: take q8_0";
    job.latest_export.artifacts[0].proof.survival.survival = 0.41;
    await route.fulfill({ json: job });
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText("Keeps 41 % of what the fine-tune changed, measured on four fixed texts.", { exact: true }).waitFor();
  const text = await recipes.locator(".export").textContent();
  assert.deepEqual(text.match(/\btake\b[^.]*?(q8_0|type)/gi), ["take q8_0"]);
});

pageTest("what the adapter beside its base keeps is shown, with the commands that load both", {}, async (page) => {
  await page.route("**/exports/ada-recipes", async (route) => {
    const job = await (await route.fetch()).json();
    Object.assign(job.latest_export.artifacts[0], { quantization: "q4_0" });
    Object.assign(job.latest_export.artifacts[0].proof.survival, {
      survival: 0.41,
      changed_top1: 0.8759,
      worst_tensors: [{ tensor: "model.layers.0.mlp.down_proj.weight", cosine: 0.51, norm_ratio: 0.9 }, { tensor: "lm_head.weight", cosine: 0.9, norm_ratio: 1 }],
      adapter_beside: { survival: 0.9987, kl: 1e-5, changed_top1: 1 },
    });
    await route.fulfill({ json: job });
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText("Keeps 41 % of what the fine-tune changed, measured on four fixed texts.", { exact: true }).waitFor();
  await recipes.getByText("Keeps 99.9 % with the adapter beside the base in this type, which is more.", { exact: true }).waitFor();
  await recipes.getByText("The proof in detail").click();
  await recipes.getByText("model.layers.0.mlp.down_proj.weight 0.510, lm_head.weight 0.900", { exact: true }).waitFor();
  await recipes.getByText("87.5 %", { exact: true }).waitFor();
  await recipes.getByText("How to use the adapter beside the base in q4_0").click();
  const base = (await api("ada", "/exports")).find(({ job_name: name }) => name === "Family recipes").base_model_id;
  const commands = await recipes.getByRole("group", { name: "the commands for the adapter beside the base in q4_0" }).textContent();
  assert.deepEqual(commands.split("\n"), [
    `gemma-export gguf --base ${base} --quant q4_0 --out base.gguf`,
    "llama-server -m base.gguf --lora lora-f16.gguf",
  ]);
  await checkState(page, "adapter beside its base");
});

pageTest("an export that is further from the fine-tuned model than the base is said to keep nothing", {}, async (page) => {
  await page.route("**/exports/ada-recipes", async (route) => {
    const job = await (await route.fetch()).json();
    job.latest_export.artifacts[0].proof.survival.survival = -0.123;
    await route.fulfill({ json: job });
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  const text = "Keeps nothing of what the fine-tune changed (-12 %, further from the fine-tuned model than the base is), "
    + "measured on four fixed texts.";
  await recipes.getByText(text, { exact: true }).waitFor();
});

pageTest("prompts that were left out are counted, with where the first is and why", {}, async (page) => {
  const first = "line 3: its length is not 1 to 512 tokens";
  let count = 2;
  await page.route("**/exports/ada-recipes", async (route) => {
    const job = await (await route.fetch()).json();
    const prompts = { source: "file", available: 20, used: 16, left_out: { count, first } };
    Object.assign(job.latest_export.artifacts[0].proof.survival, { survival: 0.93, prompts });
    await route.fulfill({ json: job });
  });
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText("Keeps 93 % of what the fine-tune changed, measured on 16 prompts of yours.", { exact: true }).waitFor();
  await recipes.getByText(`2 of your 20 prompts were left out, the first: ${first}`, { exact: true }).waitFor();
  await checkState(page, "prompts left out");
  count = 1;
  // with the job open
  await page.reload();
  await recipes.getByText(`1 of your 20 prompts was left out: ${first}`, { exact: true }).waitFor();
});

pageTest("commands are copied", { permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("button", { name: "Copy the commands for Ollama" }).click();
  await recipes.getByRole("status").filter({ hasText: "Copied" }).waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied, "ollama create family-recipes:q4_k_m -f model-q4_k_m.Modelfile\nollama run family-recipes:q4_k_m");
});

pageTest("an expert chooses several types, with the size and a hint of every type", {}, async (page) => {
  await signIn(page);
  const sonnets = await openJob(page, "Sonnets");
  await sonnets.getByRole("radio", { name: "Choose from everything" }).check();
  const hints = sonnets.locator(".quantizations .hint");
  assert.equal(await hints.count(), 19);
  await sonnets.locator(".quantizations .hint", { hasText: "MB" }).nth(18).waitFor();
  await checkState(page, "expert");
  const boxes = sonnets.locator(".quantizations");
  await boxes.getByRole("checkbox", { name: "q8_0", exact: true }).uncheck();
  await sonnets.getByText("Choose at least one quantization type.").waitFor();
  for (const name of ["q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"]) {
    await boxes.getByRole("checkbox", { name, exact: true }).check();
  }
  await sonnets.getByText("15 files").waitFor();
  await sonnets.getByRole("button", { name: "Export", exact: true }).click();
  await sonnets.locator(".status.running").waitFor();
  await sonnets.getByRole("button", { name: "An export is running" }).waitFor();
  await checkState(page, "running");
  await sonnets.getByRole("button", { name: /Cancel/ }).click();
  await sonnets.getByText(/failed \(cancelled\)/).first().waitFor();
  await sonnets.getByText("You cancelled it.").first().waitFor();
});

pageTest("an expert measures with prompts of their own, and chooses types for a size", { errors: [/status of 4(00|22)/] }, async (page) => {
  const job = (await api("ada", "/exports")).find(({ job_name: name }) => name === "Family recipes");
  const prompts = `${job.adapter_path.replace(/\/$/, "")}/prompts.txt`;
  writeFileSync(new URL(prompts), "How do I bake bread?\nWhat is salt?\n");
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Choose from everything" }).check();
  await recipes.getByText("More options").click();
  assert.ok(!(await recipes.getByLabel("Text for an importance matrix").isVisible()), "q8_0 uses no importance matrix");
  const size = recipes.getByLabel("Largest size of the file, in GB");
  await size.fill("some");
  await size.press("Tab");
  await recipes.getByText("Enter a size in GB, for example 4.").waitFor();
  await recipes.getByLabel("Text for an importance matrix").waitFor();
  await checkState(page, "expert options");
  await size.fill("0.000001");
  await size.press("Tab");
  await recipes.getByText(/^No file of this model is that small: enter at least 0\.\d+ GB\.$/).waitFor();
  await size.fill("1");
  await recipes.getByLabel("Your own prompts").fill(prompts);
  await size.press("Tab");
  await recipes.getByText(/Types of the tensors: \d+ ×/).waitFor();
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await recipes.getByText(/GGUF of at most .* completed/).first().waitFor();
  await recipes.getByText(/measured on 2 prompts of yours/).waitFor();
  await recipes.getByText("ollama run family-recipes").waitFor();
  await recipes.getByText("The proof in detail").click();
  const first = recipes.getByRole("region", { name: "Answers to prompt 1" });
  await first.getByText("How do I bake bread?").waitFor();
  assert.deepEqual(await first.locator("dt").allTextContents(), ["Base model", "Fine-tuned model", "This export"]);
  await checkState(page, "samples");
});

pageTest("an export that fails says why and what to do", {}, async (page) => {
  await signIn(page);
  const sonnets = await openJob(page, "Sonnets");
  await sonnets.getByText("All exports of this job").click();
  await sonnets.locator(".history li", { hasText: "You cancelled it." }).waitFor();
  await checkState(page, "history");
});

pageTest("what would fail is said before it starts", { errors: [/status of 422/] }, async (page) => {
  await signIn(page);
  const broken = await openJob(page, "Upload cut short");
  await broken.getByText(/This export would fail: .*: the file is truncated or damaged; copy or upload it again$/).waitFor();
  await checkState(page, "would fail");
  await broken.getByRole("button", { name: "Export", exact: true }).click();
  await broken.getByText("GGUF q8_0 failed (invalid input)").waitFor();
  await broken.locator(".export").getByText(/: the file is truncated or damaged; copy or upload it again$/).waitFor();
  await broken.getByText("Upload the file again or train the adapter again, then export again.").waitFor();
  await checkState(page, "failed");
});

pageTest("an address without a page is answered by a page", { errors: [/status of 404/] }, async (page) => {
  await page.goto(`${origin}/nothing/here`);
  await page.getByRole("heading", { name: "Page not found" }).waitFor();
  await page.getByRole("banner").getByRole("link", { name: "Exports" }).waitFor();
  await checkState(page, "not found");
});
