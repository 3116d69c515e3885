// The page of the Export Service: signs in, lists jobs, starts exports and shows their progress. It has no dependency.
"use strict";

/** The delay between two requests for a running export grows, because exports take from seconds to many minutes. */
const FIRST_WAIT_MS = 1500;
const LONGEST_WAIT_MS = 10000;
const $ = (selector, within = document) => within.querySelector(selector);
const kinds = { adapter: "Adapter", merged: "Merged model", gguf: "GGUF" };
const stages = { queued: "Queued", fetch: "Reading", export: "Exporting", upload: "Uploading", finish: "Finishing" };

let token = sessionStorage.getItem("token");

class ServiceError extends Error {
  constructor(status, detail, type = "") {
    super(detail);
    this.status = status;
    this.type = type;
  }
}

/** The settings of App Check, or null where the deployment does not require it. */
let appCheck;
let appToken = { header: {}, until: Infinity };

async function loadAppCheck() {
  const response = await fetch("/app-check.json").catch(() => null);
  if (!response?.ok || !response.headers.get("Content-Type")?.startsWith("application/json")) {
    return null;
  }
  const settings = await response.json();
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `https://www.google.com/recaptcha/enterprise.js?render=${encodeURIComponent(settings.site_key)}`;
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    document.head.append(script);
  });
  await new Promise((resolve) => grecaptcha.enterprise.ready(resolve));
  appToken.until = 0;
  return settings;
}

/** The header that proves to the service that this page sends the request. A token is used until shortly before its end. */
async function appCheckHeader() {
  appCheck ??= loadAppCheck();
  const settings = await appCheck;
  if (Date.now() < appToken.until) {
    return appToken.header;
  }
  const proof = await grecaptcha.enterprise.execute(settings.site_key, { action: "fire_app_check" });
  const app = `projects/${settings.project_number}/apps/${settings.app_id}`;
  const response = await fetch(
    `https://firebaseappcheck.googleapis.com/v1/${app}:exchangeRecaptchaEnterpriseToken?key=${settings.api_key}`,
    {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ recaptcha_enterprise_token: proof }),
    },
  );
  if (!response.ok) {
    throw new Error(`App Check returned status ${response.status}.`);
  }
  const { token: value, ttl } = await response.json();
  appToken = { header: { "X-Firebase-AppCheck": value }, until: Date.now() + 1000 * (parseFloat(ttl) - 60) };
  return appToken.header;
}

/**
 * Sends a request to the service, and passes the headers of the response to `useHeaders`. An error has the `detail` of the
 * response as its message.
 */
async function callApi(path, options = {}, useHeaders = () => {}) {
  const app = await appCheckHeader().catch(() => {
    appCheck = undefined;
    throw new ServiceError(0, "This page could not be verified. Reload it, or allow reCAPTCHA.");
  });
  const headers = { Authorization: `Bearer ${token}`, ...app, ...options.headers };
  const response = await fetch(path, { ...options, headers }).catch(() => {
    throw new ServiceError(0, "The service cannot be reached.");
  });
  useHeaders(response.headers);
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const detail = body?.detail ?? `The service returned status ${response.status}.`;
    throw new ServiceError(response.status, detail, body?.type);
  }
  return body;
}

function show(problem) {
  const unauthorized = problem?.status === 401 && !problem.type.endsWith(":unverified-app");
  $("#problem").textContent = unauthorized ? "This token is invalid or expired. Sign in again." : problem?.message;
  $("#problem").hidden = !problem;
  if (unauthorized) {
    signOut();
  }
}

