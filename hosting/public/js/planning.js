// The plan of the export that a form asks for, requested while the form changes.

import { planExport } from "./api.js";
import { element } from "./dom.js";
import { hubText } from "./hub-text.js";
import { planParts, planProblem, problemText } from "./plan.js";
import { currentSession, sessionEvents } from "./session.js";

/** How long after the last change the plan is requested. */
const DELAY_MS = 300;

/** The form of each plan, by the element that shows the plan. */
const forms = new WeakMap();

// forms on the page retry what failed when the network is back or somebody has signed in again
for (const [target, event] of [[window, "online"], [sessionEvents, "changed"]]) {
  target.addEventListener(event, () => {
    if (currentSession()) {
      for (const root of document.querySelectorAll(".plan")) {
        forms.get(root)?.retry();
      }
    }
  });
}

export class Planning {
  constructor(form) {
    this.form = form;
    this.root = element("div", { class: "plan", role: "status" });
    forms.set(this.root, form);
  }

  /** Makes the plan shortly after the last change, when the form can be seen. */
  request() {
    clearTimeout(this.timer);
    this.sending?.abort();
    this.failure = null;
    this.input = undefined;
    this.isChecked = false;
    this.root.classList.remove("busy");
    if (this.opened) {
      // unless the list was cleared meanwhile: somebody else may be signed in
      this.timer = setTimeout(() => this.form.root.isConnected && this.make(), DELAY_MS);
    }
  }

  /** Makes a plan again that failed, if it may succeed now. */
  retry() {
    if (this.failure?.isTemporary || this.failure?.status === 401) {
      this.root.replaceChildren();
      this.request();
    }
  }

  async make() {
    const { form } = this;
    if (form.showsCountProblem() || form.expert.firstInvalid()) {
      this.root.replaceChildren();
      return;
    }
    this.sending = new AbortController();
    const { signal } = this.sending;
    this.root.classList.add("busy");
    if (await this.plan(signal)) {
      // the plan is whole without the sizes of other types
      await this.addSizes(signal).catch(() => {});
    }
    if (!signal.aborted) {
      this.root.classList.remove("busy");
    }
  }

  /** Requests the plan and shows it, or why there is none. Returns whether there is one. */
  async plan(signal) {
    const { form } = this;
    try {
      const plan = await planExport(form.request({ withHub: form.wantsHub && form.hub.isFilled }), signal);
      form.hub.unmark();
      this.isChecked = true;
      this.draw(plan);
      form.planned(plan);
      return true;
    } catch (problem) {
      if (problem.name !== "AbortError") {
        this.fail(problem);
      }
      return false;
    }
  }

  /** The input whose value the service refuses in a plan of what the form asks for now; nothing if it refuses none. */
  async refused() {
    if (this.isChecked) {
      return undefined;
    }
    this.request();
    clearTimeout(this.timer);
    this.sending = new AbortController();
    const { signal } = this.sending;
    if (await this.plan(signal)) {
      this.addSizes(signal).catch(() => {});
    }
    return this.input;
  }

  draw(plan) {
    const isOpen = this.root.querySelector("details")?.open;
    const parts = planParts(plan, { runs: ["gguf", "merged"].includes(this.form.type), isOpen });
    this.form.changeAboveError(() => this.root.replaceChildren(...parts));
  }

  fail(problem) {
    this.failure = problem;
    const text = problem.status === 422 ? `This export would fail: ${hubText(problem.message)}` : problemText(problem);
    this.form.hub.unmark();
    this.input = this.form.mark(problem);
    this.isChecked = !this.input;
    const parts = this.input ? [] : [planProblem(text)];
    this.form.changeAboveError(() => this.root.replaceChildren(...parts));
  }

  /** Requests the sizes of the quantization types on display that are not known yet. */
  async addSizes(signal) {
    const { form } = this;
    const { type } = form;
    for (const request of form.sizeRequests()) {
      form.sizes.add(type, await planExport(request, signal));
    }
  }
}
