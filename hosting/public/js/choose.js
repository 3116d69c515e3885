// The form of a new export: what the person wants to do with the model, from which type and quantization follow.

import { planExport, startExport } from "./api.js";
import { element } from "./dom.js";
import { restoreDraft } from "./drafts.js";
import { ExpertFields } from "./expert.js";
import { markInvalid } from "./fields.js";
import { bytes } from "./format.js";
import { HubFields } from "./hub.js";
import { planParts, planProblem } from "./plan.js";
import { MOST, OF_LORA, QUANTIZATIONS, RUN_CHOICES, memory, quantizationOf } from "./quantizations.js";

const GOALS = [
  { id: "run", title: "Run it on this computer", hint: "A GGUF file for Ollama, LM Studio or llama.cpp" },
  { id: "serve", title: "Serve it", hint: "The merged model for vLLM, SGLang or transformers" },
  { id: "train", title: "Go on training", hint: "The LoRA adapter for PEFT, Unsloth or Axolotl" },
  { id: "publish", title: "Publish it", hint: "A repository on the Hugging Face Hub" },
  { id: "all", title: "Choose from everything", hint: "Every type and quantization, several at once" },
];
const TYPES = [
  { id: "adapter", title: "Adapter", hint: "The LoRA as it was trained; needs the base model" },
  { id: "merged", title: "Merged model", hint: "A full model in safetensors files" },
  { id: "gguf", title: "GGUF", hint: "One file for each quantization, for llama.cpp and Ollama" },
  { id: "lora", title: "Adapter as GGUF", hint: "For llama.cpp's --lora, beside a GGUF of the base model" },
];
/** How long after the last change the plan is requested. */
const PLAN_DELAY_MS = 300;

/** What is wrong with how many types are chosen. */
function countText({ length }) {
  return length === 0 ? "Choose at least one quantization type." : `Choose at most ${MOST}: ${length} are chosen.`;
}

export class ExportForm {
  /** `onStarted` is called when an export has started, `onFailed` with the problem when none has, as far as known. */
  constructor({ job, title, onStarted, onFailed }) {
    Object.assign(this, { job, title, onStarted, onFailed, sizes: new Map() });
    this.id = `form-${crypto.randomUUID()}`;
    this.build();
    restoreDraft(this.root);
    this.choose();
  }

