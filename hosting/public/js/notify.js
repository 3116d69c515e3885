// Notifications of the browser when an export has ended, if the person asks for them.

import { element } from "./dom.js";
import { exportKind } from "./format.js";

const KEY = "notify";
const DENIED = "Your browser does not allow notifications from this page. Allow them in its settings, then tick this again.";
const isPossible = () => "Notification" in window && Notification.permission !== "denied";
const isWanted = () => isPossible() && Notification.permission === "granted" && localStorage.getItem(KEY) === "yes";

/** A box to ask for notifications; null where the browser has none or they are denied. */
export function notificationBox() {
  if (!isPossible()) {
    return null;
  }
  const box = element("input", { type: "checkbox", checked: isWanted() });
  const problem = element("p", { class: "small", role: "status" });
  box.addEventListener("change", async () => {
    const wanted = box.checked;
    const allowed = wanted && (await Notification.requestPermission()) === "granted";
    box.checked = allowed;
    problem.textContent = wanted && !allowed ? DENIED : "";
    localStorage.setItem(KEY, allowed ? "yes" : "no");
  });
  return element("div", {}, element("label", { class: "check" }, box, " Notify me when it is done"), problem);
}

/** Notifies of the end of an export, unless the person sees the page. */
export function notifyOfEnd(title, latest) {
  if (isWanted() && document.visibilityState === "hidden") {
    const notification = new Notification(`${title}: ${exportKind(latest)} ${latest.status}`, { body: latest.message ?? "", tag: latest.export_id });
    notification.addEventListener("click", () => window.focus());
  }
}
