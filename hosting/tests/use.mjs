// How to use what an export made: commands that work as they are copied.

import assert from "node:assert/strict";

import { api, checkState, openJob, pageTest, signIn } from "./support.mjs";

/** Exports Family recipes, and opens it. */
async function openExported(page, request) {
  await api("ada", "/exports", { job_id: "ada-recipes", ...request });
  await signIn(page);
  return openJob(page, "Family recipes");
}

pageTest("each quantization is a model of its own in Ollama", {}, async (page) => {
  const recipes = await openExported(page, { export_type: "gguf", quantizations: ["q8_0", "q4_k_m"] });
  await recipes.getByText("GGUF q8_0, q4_k_m completed").first().waitFor();
  const commands = await recipes.getByRole("group", { name: "the commands for Ollama", includeHidden: true }).allTextContents();
  assert.deepEqual(commands, [
    "ollama create family-recipes:q8_0 -f model.Modelfile\nollama run family-recipes:q8_0",
    "ollama create family-recipes:q4_k_m -f model-q4_k_m.Modelfile\nollama run family-recipes:q4_k_m",
  ]);
});

pageTest("each file of several has its type and its proof", {}, async (page) => {
  const recipes = await openExported(page, { export_type: "gguf", quantizations: ["q8_0", "q4_k_m", "q2_k"] });
  await recipes.getByText("GGUF q8_0, q4_k_m, q2_k completed").first().waitFor();
  for (const [name, type] of [["model.gguf", "q8_0"], ["model-q4_k_m.gguf", "q4_k_m"], ["model-q2_k.gguf", "q2_k"]]) {
    const card = recipes.getByRole("region", { name, exact: true });
    await card.locator(".file").first().getByText(new RegExp(`^ ?${type}, `)).waitFor();
    await card.getByText(/^Checked: all \d+ LoRA pairs were merged/).waitFor();
    await card.getByText(`The proof of ${type} in detail`).waitFor();
  }
  assert.equal(await recipes.locator(".export .proof").count(), 3, "none is outside of a card");
  await checkState(page, "several types");
});

pageTest("the commands for PEFT load the tokenizer of the base model", {}, async (page) => {
  const recipes = await openExported(page, { export_type: "adapter" });
  await recipes.getByText("Adapter completed").first().waitFor();
  const { base_model_id: base } = (await api("ada", "/exports")).find(({ job_id: id }) => id === "ada-recipes");
  const commands = await recipes.getByRole("group", { name: "the commands for PEFT" }).textContent();
  assert.ok(commands.includes(`AutoPeftModelForCausalLM.from_pretrained("./family-recipes", is_trainable=True)`), commands);
  assert.ok(commands.endsWith(`AutoTokenizer.from_pretrained("${base}")`), commands);
  await recipes.getByText('If the adapter has a tokenizer of its own (tokenizer_config.json), load it from "./family-recipes".').waitFor();
});

pageTest("what is on the Hub alone has its commands, and each type its proof", {}, async (page) => {
  await page.route("**/exports/ada-recipes", async (route) => {
    const response = await route.fetch();
    const job = await response.json();
    const latest = job.latest_export;
    if (latest?.artifacts) {
      const onHub = latest.artifacts.filter(({ variant }) => variant === "file").map((artifact) => ({ ...artifact, variant: "hf", files: [] }));
      Object.assign(latest, { destination: ["hf_hub"], hf_repo_id: "ada/recipes", artifacts: onHub });
    }
    await route.fulfill({ response, json: job });
  });
  const recipes = await openExported(page, { export_type: "gguf", quantizations: ["q8_0", "q4_k_m"] });
  await recipes.getByText("GGUF q8_0, q4_k_m completed").first().waitFor();
  for (const type of ["q8_0", "q4_k_m"]) {
    const card = recipes.getByRole("region", { name: `ada/recipes (${type})`, exact: true });
    await card.getByText(`The proof of ${type} in detail`).waitFor();
    await card.getByText(new RegExp(`^${type} keeps .* % of what the fine-tune changed`)).waitFor();
    const commands = await card.getByRole("group", { name: "the commands for Ollama, from the Hub", includeHidden: true }).textContent();
    assert.equal(commands, `ollama run hf.co/ada/recipes:${type.toUpperCase()}`);
  }
});
