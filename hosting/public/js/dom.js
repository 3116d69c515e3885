// Elements of the page.

/** The first element in `within` that matches. */
export const $ = (selector, within = document) => within.querySelector(selector);

/**
 * A new element. Properties that begin with `on` are listeners, the others attributes; those without a value are left out,
 * and so are children that are null, undefined or false.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) {
      made.addEventListener(name.slice(2), value);
    } else if (value !== undefined && value !== null && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A list of these items, each a text or an element. */
export function list(items, properties = {}) {
  return element("ul", properties, items.map((item) => element("li", {}, item)));
}

/** Sets the text of an element if it differs, so that a screen reader does not read it again. */
export function setText(target, text) {
  if (target.textContent !== text) {
    target.textContent = text;
  }
}

/** A text to copy, with a button. `what` completes "Copy …" for screen readers, which also read that it was copied. */
export function copyable(text, what) {
  const button = element("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${what}` }, "Copy");
  const code = element("code", { tabindex: "0", role: "group", "aria-label": what }, text);
  const status = element("span", { class: "small", role: "status" });
  button.addEventListener("click", async () => {
    const copied = await navigator.clipboard.writeText(text).then(() => true, () => false);
    if (!copied) {
      getSelection().selectAllChildren(code);
    }
    status.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (status.textContent = ""), 2000);
  });
  return element("div", { class: "copyable" }, code, status, button);
}
