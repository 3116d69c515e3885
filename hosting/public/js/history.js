// The exports of a job so far, and what to do about those that failed.

import { getHistory } from "./api.js";
import { element } from "./dom.js";
import { dateAndTime, exportKind } from "./format.js";

/** What helps, by the code of the failure; the message of the export has more. */
const ADVICE = {
  invalid_input: "Change what the message names, then export again.",
  access_denied: "Check the access token, and that its owner may read the base model and write the repository.",
  not_found: "Check the names of base model and repository.",
  interrupted: "Export again.",
  timeout: "Export again in some minutes.",
  cancelled: "You cancelled it. Export again if you need it.",
  internal: "Export again. If it fails again, report the export's id.",
};

export const adviceOf = (failure) => ADVICE[failure?.code] ?? "";

/** A section that loads the history when it is opened. */
export function history(jobId) {
  const items = element("ol", { class: "history" });
  const status = element("p", { role: "status" });
  const more = element("button", { type: "button", class: "quiet", hidden: true }, "Show older");
  let nextPage = null;
  const load = async (pageToken) => {
    status.textContent = "Loading…";
    more.hidden = true;
    try {
      const { exports, next_page_token: next } = await getHistory(jobId, pageToken);
      items.append(...exports.map(entry));
      nextPage = next;
      more.hidden = !next;
      status.textContent = items.children.length === 0 ? "There are no exports yet." : "";
    } catch (problem) {
      status.textContent = problem.message;
      more.hidden = false;
      more.textContent = "Try again";
    }
  };
  more.addEventListener("click", () => {
    more.textContent = "Show older";
    load(nextPage);
  });
  const section = element("details", { class: "past" }, element("summary", {}, "All exports of this job"), status, items, more);
  section.addEventListener("toggle", () => {
    if (section.open) {
      items.replaceChildren();
      load(null);
    }
  });
  return section;
}

function entry(one) {
  const end = one.finished_at ? "" : " (running)";
  return element("li", {},
    element("p", {},
      element("strong", {}, exportKind(one)), ` `, element("span", { class: `status ${one.status}` }, one.status), " ",
      element("time", { datetime: one.started_at, class: "small" }, `${dateAndTime(one.started_at)}${end}`)),
    one.hf_repo_id && element("p", { class: "small" }, `To ${one.hf_repo_id} on the Hub`),
    one.message && element("p", {}, one.message),
    one.failure && element("p", { class: "small" }, `${adviceOf(one.failure)} Export ${one.export_id}`));
}
