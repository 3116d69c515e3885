// What an export made, and how to use it: files, commands and proof.

import { copyable, element, list } from "./dom.js";
import { bytes, slug } from "./format.js";

/**
 * The artifacts of an export, each with its commands. `base` is the name of the base model, or null; `when` names the export where
 * there are others. `open` gets a file and opens a new link to it; it rejects if the file is gone.
 */
export function artifacts({ title, base, when }, latest, open) {
  const name = slug(title);
  const repo = latest.destination.includes("hf_hub") ? latest.hf_repo_id : null;
  const files = latest.artifacts.filter(({ variant }) => variant === "file");
  const hub = latest.artifacts.some(({ variant }) => variant === "hf") ? repo : null;
  const pushed = files.length > 0 ? [] : latest.artifacts.filter(({ variant }) => variant === "hf");
  const made = files.length > 0 ? files : pushed;
  // each artifact has its own proof; that of the export is for want of these
  const haveProof = made.some(({ proof }) => proof);
  const place = { name, hub, base, when, open, isOneOfSeveral: made.length > 1 };
  const parts = [...files.map((artifact) => artifactPart(artifact, latest, place)), ...pushed.map((artifact) => pushedPart(artifact, latest, place))];
  if (hub) {
    parts.unshift(element("p", {}, "On the Hub: ",
      element("a", { href: `https://huggingface.co/${hub}`, rel: "noreferrer" }, hub)));
  }
  return [...parts, !haveProof && proofPart(latest, base, false), findingsPart(latest.proof, when)].filter(Boolean);
}

/** The name of a part, told from those of other exports by `when`. */
const labelOf = (name, when) => (when ? `${name}, ${when}` : name);

function artifactPart(artifact, latest, { name, hub, base, when, open, isOneOfSeveral }) {
  const { files, quantization } = artifact;
  const [main, ...others] = files;
  if (!main) {
    return proofPart(artifact, base, isOneOfSeveral);
  }
  const commands = commandsOf(artifact, latest, { name, hub, base });
  return element("section", { class: "artifact", "aria-label": labelOf(main.name, when) },
    fileLine(main, open, "main", quantization),
    element("dl", { class: "digest small" }, element("dt", {}, "SHA-256"), element("dd", {}, copyable(main.sha256, `SHA-256 of ${main.name}`))),
    others.length > 0 && list(others.map((file) => fileLine(file, open, "other")), { class: "others" }),
    commands.length > 0 && commandsPart(`How to use ${main.name}`, commands, !quantization || latest.quantizations?.length < 2),
    proofPart(artifact, base, isOneOfSeveral),
  );
}

/** An artifact that is on the Hub alone. */
function pushedPart(artifact, latest, { name, hub, base, when, isOneOfSeveral }) {
  const what = isOneOfSeveral ? `${hub} (${artifact.quantization})` : hub;
  const commands = commandsOf(artifact, latest, { name, hub, base });
  return element("section", { class: "artifact", "aria-label": labelOf(what, when) },
    commands.length > 0 && commandsPart(`How to use ${what}`, commands, !isOneOfSeveral),
    proofPart(artifact, base, isOneOfSeveral));
}

function commandsPart(summary, commands, isOpen) {
  return element("details", { class: "commands", open: isOpen },
    element("summary", {}, summary),
    commands.flatMap(([what, text, note]) =>
      [element("p", { class: "program" }, what), note && element("p", { class: "small" }, note), copyable(text, `the commands for ${what}`)]));
}

const ROLES = [
  [/^mmproj-/, "the vision and audio encoders, for --mmproj"],
  [/\.Modelfile$/, "for Ollama"],
  [/report\.json$/, "what was checked, and the result"],
];

function fileLine(file, open, kind, quantization) {
  const role = ROLES.find(([pattern]) => pattern.test(file.name))?.[1];
  const problem = element("span", { class: "bad", role: "alert" });
  const link = element("a", { href: file.link ?? "#", class: kind }, `↓ ${file.name}`);
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    await open(file).catch((error) => (problem.textContent = ` ${error.message}`));
  });
  const facts = [quantization, bytes(file.bytes), role].filter(Boolean).join(", ");
  return element("div", { class: "file" }, link, element("span", { class: "small" }, ` ${facts}`), problem);
}

