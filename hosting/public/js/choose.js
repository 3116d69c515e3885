// The form of a new export: what the person wants to do with the model, from which type and quantization follow.

import { startExport } from "./api.js";
import { GOALS, TYPES, choice, group } from "./choices.js";
import { element, setText } from "./dom.js";
import { restoreDraft } from "./drafts.js";
import { ExpertFields } from "./expert.js";
import { HubFields } from "./hub.js";
import { problemText } from "./plan.js";
import { Planning } from "./planning.js";
import { MOST, OF_LORA, QUANTIZATIONS, RUN_CHOICES } from "./quantizations.js";
import { Sizes } from "./sizes.js";

export class ExportForm {
  /** `onStarted` is called when an export has started, `onFailed` with the problem when none has, as far as known. */
  constructor({ job, title, onStarted, onFailed }) {
    Object.assign(this, { job, title, onStarted, onFailed, sizes: new Map() });
    this.id = `form-${crypto.randomUUID()}`;
    this.build();
    this.sizes = new Sizes(this.root, this.id);
    restoreDraft(this.root);
    this.choose();
  }

  build() {
    const radios = (name, choices, checked) => choices.map(({ id: value, title, hint }) =>
      choice(this.id, { type: "radio", name, value, title, hint, checked: value === checked }));
    this.runChoices = group("How precise?", RUN_CHOICES.map(({ name: value, title }, index) =>
      choice(this.id, { type: "radio", name: "run_quantization", value, title: `${title} (${value})`, hint: "", checked: index === 0 })));
    this.publishTypes = group("As what?", radios("publish_type", TYPES.slice(0, 3), "merged"));
    this.types = group("Type", radios("type", TYPES, "gguf"));
    this.quantizations = group(`Quantization types, up to ${MOST}`, QUANTIZATIONS.map(({ name: value, bits, hint }) =>
      choice(this.id, { type: "checkbox", name: "quantizations", value, title: value, hint: `${bits} bits per weight. ${hint}`, checked: value === "q8_0" })));
    this.quantizations.classList.add("quantizations");
    this.countError = element("p", { class: "field-error", role: "alert", id: `${this.id}-count`, hidden: true });
    this.quantizations.querySelector("legend").after(this.countError);
    this.quantizations.setAttribute("aria-describedby", this.countError.id);
    this.expert = new ExpertFields(this.id, this.job.adapter_path);
    this.full = element("p", { class: "small", hidden: true },
      "This is a full fine-tune, so there is no adapter to export.");
    this.toHub = element("input", { type: "checkbox", name: "to_hub" });
    this.toHubLabel = element("label", { class: "check" }, this.toHub, " Also put it on the Hugging Face Hub");
    this.hub = new HubFields(this.title, this.id, `#${encodeURIComponent(this.job.job_id)}`);
    this.planning = new Planning(this);
    this.error = element("p", { class: "notice", role: "alert", hidden: true, tabindex: "-1" });
    this.button = element("button", { type: "submit" }, "Export");
    this.limits = element("p", { class: "small", role: "status" });
    this.root = element("form", { class: "start", novalidate: true, "aria-label": `New export of ${this.title}`, "data-draft": this.job.job_id },
      group("What do you want to do with it?", radios("goal", GOALS, "run")),
      this.full, this.runChoices, this.publishTypes, this.types, this.quantizations, this.expert.root, this.toHubLabel,
      this.hub.root,
      this.planning.root, this.error, this.button, this.limits,
    );
    this.root.addEventListener("change", () => this.choose());
    // before the field is left by a click on the button, which would move away from under it
    this.expert.size.input.addEventListener("input", () => this.showExpert());
    // Enter in a field shows the plan; the button starts the export
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing && event.target.matches("input")) {
        event.preventDefault();
        this.choose();
      }
    });
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
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
    if (this.goal === "run") {
      return [this.value("run_quantization")];
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
    this.quantizations.hidden = goal === "run" || !["gguf", "lora"].includes(type);
    this.showExpert();
    this.toHubLabel.hidden = goal === "publish";
    this.hub.show(this.wantsHub);
    this.hub.propose(type === "lora" ? "gguf" : type);
    for (const box of this.root.elements.quantizations) {
      box.disabled = type === "lora" && !OF_LORA.includes(box.value);
    }
    this.sizes.draw(type);
    this.key = null;
    this.showError(null);
    this.planning.request();
  }

  /** Shows those further options that belong to the choices. */
  showExpert() {
    this.expert.show(this.goal === "all" ? this.type : null, this.chosenQuantizations);
  }

  /** Called when the form is seen for the first time. */
  open() {
    if (!this.planning.opened) {
      this.planning.opened = true;
      this.hub.showReturn();
      this.planning.request();
    }
  }

  /** Called when somebody has signed in or out on the Hub. */
  drawHubAccount() {
    this.hub.drawAccount();
    if (this.wantsHub) {
      this.choose();
    }
  }

  /** Called when the network is back or somebody has signed in: what failed for want of it is done again. */
  retry() {
    if (this.isExpired) {
      this.showError(null);
    }
    this.planning.retry();
  }

  /** What is wrong with how many quantization types are chosen, or null. */
  countProblem() {
    const { length } = this.chosenQuantizations;
    if (this.quantizations.hidden || this.expert.hasSize || (length > 0 && length <= MOST)) {
      return null;
    }
    return length === 0 ? "Choose at least one quantization type." : `Choose at most ${MOST}: ${length} are chosen.`;
  }

  /** Shows what is wrong with how many types are chosen at their list. Returns whether something is. */
  showsCountProblem() {
    const problem = this.countProblem();
    this.countError.hidden = !problem;
    setText(this.countError, problem ?? "");
    return Boolean(problem);
  }

  /** Takes what the plan says about the model. */
  planned(plan) {
    if (plan.adapter === null && this.type !== "adapter") {
      this.setFull();
    }
    this.sizes.add(this.type, plan);
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

  /** Requests of plans that have the sizes of the quantizations on display that are not known yet. */
  sizeRequests() {
    const { type } = this;
    if (!["gguf", "lora"].includes(type)) {
      return [];
    }
    const displayed = (this.goal === "run" ? RUN_CHOICES : QUANTIZATIONS).map(({ name }) => name);
    const names = this.sizes.unknown(type, type === "lora" ? OF_LORA : displayed);
    const request = this.request({ withHub: false, withExpert: false });
    return Array.from({ length: Math.ceil(names.length / MOST) }, (_, part) =>
      ({ ...request, quantizations: names.slice(part * MOST, (part + 1) * MOST) }));
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
    const invalid = this.firstInvalid();
    if (invalid) {
      invalid.focus();
      return;
    }
    const request = this.request();
    this.starting = true;
    this.drawButton();
    // what the service refuses at a field is not started
    const refused = this.hasFields ? await this.planning.refused() : undefined;
    if (refused) {
      this.starting = false;
      this.drawButton();
      refused.focus();
      return;
    }
    // the same key as before if the response to the same request was lost
    this.key ??= crypto.randomUUID();
    try {
      const left = await startExport(request, this.key);
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

  /** The first input whose value cannot be right, with the problem shown. */
  firstInvalid() {
    if (this.showsCountProblem()) {
      const boxes = [...this.root.elements.quantizations].filter((box) => !box.disabled);
      return boxes.find((box) => box.checked) ?? boxes[0];
    }
    return this.expert.firstInvalid() ?? (this.wantsHub ? this.hub.firstInvalid() : null);
  }

  /** Whether something was typed that the service can refuse. */
  get hasFields() {
    return this.wantsHub || this.expert.isUsed;
  }

  /** Called when the job has another export, which can be one whose start had no response: the next is a new one. */
  known() {
    this.key = null;
    this.showError(null);
  }

  /** Shows a problem at the field that it is about, else above the button. */
  showProblem(problem) {
    const input = this.mark(problem);
    if (input) {
      input.focus();
    } else {
      this.showError(problemText(problem));
      this.error.scrollIntoView({ block: "nearest" });
      this.isExpired = problem.status === 401;
    }
  }

  /** Shows a problem at the field that it is about, and returns the field's input; nothing if it is about none. */
  mark(problem) {
    return this.expert.mark(problem) ?? (this.wantsHub ? this.hub.mark(problem) : undefined);
  }

  /** Changes what is above the notice of a problem, and keeps the notice in the window if it is there. */
  changeAboveError(change) {
    const { top, bottom } = this.error.getBoundingClientRect();
    const isInView = !this.error.hidden && top >= 0 && bottom <= innerHeight;
    change();
    if (isInView) {
      this.error.scrollIntoView({ block: "nearest" });
    }
  }

  showError(text) {
    this.isExpired = false;
    this.error.hidden = !text;
    this.error.textContent = text ?? "";
  }

  /** Says how many more exports may run and start. */
  drawLimits({ running, daily }) {
    const texts = [running && `${running} more at the same time`, daily && `${daily} more within 24 hours`].filter(Boolean);
    this.limits.textContent = texts.length > 0 ? `You may start ${texts.join(", and ")}.` : "";
  }
}
