// Fields of forms, with the problem that belongs to each.

import { element } from "./dom.js";

/** A labeled field: an `input`, or another `tag`. `help` is a sentence below it. */
export function field(text, attributes, help, tag = "input") {
  const error = element("p", { class: "field-error", id: `${attributes.id}-error`, hidden: true });
  const helpId = help && `${attributes.id}-help`;
  const described = [error.id, helpId].filter(Boolean).join(" ");
  const input = element(tag, { ...attributes, "aria-describedby": described });
  const label = element("label", { for: attributes.id }, text);
  const root = element("div", { class: "field" }, label, input, help && element("p", { class: "small", id: helpId }, help), error);
  const made = { root, label, input, error };
  input.addEventListener("input", () => markInvalid(made, null));
  return made;
}

/** Shows the problem of a field, or removes it. Returns whether there is one. */
export function markInvalid({ input, error }, message) {
  error.textContent = message ?? "";
  error.hidden = !message;
  input.toggleAttribute("aria-invalid", Boolean(message));
  if (message) {
    input.setAttribute("aria-invalid", "true");
  }
  return Boolean(message);
}
