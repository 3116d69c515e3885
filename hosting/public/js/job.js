// A job in the list: its latest export, how to use what it made, a new export, and the history.

import { cancelExport } from "./api.js";
import { ExportForm } from "./choose.js";
import { element, setText } from "./dom.js";
import { JobFiles } from "./files.js";
import { FollowedJob } from "./follow.js";
import { bytes, date, dateAndTime, duration, exportKind } from "./format.js";
import { History, adviceOf } from "./history.js";
import { hubText } from "./hub-text.js";
import { notificationBox, notifyOfEnd } from "./notify.js";

const STAGES = { queued: "Queued", fetch: "Reading", export: "Exporting", upload: "Uploading", finish: "Finishing" };

export class JobItem {
  constructor(job) {
    this.job = job;
    this.title = job.job_name || job.job_id;
    this.status = element("span", { class: "status", hidden: true });
    this.details = element("details", { class: "job-details" },
      element("summary", {},
        element("span", { class: "row between" }, element("h3", { class: "name" }, this.title), this.status),
        element("span", { class: "facts small" },
          [job.base_model_id, job.modality !== "text" && job.modality, job.created_at && date(job.created_at)].filter(Boolean).join(" · "))));
    this.root = element("li", { class: "job" }, this.details);
    this.root.job = this;
    this.details.addEventListener("toggle", () => this.details.open && this.open());
    this.follower = new FollowedJob(job.job_id, {
      onDetail: (detail) => this.draw(detail),
      onProblem: (problem, retry) => this.drawProblem(problem, retry),
    });
  }

  /** Called when the item is seen for the first time. */
  seen() {
    this.isSeen = true;
    this.follower.refresh();
  }

  /** Requests the details again, unless they were never needed. */
  reload() {
    if (this.isSeen) {
      this.follower.refresh();
    }
  }

  /** Called when the item leaves the page. */
  end() {
    this.follower.end();
  }

  /** Shows the item's content, and remembers it for a reload. */
  open() {
    if (!this.form) {
      this.build();
      if (this.detail) {
        this.draw(this.detail);
      }
    }
    // an export may have begun elsewhere since
    this.follower.refresh();
    window.history.replaceState(null, "", `#${encodeURIComponent(this.job.job_id)}`);
    this.form.open();
  }

  build() {
    this.message = element("p", { class: "message", role: "status" });
    this.advice = element("p", { class: "small" });
    this.progress = element("progress", { max: 1, "aria-label": `Progress of ${this.title}` });
    this.amount = element("p", { class: "amount small" });
    this.cancel = element("button", { type: "button", class: "quiet", "aria-label": `Cancel the export of ${this.title}` }, "Cancel");
    this.cancel.addEventListener("click", () => this.cancelLatest());
    this.notification = notificationBox();
    this.notCancelled = element("p", { class: "notice", role: "alert", hidden: true });
    this.running = element("div", { class: "running-export" }, this.progress, this.amount, this.notCancelled,
      element("div", { class: "row" }, this.cancel, this.notification));
    this.problem = element("p", { class: "notice", role: "alert", hidden: true });
    this.files = new JobFiles(this.job, this.title);
    this.latest = element("section", { class: "export", "aria-label": `Latest export of ${this.title}`, hidden: true },
      this.message, this.advice, this.running, this.files.latest);
    this.form = new ExportForm({
      job: this.job, title: this.title, onStarted: () => this.started(),
      // the response may be lost, and the export run
      onFailed: (problem) => problem.isTemporary && this.follower.changed(),
    });
    this.history = new History(this.job, this.title);
    this.details.append(
      element("p", { class: "small id" }, "Job ", element("code", {}, this.job.job_id)),
      this.problem, this.latest, this.files.earlier,
      element("h4", {}, "New export"), this.form.root, this.history.root);
  }

  draw(detail) {
    const before = this.detail?.latest_export;
    this.detail = detail;
    const latest = detail.latest_export;
    this.status.hidden = !latest;
    if (latest) {
      this.status.className = `status ${latest.status}`;
      const code = latest.failure ? ` (${latest.failure.code.replaceAll("_", " ")})` : "";
      setText(this.status, `${exportKind(latest)} ${latest.status}${code}`);
    }
    if (before?.status === "running" && latest && latest.status !== "running") {
      notifyOfEnd(this.title, latest);
    }
    if (this.form) {
      this.drawContent(detail);
      if (latest?.export_id !== before?.export_id) {
        this.form.known();
      }
      if (latest?.export_id !== before?.export_id || latest?.status !== before?.status) {
        showNotice(this.notCancelled, null);
        this.history.reload();
      }
    }
  }

  /** Follows an export that has started, and leads to its progress and files, which are above the form. */
  started() {
    this.leads = true;
    this.follower.changed();
  }

  drawContent({ latest_export: latest, artifacts: made }) {
    showNotice(this.problem, null);
    const running = latest?.status === "running";
    this.latest.hidden = !latest;
    this.form.setRunning(running);
    setText(this.message, hubText(latest?.message ?? ""));
    setText(this.advice, latest?.failure ? adviceOf(latest) : latest?.finished_at ? `Finished ${dateAndTime(latest.finished_at)}` : "");
    this.running.hidden = !running;
    if (running) {
      this.drawProgress(latest);
    }
    this.files.draw(latest, made);
    if (this.leads && latest) {
      this.leads = false;
      this.root.scrollIntoView();
    }
  }

  drawProgress({ progress, eta_seconds: eta }) {
    const { stage = "queued", bytes_done: done = 0, bytes_total: total = 0 } = progress ?? {};
    const rate = this.rate(stage, done);
    if (total > 0) {
      this.progress.value = done / total;
    } else {
      this.progress.removeAttribute("value");
    }
    const parts = [
      STAGES[stage] ?? stage,
      total > 0 && `${bytes(done)} of ${bytes(total)}`,
      rate > 0 && `${bytes(rate)}/s`,
      eta !== null && eta !== undefined && `${duration(eta)} left in this step`,
    ];
    setText(this.amount, parts.filter(Boolean).join(", "));
  }

  /** Bytes in a second since the progress before, in the same stage. */
  rate(stage, done) {
    const now = performance.now();
    const before = this.measured;
    if (before?.stage === stage && before.done === done) {
      return before.rate;
    }
    const rate = before?.stage === stage && done > before.done ? (1000 * (done - before.done)) / (now - before.now) : 0;
    this.measured = { stage, done, now, rate };
    return rate;
  }

  async cancelLatest() {
    if (this.cancel.getAttribute("aria-disabled") === "true") {
      return;
    }
    showNotice(this.notCancelled, null);
    this.cancel.setAttribute("aria-disabled", "true");
    try {
      await cancelExport(this.job.job_id, this.detail.latest_export.export_id);
      this.details.querySelector("summary").focus();
      await this.follower.changed();
    } catch (problem) {
      // what is said of an expired sign-in is no longer true after the next one
      showNotice(this.notCancelled, problem.status === 401 ? "Not cancelled." : `Not cancelled. ${problem.message}`);
      this.follower.refresh();
    }
    this.cancel.removeAttribute("aria-disabled");
  }

  drawProblem(problem, retry) {
    const again = retry === null ? "" : ` Trying again in ${duration(retry / 1000)}.`;
    if (this.form) {
      showNotice(this.problem, `${problem.message}${again}`);
    }
  }
}

/** Shows a text in a notice, or hides it. */
function showNotice(notice, text) {
  notice.hidden = !text;
  setText(notice, text ?? "");
}