  build() {
    const radios = (name, choices, checked) =>
      choices.map(({ id, title, hint }) => this.choice("radio", name, id, title, hint, id === checked));
    this.runChoices = this.group("How precise?", RUN_CHOICES.map(({ name, title }) =>
      this.choice("radio", "run_quantization", name, `${title} (${name})`, "", name === RUN_CHOICES[0].name)));
    this.publishTypes = this.group("As what?", radios("publish_type", TYPES.slice(0, 3), "merged"));
    this.types = this.group("Type", radios("type", TYPES, "gguf"));
    this.quantizations = this.group(`Quantization types, up to ${MOST}`, QUANTIZATIONS.map(({ name, bits, hint }) =>
      this.choice("checkbox", "quantizations", name, name, `${bits} bits per weight. ${hint}`, name === "q8_0")));
    this.quantizations.classList.add("quantizations");
    this.expert = new ExpertFields(this.id);
    this.full = element("p", { class: "small", hidden: true },
      "This is a full fine-tune, so there is no adapter to export.");
    this.toHub = element("input", { type: "checkbox", name: "to_hub" });
    this.toHubLabel = element("label", { class: "check" }, this.toHub, " Also put it on the Hugging Face Hub");
    this.hub = new HubFields(this.title, this.id, `#${encodeURIComponent(this.job.job_id)}`);
    this.plan = element("div", { class: "plan", role: "status" });
    this.error = element("p", { class: "notice", role: "alert", hidden: true, tabindex: "-1" });
    this.button = element("button", { type: "submit" }, "Export");
    this.limits = element("p", { class: "small", role: "status" });
    this.root = element("form", { class: "start", novalidate: true, "aria-label": `New export of ${this.title}`, "data-draft": this.job.job_id },
      this.group("What do you want to do with it?", radios("goal", GOALS, "run")),
      this.full, this.runChoices, this.publishTypes, this.types, this.quantizations, this.expert.root, this.toHubLabel,
      this.hub.root,
      this.plan, this.error, this.button, this.limits,
    );
    this.root.addEventListener("change", () => this.choose());
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  group(legend, choices) {
    return element("fieldset", { class: "group" }, element("legend", {}, legend), element("div", { class: "choices" }, choices));
  }

  choice(type, name, value, title, hint, checked) {
    const id = `${this.id}-${name}-${value}`;
    const input = element("input", { type, name, value, id, checked, "aria-describedby": `${id}-hint` });
    return element("div", { class: "choice" },
      input,
      element("label", { for: id }, title),
      element("span", { class: "small hint", id: `${id}-hint` }, hint));
  }

  value(name) {
    return this.root.elements[name].value;
  }

  get goal() {
    return this.value("goal");
  }

  /** The type that follows from the choices: one of TYPES. */
  get type() {
    switch (this.goal) {
      case "run": return "gguf";
      case "serve": return "merged";
      case "train": return this.isFull ? "merged" : "adapter";
      case "publish": return this.value("publish_type");
      default: return this.value("type");
    }
  }

  get chosenQuantizations() {
    if (this.goal !== "all") {
      return [this.goal === "run" ? this.value("run_quantization") : RUN_CHOICES[0].name];
    }
    return [...this.root.elements.quantizations].filter((box) => box.checked && !box.disabled).map((box) => box.value);
  }

  /** What the form asks for. */
  request({ withHub = this.wantsHub, withExpert = true } = {}) {
    const type = this.type;
    const request = {
      job_id: this.job.job_id,
      export_type: type === "lora" ? "gguf" : type,
      destination: ["gcs"],
      ...(type === "lora" && { gguf_kind: "lora" }),
      ...(["gguf", "lora"].includes(type) && { quantizations: this.chosenQuantizations }),
    };
    if (withExpert) {
      this.expert.addTo(request);
    }
    if (withHub) {
      this.hub.addTo(request);
    }
    return request;
  }

  get wantsHub() {
    return this.goal === "publish" || this.toHub.checked;
  }

  /** Shows what belongs to the choices, and plans the export. */
  choose() {
    const { goal, type } = this;
    this.runChoices.hidden = goal !== "run";
    this.publishTypes.hidden = goal !== "publish";
    this.types.hidden = goal !== "all";
    this.quantizations.hidden = goal !== "all" || !["gguf", "lora"].includes(type);
    this.expert.show(goal === "all" ? type : null, this.chosenQuantizations);
    this.toHubLabel.hidden = goal === "publish";
    this.hub.show(this.wantsHub);
    this.hub.propose(type === "lora" ? "gguf" : type);
    for (const box of this.root.elements.quantizations) {
      box.disabled = type === "lora" && !OF_LORA.includes(box.value);
    }
    this.key = null;
    this.showError(null);
    this.requestPlan();
  }

  /** Plans the export shortly after the last change, when the form can be seen. */
  requestPlan() {
    clearTimeout(this.planTimer);
    this.planning?.abort();
    this.plan.classList.remove("busy");
    if (this.opened) {
      // unless the list was cleared meanwhile: somebody else may be signed in
      this.planTimer = setTimeout(() => this.root.isConnected && this.makePlan(), PLAN_DELAY_MS);
    }
  }

  /** Called when the form is seen for the first time. */
  open() {
    if (!this.opened) {
      this.opened = true;
      this.hub.showReturn();
      this.requestPlan();
    }
  }

  /** Called when somebody has signed in or out on the Hub. */
  drawHubAccount() {
    this.hub.drawAccount();
    if (this.wantsHub) {
      this.choose();
    }
  }

  async makePlan() {
    const quantizations = this.chosenQuantizations;
    if (!this.quantizations.hidden && !this.expert.hasSize && (quantizations.length === 0 || quantizations.length > MOST)) {
      this.plan.replaceChildren(planProblem(countText(quantizations)));
      return;
    }
    if (this.expert.firstInvalid()) {
      this.plan.replaceChildren();
      return;
    }
    this.planning = new AbortController();
    const { signal } = this.planning;
    this.plan.classList.add("busy");
    try {
      const plan = await planExport(this.request({ withHub: this.wantsHub && this.hub.isFilled }), signal);
      this.drawPlan(plan);
      this.drawSizes(plan);
      await this.planSizes(signal);
    } catch (problem) {
      if (problem.name !== "AbortError") {
        const text = problem.status === 422 ? `This export would fail: ${problem.message}` : problem.message;
        this.plan.replaceChildren(...(this.expert.mark(problem) ? [] : [planProblem(text)]));
      }
    }
    if (!signal.aborted) {
      this.plan.classList.remove("busy");
    }
  }

  drawPlan(plan) {
    if (plan.adapter === null && this.type !== "adapter") {
      this.setFull();
    }
    const isOpen = this.plan.querySelector("details")?.open;
    this.plan.replaceChildren(...planParts(plan, { runs: ["gguf", "merged"].includes(this.type), isOpen }));
  }

  /** There is no adapter: what would fail is not offered. */
  setFull() {
    this.isFull = true;
    for (const unavailable of ["type-adapter", "type-lora", "publish_type-adapter"]) {
      this.root.querySelector(`#${this.id}-${unavailable}`).disabled = true;
    }
    this.full.hidden = false;
    this.root.querySelector(`#${this.id}-goal-train-hint`).textContent = "The full model in safetensors files";
  }

  /** Requests the sizes of the quantizations on display that are not known yet. */
  async planSizes(signal) {
    if (this.type !== "gguf" || !["run", "all"].includes(this.goal)) {
      return;
    }
    const displayed = this.goal === "run" ? RUN_CHOICES : QUANTIZATIONS;
    const names = displayed.map(({ name }) => name).filter((name) => !this.sizes.has(name));
    for (let first = 0; first < names.length; first += MOST) {
      const request = { ...this.request({ withHub: false, withExpert: false }), quantizations: names.slice(first, first + MOST) };
      this.drawSizes(await planExport(request, signal));
    }
  }

  drawSizes(plan) {
    for (const file of plan.files) {
      const name = quantizationOf(file.name);
      if (name) {
        this.sizes.set(name, file.bytes);
      }
    }
    for (const [name, size] of this.sizes) {
      const hint = this.root.querySelector(`#${this.id}-run_quantization-${name}-hint`);
      if (hint) {
        const recommended = name === RUN_CHOICES[0].name ? ". Recommended" : "";
        hint.textContent = `${bytes(size)}, about ${bytes(memory(size))} of memory${recommended}`;
      }
      const { bits, hint: text } = QUANTIZATIONS.find((one) => one.name === name);
      this.root.querySelector(`#${this.id}-quantizations-${name}-hint`).textContent = `${bytes(size)}, ${bits} bits per weight. ${text}`;
    }
  }

  /** While an export of the job runs, no other is started. */
  setRunning(running) {
    this.running = running;
    this.drawButton();
  }

  drawButton() {
    this.button.setAttribute("aria-disabled", String(Boolean(this.running || this.starting)));
    this.button.textContent = this.starting ? "Starting…" : this.running ? "An export is running" : "Export";
  }

  async submit() {
    if (this.running || this.starting) {
      return;
    }
    const invalid = this.expert.firstInvalid() ?? (this.wantsHub ? this.hub.firstInvalid() : null);
    if (invalid) {
      invalid.focus();
      return;
    }
    this.starting = true;
    this.drawButton();
    // the same key as before if the response to the same request was lost
    this.key ??= crypto.randomUUID();
    try {
      const left = await startExport(this.request(), this.key);
      this.key = null;
      if (this.wantsHub) {
        this.hub.started();
      }
      this.running = true;
      this.drawLimits(left);
      this.showError(null);
      this.onStarted();
    } catch (problem) {
      this.key = problem.isTemporary ? this.key : null;
      this.showProblem(problem);
      this.onFailed(problem);
    }
    this.starting = false;
    this.drawButton();
  }

  /** Shows a problem at the field that it is about, else above the button. */
  showProblem(problem) {
    const option = this.expert.mark(problem);
    if (option) {
      option.focus();
      return;
    }
    const field = this.wantsHub && this.hub.fieldOf(problem.field);
    const text = problem.message.replace(`${problem.field}: `, "");
    if (field) {
      markInvalid(field, problem.field === "hf_repo_id" ? `The repository ${text}` : `The token ${text}`);
      field.input.focus();
    } else {
      this.showError(text.charAt(0).toUpperCase() + text.slice(1));
    }
  }

  showError(text) {
    this.error.hidden = !text;
    this.error.textContent = text ?? "";
  }

  /** Says how many more exports may run and start. */
  drawLimits({ running, daily }) {
    const texts = [running && `${running} more at the same time`, daily && `${daily} more within 24 hours`].filter(Boolean);
    this.limits.textContent = texts.length > 0 ? `You may start ${texts.join(", and ")}.` : "";
  }
}
