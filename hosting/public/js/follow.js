// Following a job: its details are requested while an export runs, and again whenever they may have changed.

import { getJob } from "./api.js";
import { currentSession, sessionEvents } from "./session.js";

/** Exports take from seconds to many minutes, so the delay between two requests grows. */
const FIRST_WAIT_MS = 1500;
const LONGEST_WAIT_MS = 10_000;
/** The delay after failures doubles from the first to the second. */
const FIRST_RETRY_MS = 2000;
const LONGEST_RETRY_MS = 60_000;

/** Tells the other tabs of the page which job has changed. */
const channel = new BroadcastChannel("exports");

/** All jobs that are being followed. */
const following = new Set();

for (const [target, event] of [[window, "online"], [window, "focus"], [document, "visibilitychange"], [sessionEvents, "changed"]]) {
  target.addEventListener(event, () => {
    if (document.visibilityState === "visible" && currentSession()) {
      for (const job of following) {
        job.refresh();
      }
    }
  });
}
channel.addEventListener("message", ({ data }) => {
  for (const job of following) {
    if (job.id === data) {
      job.refresh({ expectRunning: true });
    }
  }
});

/** A job whose details are requested again until its export has ended. */
export class FollowedJob {
  wait = FIRST_WAIT_MS;
  failures = 0;
  running = false;

  /** `onDetail` gets the job's details, `onProblem` a failed request and in how many milliseconds it is repeated, or null. */
  constructor(id, { onDetail, onProblem }) {
    Object.assign(this, { id, onDetail, onProblem });
    following.add(this);
  }

  /** Ends the following: the job is no longer on the page. */
  end() {
    clearTimeout(this.timer);
    following.delete(this);
  }

  /** Tells this and the other tabs that an export of the job has begun or ended. */
  changed() {
    channel.postMessage(this.id);
    return this.refresh({ expectRunning: true });
  }

  /** Requests the details now. If an export is expected to run, they are requested at least once more. */
  async refresh({ expectRunning = false } = {}) {
    clearTimeout(this.timer);
    this.wait = FIRST_WAIT_MS;
    this.running ||= expectRunning;
    await this.poll();
  }

  async poll() {
    if (this.polling) {
      this.again = true;
      return;
    }
    this.polling = true;
    const next = await this.request();
    this.polling = false;
    if (this.again) {
      this.again = false;
      await this.poll();
    } else if (next !== null && following.has(this)) {
      this.timer = setTimeout(() => this.poll(), next);
    }
  }

  /** Requests the details once, and returns in how many milliseconds to do so again, or null. */
  async request() {
    const session = currentSession();
    try {
      const detail = await getJob(this.id);
      if (!following.has(this) || session !== currentSession()) {
        return null;
      }
      this.failures = 0;
      const wasRunning = this.running;
      this.running = detail.latest_export?.status === "running";
      this.onDetail(detail);
      // once more after the end, because the response may hold the job from before its artifact was recorded
      const wait = this.running || wasRunning ? this.wait : null;
      this.wait = Math.min(1.5 * this.wait, LONGEST_WAIT_MS);
      return wait;
    } catch (problem) {
      const retry = problem.isTemporary ? this.retryDelay(problem) : null;
      if (following.has(this)) {
        this.onProblem(problem, retry);
      }
      return retry;
    }
  }

  retryDelay({ retryAfter }) {
    const delay = Math.min(FIRST_RETRY_MS * 2 ** this.failures, LONGEST_RETRY_MS);
    this.failures += 1;
    return Math.max(delay, 1000 * (retryAfter ?? 0));
  }
}