/** Programs, each with its commands and a note, if there is one to know. */
function commandsOf({ type, quantization, files }, latest, { name, hub, base }) {
  const find = (pattern) => files.find((file) => pattern.test(file.name))?.name;
  const gguf = find(/^(?!mmproj-).*\.gguf$/);
  if (type === "gguf" && latest.gguf_kind === "lora") {
    return !gguf ? [] : [["llama.cpp", `llama-cli -m BASE-MODEL.gguf --lora ${gguf}`]];
  }
  if (type === "gguf") {
    const tag = quantization ? `:${quantization.toUpperCase()}` : "";
    const model = quantization ? `${name}:${quantization}` : name;
    const modelfile = find(/\.Modelfile$/);
    const mmproj = find(/^mmproj-/);
    return [
      hub && ["Ollama, from the Hub", `ollama run hf.co/${hub}${tag}`],
      hub && ["llama.cpp, from the Hub", `llama-cli -hf ${hub}${tag}`],
      modelfile && ["Ollama", `ollama create ${model} -f ${modelfile}\nollama run ${model}`, "In the folder that has both files."],
      gguf && ["llama.cpp", mmproj ? `llama-mtmd-cli -m ${gguf} --mmproj ${mmproj}` : `llama-cli -m ${gguf}`],
    ].filter(Boolean);
  }
  const archive = find(/\.zip$/);
  const unpack = archive ? `unzip ${archive} -d ${name}\n` : "";
  const path = hub ?? `./${name}`;
  if (type === "adapter") {
    const python = `from peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer\n\nmodel = AutoPeftModelForCausalLM.from_pretrained("${path}", is_trainable=True)\ntokenizer = AutoTokenizer.from_pretrained("${base ?? path}")`;
    const note = base && `If the adapter has a tokenizer of its own (tokenizer_config.json), load it from "${path}".`;
    return [["unpacking", unpack.trim()], ["PEFT", python, note]].filter(([, text]) => text);
  }
  const python = `from transformers import pipeline\n\nchat = pipeline("text-generation", model="${path}")\nprint(chat([{"role": "user", "content": "Hello!"}], max_new_tokens=100))`;
  return [["vLLM", `${hub ? "" : unpack}vllm serve ${path}`], ["transformers", python]];
}

/** What was proved about the artifact, in a sentence and in detail. */
function proofPart({ proof, quantization }, base, isOneOfSeveral) {
  if (!proof) {
    return null;
  }
  const number = (value) => (value === null ? null : value.toPrecision(3));
  const details = [
    ["LoRA pairs merged", proof.pairs],
    ["Tensors changed", proof.tensors_changed],
    ["Tensors unchanged", proof.tensors_unchanged],
    ["Largest change of a weight", number(proof.largest_change)],
    ["Error of quantization (RMS)", number(proof.rmse)],
    ["Predictions compared (tokens)", proof.logits?.tokens],
    ["Mean KL divergence (nats)", number(proof.logits?.kl_mean ?? null)],
    ["Same next token", proof.logits && `${(100 * proof.logits.top1).toFixed(1)} %`],
    ["KL divergence from the fine-tuned model (nats)", number(proof.survival?.kl_export ?? null)],
    ["KL divergence of the base from it (nats)", number(proof.survival?.kl_base ?? null)],
    ["Changed tokens that are the same", sharePart(proof.survival?.changed_top1 ?? null)],
    ["Tensors whose change is kept least (cosine)", worstPart(proof.survival?.worst_tensors ?? [])],
  ].filter(([, value]) => value !== null && value !== undefined);
  const sentence = proof.pairs > 0
    ? `Checked: all ${proof.pairs} LoRA pairs were merged, which changed ${proof.tensors_changed} tensors and left ${proof.tensors_unchanged} as they are.`
    : "Checked: no adapter was merged, and every tensor is as it was trained.";
  return element("div", { class: "proof" },
    element("p", {}, sentence),
    survivalPart(proof.survival, isOneOfSeveral ? quantization : null),
    proof.survival && leftOutPart(proof.survival.prompts),
    besidePart(proof.survival, quantization ?? "q4_0", base),
    element("details", {}, element("summary", {}, isOneOfSeveral ? `The proof of ${quantization} in detail` : "The proof in detail"),
      element("dl", {}, details.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))])),
      samplesPart(proof.survival?.samples ?? [])));
}

