// The list of jobs: search, pages, and which job is open.

import { listJobs } from "./api.js";
import { $, setText } from "./dom.js";
import { stopFollowing } from "./follow.js";
import { date } from "./format.js";
import { hubEvents } from "./hub-account.js";
import { JobItem } from "./job.js";

/** How many more jobs are shown at a time. */
const PAGE = 20;

let jobs = [];
let shown = PAGE;
/** The items that were shown, by the job's id: they keep what was typed. */
const items = new Map();

/** Requests the job's details when its item comes into view. */
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) {
      seen.unobserve(target);
      target.job.seen();
    }
  }
});

export function initialize() {
  $("#search").addEventListener("input", () => {
    shown = PAGE;
    draw();
  });
  $("#more-jobs").addEventListener("click", () => {
    const first = shown;
    shown += PAGE;
    draw();
    $("#jobs").children[first]?.querySelector("summary").focus();
  });
  $("#reload").addEventListener("click", load);
  hubEvents.addEventListener("changed", () => {
    for (const { form } of items.values()) {
      form?.drawHubAccount();
    }
  });
}

/** Forgets all jobs. */
export function clear() {
  stopFollowing();
  items.clear();
  jobs = [];
  $("#search").value = "";
  $("#jobs").replaceChildren();
}

/** Requests the jobs and shows them. */
export async function load() {
  const status = $("#jobs-status");
  setText(status, "Loading your jobs…");
  status.classList.remove("bad");
  try {
    const loaded = await listJobs();
    clear();
    jobs = loaded;
  } catch (problem) {
    setText(status, problem.message);
    status.classList.add("bad");
    return;
  }
  shown = PAGE;
  // the job that was open before a reload of the page, or the only one
  const index = jobs.length === 1 ? 0 : jobs.findIndex((job) => `#${encodeURIComponent(job.job_id)}` === location.hash);
  shown = Math.max(shown, index + 1);
  draw();
  if (index >= 0) {
    const { details, root } = itemOf(jobs[index]);
    details.open = true;
    if (index > 0) {
      root.scrollIntoView();
    }
  }
}

function draw() {
  const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = jobs.filter((job) => words.every((word) => textOf(job).includes(word)));
  const displayed = found.slice(0, shown);
  $("#jobs").replaceChildren(...displayed.map((job) => itemOf(job).root));
  $("#search-row").hidden = jobs.length <= 5;
  $("#no-jobs").hidden = jobs.length > 0;
  $("#more-jobs").hidden = found.length <= displayed.length;
  $("#more-jobs").textContent = `Show ${Math.min(PAGE, found.length - displayed.length)} more`;
  setText($("#jobs-status"), statusText(found.length, displayed.length));
}

function statusText(found, displayed) {
  if (jobs.length === 0) {
    return "";
  }
  if (found === 0) {
    return "No job matches. Change or clear the search.";
  }
  return displayed < found ? `${displayed} of ${found} jobs` : `${found} ${found === 1 ? "job" : "jobs"}`;
}

function textOf({ job_id: id, job_name: name, base_model_id: base, created_at: created }) {
  return [name, id, base, created && `${created.slice(0, 10)} ${date(created)}`].filter(Boolean).join(" ").toLowerCase();
}

function itemOf(job) {
  let item = items.get(job.job_id);
  if (!item) {
    item = new JobItem(job);
    items.set(job.job_id, item);
    seen.observe(item.root);
  }
  return item;
}
