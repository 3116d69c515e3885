// The list of jobs: search, pages, and which job is open.

import { listJobs } from "./api.js";
import { $, setText } from "./dom.js";
import { date, longDate } from "./format.js";
import { hubEvents } from "./hub-account.js";
import { JobItem } from "./job.js";
import { currentSession } from "./session.js";

/** How many more jobs are shown at a time. */
const PAGE = 20;

/** The session whose jobs are on the page or requested; they stay on the page, hidden, after it has expired. */
let session = null;
/** The jobs of the session, or null before the first list. */
let jobs = null;
/** Whether the last request for the list failed. */
let hasFailed = false;
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
  window.addEventListener("online", () => hasFailed && currentSession() && load());
  hubEvents.addEventListener("changed", () => {
    for (const { form } of items.values()) {
      form?.drawHubAccount();
    }
  });
}

/** Whether the page has a list of jobs. */
export const isLoaded = () => jobs !== null;

/** Shows the jobs of who has signed in: those on the page, if that person signed in before. */
export function show(signedIn) {
  if (signedIn === session) {
    return;
  }
  if (isLoaded() && signedIn.user === session.user) {
    session = signedIn;
    draw();
    if (hasFailed) {
      load();
    }
  } else {
    clear();
    session = signedIn;
    load();
  }
}

/** Forgets all jobs. */
export function clear() {
  session = null;
  jobs = null;
  hasFailed = false;
  shown = PAGE;
  keepItems([]);
  $("#search").value = "";
  $("#jobs").replaceChildren();
  $("#search-row").hidden = $("#no-jobs").hidden = $("#more-jobs").hidden = true;
  showStatus("");
}

/** Requests the jobs and shows them. */
async function load() {
  const asked = session;
  showStatus("Loading your jobs…");
  let loaded;
  try {
    loaded = await listJobs();
  } catch (problem) {
    if (asked === session) {
      hasFailed = true;
      showStatus(problem.message, "bad");
    }
    return;
  }
  // unless somebody else has signed in meanwhile
  if (asked !== session) {
    return;
  }
  hasFailed = false;
  const isFirst = !isLoaded();
  jobs = loaded;
  keepItems(jobs);
  if (isFirst) {
    drawFirst();
  } else {
    draw();
  }
}

/** Keeps the items of these jobs, with what was typed in them, and requests their details again. */
function keepItems(kept) {
  const names = new Map(kept.map(({ job_id: id, job_name: name }) => [id, name]));
  for (const [id, item] of items) {
    if (names.has(id) && names.get(id) === item.job.job_name) {
      item.reload();
    } else {
      item.end();
      items.delete(id);
    }
  }
}

/** Shows the list, and opens the job that was open before a reload of the page, or the only one. */
function drawFirst() {
  const index = jobs.length === 1 ? 0 : jobs.findIndex((job) => `#${encodeURIComponent(job.job_id)}` === location.hash);
  shown = Math.max(PAGE, index + 1);
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
  const focused = document.activeElement;
  $("#jobs").replaceChildren(...displayed.map((job) => itemOf(job).root));
  if ($("#jobs").contains(focused)) {
    focused.focus({ preventScroll: true });
  }
  $("#search-row").hidden = jobs.length <= 5;
  $("#no-jobs").hidden = jobs.length > 0;
  $("#more-jobs").hidden = found.length <= displayed.length;
  $("#more-jobs").textContent = `Show ${Math.min(PAGE, found.length - displayed.length)} more`;
  showStatus(statusText(found.length, displayed.length));
}

function showStatus(text, level = "") {
  setText($("#jobs-status"), text);
  $("#jobs-status").classList.toggle("bad", level === "bad");
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
  return [name, id, base, created && `${created.slice(0, 10)} ${date(created)} ${longDate(created)}`].filter(Boolean).join(" ").toLowerCase();
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