/** A share in percent, rounded down. */
function sharePart(share) {
  return share === null ? null : `${(Math.floor(1000 * share) / 10).toFixed(1)} %`;
}

/** The tensors with the cosines of their wanted and stored changes, the worst first. */
function worstPart(tensors) {
  return tensors.length === 0 ? null : tensors.map(({ tensor, cosine }) => `${tensor} ${cosine.toFixed(3)}`).join(", ");
}

/** `type` names the artifact where there are several. */
function survivalPart(survival, type) {
  if (!survival) {
    return null;
  }
  const { source, used } = survival.prompts;
  const prompts = source === "fixed" ? "four fixed texts" : used === 1 ? "1 prompt of yours" : `${used} prompts of yours`;
  if (survival.survival === null) {
    return element("p", {}, `The fine-tune changes the predictions on ${prompts} too little to say how much of it is kept.`);
  }
  const share = percent(survival.survival);
  const keeps = type ? `${type} keeps` : "Keeps";
  return element("p", {}, survival.survival < 0
    ? `${keeps} nothing of what the fine-tune changed (${share} %, further from the fine-tuned model than the base is), measured on ${prompts}.`
    : `${keeps} ${share} % of what the fine-tune changed, measured on ${prompts}.`);
}

/** The prompts that could not be used, and why. */
function leftOutPart({ available, left_out: leftOut }) {
  if (!leftOut) {
    return null;
  }
  const { count, first } = leftOut;
  return element("p", { class: "small" }, count === 1
    ? `1 of your ${available} prompts was left out: ${first}`
    : `${count} of your ${available} prompts were left out, the first: ${first}`);
}

function percent(share) {
  return share > 0.999 ? "more than 99.9" : (100 * share).toFixed(share > 0.99 ? 1 : 0);
}

/** What the base in this type keeps with the adapter beside it, and the commands that make and load both. */
function besidePart(survival, type, base) {
  const share = survival?.adapter_beside?.survival ?? null;
  if (share === null) {
    return null;
  }
  const more = share > survival.survival ? ", which is more" : "";
  const commands = `gemma-export gguf --base ${base ?? "BASE-MODEL"} --quant ${type} --out base.gguf\n`
    + "llama-server -m base.gguf --lora lora-f16.gguf";
  return element("div", {},
    element("p", {}, `Keeps ${percent(Math.max(0, share))} % with the adapter beside the base in this type${more}.`),
    element("details", { class: "commands" },
      element("summary", {}, `How to use the adapter beside the base in ${type}`),
      element("p", { class: "small" }, "The file lora-f16.gguf is the export \"Adapter as GGUF\" of this job, as f16."),
      copyable(commands, `the commands for the adapter beside the base in ${type}`)));
}

/** The answers of the models to some prompts, side by side. */
function samplesPart(samples) {
  const answers = ({ base, fine_tuned: fineTuned, export: exported }) =>
    [["Base model", base], ["Fine-tuned model", fineTuned], ["This export", exported]].map(([name, answer]) =>
      [element("dt", {}, name), element("dd", {}, answer.trim() || "(blank)")]);
  return samples.map((sample, number) => element("section", { class: "sample", "aria-label": `Answers to prompt ${number + 1}` },
    element("p", { class: "program" }, sample.prompt), element("dl", {}, answers(sample).flat())));
}

/** What programs that serve the model will meet. */
function findingsPart(proof, when) {
  const serious = (proof?.findings ?? []).filter(({ severity }) => severity !== "note");
  return serious.length > 0 && element("section", { class: "findings", "aria-label": labelOf("What to know before serving it", when) },
    element("p", {}, "What to know before serving it:"),
    list(serious.map(({ message, remedy }) => `${message}: ${remedy}`)));
}
