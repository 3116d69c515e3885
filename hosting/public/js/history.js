// The exports of a job so far, and what to do about those that failed.

import { cancelExport, getHistory } from "./api.js";
import { element, setText } from "./dom.js";
import { exportFiles } from "./files.js";
import { dateAndTime, exportKind } from "./format.js";
import { hubText } from "./hub-text.js";

/** How often exports are requested again while one of them runs. */
const RUNNING_WAIT_MS = 10_000;

/** What helps, by the code of the failure; the message of the export has more. */
const ADVICE = {
  invalid_input: "Correct what the message names, then export again.",
  access_denied: "Check the access token, and that its owner may read the base model and write the repository.",
  not_found: "Correct the name or the path of what the message says does not exist, then export again.",
  interrupted: "Export again.",
  timeout: "Export again in some minutes.",
  cancelled: "You cancelled it. Export again if you need it.",
  internal: "Export again. If it fails again, report the export's id.",
};

/** What helps with an export that has failed. A file that is cut short may be so since the training. */
export const adviceOf = ({ failure, message }) => (/: the file is truncated\b/.test(message)
  ? "Upload the file again or train the adapter again, then export again."
  : ADVICE[failure?.code] ?? "");

/** A section with the exports of a job, which requests them when it is opened. */
export class History {
  /** How often they were requested: an answer to an earlier request is ignored. */
  requests = 0;
  /** What the button requests: older exports, or again those that it could not. */
  older = true;

  /** The elements of exports that have ended, by id: what is open in them stays. */
  ended = new Map();

  constructor(job, title) {
    Object.assign(this, { job, title });
    this.items = element("ol", { class: "history" });
    this.status = element("p", { role: "status" });
    this.more = element("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.loadMore() });
    this.root = element("details", { class: "past", ontoggle: () => this.reload() },
      element("summary", {}, "All exports of this job"), this.status, this.items, this.more);
  }

  /** Requests again what is displayed: an export has begun or ended. */
  reload() {
    if (this.root.open) {
      this.load({ older: false });
    }
  }

  /** The focus goes from the button to the first export that was added. */
  async loadMore() {
    if (this.more.getAttribute("aria-disabled") === "true") {
      return;
    }
    const first = this.items.children.length;
    await this.load({ older: this.older });
    if ([this.more, document.body].includes(document.activeElement)) {
      this.items.children[first]?.focus();
    }
  }

  async load({ older }) {
    this.requests += 1;
    const number = this.requests;
    const count = this.items.children.length;
    this.more.setAttribute("aria-disabled", "true");
    setText(this.status, older || count === 0 ? "Loading…" : "");
    try {
      const { exports, next } = await (older ? this.request(this.next, 1) : this.request(null, count));
      if (number === this.requests) {
        const items = exports.map((one, place) => this.entry(one, !older && place === 0));
        this.draw([...(older ? this.items.children : []), ...items], next);
      }
    } catch (problem) {
      if (number === this.requests) {
        this.drawProblem(problem, older);
      }
    }
  }

  /** Requests pages until there are `count` exports. */
  async request(token, count) {
    const { exports, next_page_token: next } = await getHistory(this.job.job_id, token);
    if (!next || exports.length >= count) {
      return { exports, next };
    }
    const rest = await this.request(next, count - exports.length);
    return { exports: [...exports, ...rest.exports], next: rest.next };
  }

  draw(items, next) {
    this.next = next;
    clearTimeout(this.timer);
    if (items.some((item) => item.isRunning) && this.root.isConnected) {
      this.timer = setTimeout(() => this.reload(), RUNNING_WAIT_MS);
    }
    this.items.replaceChildren(...items);
    setText(this.status, items.length === 0 ? "There are no exports yet." : "");
    this.drawButton(next ? "Show older" : null, true);
  }

  drawProblem({ message }, older) {
    setText(this.status, message);
    this.drawButton("Try again", older);
  }

  drawButton(text, older) {
    this.older = older;
    this.more.removeAttribute("aria-disabled");
    this.more.hidden = !text;
    setText(this.more, text ?? "");
  }

  /** The newest export has its progress and its button above. */
  entry(one, isNewest) {
    const known = this.ended.get(one.export_id);
    if (known) {
      return known;
    }
    const when = dateAndTime(one.started_at);
    const hasFiles = one.status === "completed" && (one.artifacts ?? []).some(({ variant }) => variant !== "raw");
    const item = element("li", { tabindex: "-1" },
      element("p", {},
        element("strong", {}, exportKind(one)), ` `, element("span", { class: `status ${one.status}` }, one.status), " ",
        element("time", { datetime: one.started_at, class: "small" }, `${when}${one.finished_at ? "" : " (running)"}`)),
      one.hf_repo_id && element("p", { class: "small" }, `To ${one.hf_repo_id} on the Hub`),
      one.message && element("p", {}, hubText(one.message)),
      one.failure && element("p", { class: "small" }, `${adviceOf(one)} Export ${one.export_id}`),
      hasFiles && exportFiles({ job: this.job, title: this.title, when: `export of ${when}` }, one.export_id));
    item.isRunning = one.status === "running";
    if (item.isRunning && !isNewest) {
      item.append(this.cancelButton(one, when));
    }
    if (one.finished_at) {
      this.ended.set(one.export_id, item);
    }
    return item;
  }

  cancelButton({ export_id: id }, when) {
    const problem = element("span", { class: "bad", role: "alert" });
    const button = element("button", { type: "button", class: "quiet", "aria-label": `Cancel the export of ${when}` }, "Cancel");
    button.addEventListener("click", async () => {
      setText(problem, "");
      try {
        await cancelExport(this.job.job_id, id);
        this.reload();
      } catch ({ message }) {
        setText(problem, ` Not cancelled. ${message}`);
      }
    });
    return element("p", {}, button, problem);
  }
}