function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = n < 1 ? 0 : Math.min(Math.floor(Math.log10(n) / 3), units.length - 1);
  return `${(n / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

/** The user id in the token, for display only: the service verifies the token. */
function subject() {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)).sub;
  } catch {
    return "unknown";
  }
}

// Signing in

function signIn(newToken) {
  token = newToken.trim();
  sessionStorage.setItem("token", token);
  start();
}

function signOut() {
  token = null;
  sessionStorage.removeItem("token");
  start();
}

async function isLocalStack() {
  const response = await fetch("/__/local/keys").catch(() => null);
  return Boolean(response?.ok && response.headers.get("Content-Type")?.startsWith("application/json"));
}

async function signInLocally(user) {
  const response = await fetch(`/__/local/token?user=${encodeURIComponent(user)}`, { method: "POST" });
  if (response.ok) {
    show(null);
    signIn((await response.json()).token);
  } else {
    show(new Error("The local stack returned no token."));
  }
}

// Jobs

function jobPath(job) {
  return `/exports/${encodeURIComponent(job.job_id)}`;
}

async function listJobs() {
  const jobs = await callApi("/exports");
  $("#no-jobs").hidden = jobs.length > 0;
  $("#jobs").replaceChildren(...jobs.map(card));
}

/** The card of a job. Its details are requested when it comes into view. */
function card(job) {
  const item = $("#job-template").content.cloneNode(true).firstElementChild;
  const title = job.job_name || job.job_id;
  $(".name", item).textContent = title;
  $(".facts", item).textContent = [job.base_model_id, job.modality, job.job_id].filter(Boolean).join(" · ");
  $("legend", item).textContent = `New export of ${title}`;
  $("progress", item).setAttribute("aria-label", `Progress of ${title}`);
  $(".cancel", item).setAttribute("aria-label", `Cancel the export of ${title}`);
  $(".cancel", item).addEventListener("click", () => cancelExport(job, item));
  const form = $("form", item);
  form.addEventListener("change", () => drawChoices(form));
  $(".check-plan", form).addEventListener("click", () => planExport(job, form));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    startExport(job, item, form);
  });
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      seen.disconnect();
      follow(job, item);
    }
  });
  seen.observe(item);
  return item;
}

function drawChoices(form) {
  $(".quantization", form).hidden = form.elements.export_type.value !== "gguf";
  $(".plan", form).hidden = true;
}

function drawFiles(job, item, { artifacts, latest_export: latest }) {
  const entries = [];
  for (const [kind, name] of Object.entries(kinds)) {
    const link = artifacts?.file?.[kind];
    // the files of the latest export are listed below, each with its name
    if (link && !(latest?.type === kind && filesOf(latest).length > 0)) {
      const download = document.createElement("a");
      download.href = link;
      download.textContent = `↓ ${name}`;
      download.setAttribute("aria-label", `Download ${name}`);
      download.addEventListener("click", (event) => {
        event.preventDefault();
        openNewLink(job, (detail) => detail.artifacts?.file?.[kind]).catch(show);
      });
      entries.push(download);
    }
    const repo = artifacts?.hf?.[kind];
    if (repo) {
      const page = document.createElement("a");
      page.href = `https://huggingface.co/${repo}`;
      page.rel = "noreferrer";
      page.textContent = `${name} on the Hub: ${repo}`;
      entries.push(page);
    }
  }
  for (const file of filesOf(latest)) {
    const download = document.createElement("a");
    download.href = file.link;
    download.textContent = `↓ ${file.name} (${bytes(file.bytes)})`;
    download.title = `SHA-256 ${file.sha256}`;
    download.addEventListener("click", (event) => {
      event.preventDefault();
      const same = ({ latest_export: now }) => filesOf(now).find((one) => one.sha256 === file.sha256)?.link;
      openNewLink(job, same).catch(show);
    });
    entries.push(download);
  }
  $(".files", item).replaceChildren(
    ...entries.map((entry) => {
      const li = document.createElement("li");
      li.append(entry);
      return li;
    }),
  );
}

/** The files of an export that can be downloaded. */
function filesOf(latest) {
  return (latest?.artifacts ?? []).flatMap((artifact) => artifact.files ?? []).filter((file) => file.link);
}

/** Opens a new link on each click, because a link is valid for 15 minutes. */
async function openNewLink(job, find) {
  const link = find(await callApi(jobPath(job)));
  if (!link) {
    throw new Error("This file no longer exists. Export it again.");
  }
  location.assign(link);
}

function drawExport(item, latest) {
  const running = latest?.status === "running";
  const status = $(".status", item);
  status.hidden = !latest;
  status.className = `status ${latest?.status ?? ""}`;
  const code = latest?.failure ? ` (${latest.failure.code.replaceAll("_", " ")})` : "";
  status.textContent = latest ? `${kinds[latest.type] ?? latest.type} ${latest.status}${code}` : "";
  $(".export", item).hidden = !latest;
  const message = $(".message", item);
  if (message.textContent !== (latest?.message ?? "")) {
    message.textContent = latest?.message ?? "";
  }
  $("fieldset", item).disabled = running;

  const bar = $("progress", item);
  const amount = $(".amount", item);
  bar.hidden = amount.hidden = $(".cancel", item).hidden = !running;
  if (!running) {
    return;
  }
  const { stage, bytes_done: done = 0, bytes_total: total = 0 } = latest.progress ?? {};
  if (total > 0) {
    bar.value = done / total;
    amount.textContent = `${stages[stage] ?? ""} ${bytes(done)} of ${bytes(total)}`;
  } else {
    bar.removeAttribute("value");
    amount.textContent = stages[stage] ?? "";
  }
}

