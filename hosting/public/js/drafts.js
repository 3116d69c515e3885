// What was typed in the forms, kept in this tab while the page is left. Passwords are not kept.

import { currentSession, sessionEvents } from "./session.js";

const KEY = "drafts";

sessionEvents.addEventListener("changed", () => {
  if (!currentSession()) {
    sessionStorage.removeItem(KEY);
  }
});

const kept = () => JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
const store = (drafts) => sessionStorage.setItem(KEY, JSON.stringify(drafts));
const isBox = ({ type }) => type === "radio" || type === "checkbox";

/** Keeps what the forms with a `data-draft` have. */
export function keepDrafts() {
  const forms = [...document.querySelectorAll("form[data-draft]")];
  store(Object.fromEntries(forms.map((form) => [form.dataset.draft, valuesOf(form)])));
}

/** Puts what was kept into the form, once. */
export function restoreDraft(form) {
  const { [form.dataset.draft]: values = {}, ...others } = kept();
  store(others);
  for (const input of fieldsOf(form)) {
    const value = values[nameOf(input)];
    if (value !== undefined) {
      input[isBox(input) ? "checked" : "value"] = value;
    }
  }
}

function valuesOf(form) {
  // what the page proposed is proposed again
  const written = fieldsOf(form).filter((input) => isBox(input) || input.value !== (input.dataset.proposed ?? ""));
  return Object.fromEntries(written.map((input) => [nameOf(input), isBox(input) ? input.checked : input.value]));
}

const fieldsOf = (form) => [...form.elements].filter(({ name, type }) => name && type !== "password");
const nameOf = (input) => (isBox(input) ? `${input.name}=${input.value}` : input.name);
