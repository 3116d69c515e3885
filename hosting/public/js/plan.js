// What an export would make: the response of `POST /plans` for people.

import { element, list } from "./dom.js";
import { bytes, duration } from "./format.js";
import { hubText } from "./hub-text.js";
import { memory } from "./quantizations.js";

/** Who can see what goes to the repository. */
function repositoryText({ repo, exists, private: isPrivate }) {
  const visible = isPrivate ? "private: only its owner and members can see the model" : "public: everybody can see and download the model";
  return exists ? `${repo} exists and is ${visible}.` : `${repo} will be created, ${visible}.`;
}

/** The parts of a plan. `runs`: what is made can be run; `isOpen`: the list of files is unfolded. */
export function planParts(plan, { runs, isOpen }) {
  const sizes = plan.files.map((file) => file.bytes ?? 0);
  const size = sizes.reduce((sum, one) => sum + one, 0);
  const summary = plan.reused
    ? "The files exist already: an earlier export made them."
    : `Takes about ${duration(plan.estimate.seconds)} and costs about $${plan.estimate.usd.toFixed(3)}.`;
  const parts = [
    element("p", {},
      element("strong", {}, plan.hub ? `Files of ${bytes(size)} in all, to download and on the Hub. ` : `${bytes(size)} to download. `), summary,
      runs ? ` Running it takes about ${bytes(memory(Math.max(0, ...sizes)))} of memory.` : ""),
    plan.types && element("p", {}, `Types of the tensors: ${plan.types.map(({ type, tensors }) => `${tensors} × ${type}`).join(", ")}.`),
    plan.hub && element("p", {}, repositoryText(plan.hub)),
    element("details", { open: isOpen },
      element("summary", {}, plan.files.length === 1 ? "1 file" : `${plan.files.length} files`),
      list(plan.files.map((file) => `${file.name} (${file.bytes === null ? "report" : bytes(file.bytes)})`), { class: "plan-files" })),
    list(plan.warnings.map(({ message, remedy }) => `Note: ${message}${remedy ? `: ${remedy}` : ""}`), { class: "plan-warnings" }),
  ];
  return parts.filter(Boolean);
}

/** A problem of the service in a person's words: without the name of the request's field. */
export function problemText({ field, message }) {
  const text = hubText(message.replace(`${field}: `, ""));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Why nothing can be planned. */
export function planProblem(text) {
  return element("p", { class: "bad" }, text);
}