/** Updates the card until the running export has ended, with a growing delay. */
async function follow(job, item, wasRunning = false, wait = FIRST_WAIT_MS) {
  const requestToken = token;
  try {
    const detail = await callApi(jobPath(job));
    if (token !== requestToken || !item.isConnected) {
      return;
    }
    drawExport(item, detail.latest_export);
    drawFiles(job, item, detail);
    const running = detail.latest_export?.status === "running";
    // once more after the end, because the response may hold the job from before its artifact was recorded
    if (running || wasRunning) {
      setTimeout(() => follow(job, item, running, Math.min(1.5 * wait, LONGEST_WAIT_MS)), wait);
    }
  } catch (problem) {
    show(problem);
  }
}

async function cancelExport(job, item) {
  const button = $(".cancel", item);
  button.disabled = true;
  try {
    drawExport(item, await callApi(`${jobPath(job)}/cancel`, { method: "POST" }));
    show(null);
  } catch (problem) {
    show(problem);
  }
  button.disabled = false;
}

/** What the form asks for. */
function requestOf(job, form) {
  const fields = form.elements;
  const kind = fields.export_type.value;
  const request = { job_id: job.job_id, export_type: kind, destination: ["gcs"] };
  if (kind === "gguf") {
    request.quantizations = [...fields.quantizations].filter((box) => box.checked).map((box) => box.value);
  }
  if ($(".hub", form).open && fields.hf_repo_id.value.trim()) {
    request.destination.push("hf_hub");
    request.hf_repo_id = fields.hf_repo_id.value;
    request.hf_token = fields.hf_token.value;
    request.hf_private = fields.hf_private.checked;
  }
  return request;
}

function post(path, request, useHeaders) {
  const headers = { "Content-Type": "application/json" };
  return callApi(path, { method: "POST", headers, body: JSON.stringify(request) }, useHeaders);
}

/** Shows what an export would make. */
async function planExport(job, form) {
  const button = $(".check-plan", form);
  button.disabled = true;
  try {
    drawPlan(form, await post("/plans", requestOf(job, form)));
    show(null);
  } catch (problem) {
    $(".plan", form).hidden = true;
    show(problem);
  }
  button.disabled = false;
}

function drawPlan(form, plan) {
  const minutes = Math.ceil(plan.estimate.seconds / 60);
  const reads = `It reads ${bytes(plan.bytes_read)} and writes ${bytes(plan.bytes_written)}`;
  const costs = `about ${minutes} min and $${plan.estimate.usd.toFixed(3)}`;
  $(".plan-summary", form).textContent = plan.reused
    ? "The files exist: an earlier export made them from the same inputs."
    : `${reads}: ${costs}.`;
  const size = (file) => (file.bytes === null ? "report" : bytes(file.bytes));
  fillList($(".plan-files", form), plan.files.map((file) => `${file.name} (${size(file)})`));
  fillList($(".plan-warnings", form), plan.warnings.map((warning) => `Note: ${warning.message}`));
  $(".plan", form).hidden = false;
}

function fillList(list, texts) {
  list.replaceChildren(
    ...texts.map((text) => {
      const li = document.createElement("li");
      li.textContent = text;
      return li;
    }),
  );
}

/** Says how many more exports may run and start, as in `"running";r=2, "daily";r=49;t=86400`. */
function drawLimits(form, headers) {
  const left = (name) => headers.get("RateLimit")?.match(new RegExp(`"${name}";r=(\\d+)`))?.[1];
  const [running, daily] = [left("running"), left("daily")];
  const texts = [
    running && `${running} more at the same time`,
    daily && `${daily} more within 24 hours`,
  ].filter(Boolean);
  $(".limits", form).textContent = `You may start ${texts.join(", and ")}.`;
  $(".limits", form).hidden = texts.length === 0;
}

async function startExport(job, item, form) {
  $("fieldset", item).disabled = true;
  try {
    await post("/exports", requestOf(job, form), (headers) => drawLimits(form, headers));
    form.elements.hf_token.value = "";
    $(".plan", form).hidden = true;
    show(null);
    await follow(job, item, true);
  } catch (problem) {
    $("fieldset", item).disabled = false;
    show(problem);
  }
}

// The page

async function start() {
  const signedIn = Boolean(token);
  $("#session").hidden = !signedIn;
  $("#jobs-section").hidden = !signedIn;
  $("#sign-in").hidden = signedIn;
  if (signedIn) {
    $("#who").textContent = `Signed in as ${subject()}`;
    $("#jobs").replaceChildren();
    await listJobs().catch(show);
    return;
  }
  const local = await isLocalStack();
  $("#local-sign-in").hidden = !local;
  $("#token-sign-in").hidden = local;
}

for (const button of document.querySelectorAll("[data-user]")) {
  button.addEventListener("click", () => signInLocally(button.dataset.user));
}
$("#token-sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  show(null);
  signIn($("#token").value);
  $("#token").value = "";
});
$("#sign-out").addEventListener("click", () => {
  show(null);
  signOut();
});
$("#reload").addEventListener("click", () => {
  show(null);
  start();
});
start();
