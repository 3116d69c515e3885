// The repository on the Hugging Face Hub that an export goes to.

import { element } from "./dom.js";
import { slug } from "./format.js";
import { field, markInvalid } from "./fields.js";

/** The owner of the last repository that an export went to, which is proposed for the next. */
const OWNER = "hub-owner";

/** The fields of the repository of an export of the job called `title`. */
export class HubFields {
  constructor(title, id) {
    this.title = title;
    this.owner = field("Owner: your user name or an organization", {
      id: `${id}-owner`, name: "hf_owner", autocomplete: "off", spellcheck: "false", value: localStorage.getItem(OWNER),
    });
    this.name = field("Name of the repository", {
      id: `${id}-name`, name: "hf_name", autocomplete: "off", spellcheck: "false",
    });
    this.token = field("Access token with write permission, from your settings on the Hub", {
      id: `${id}-token`, name: "hf_token", type: "password", autocomplete: "off",
    }, "The token is used for this export and not stored.");
    this.public = element("input", { type: "checkbox", name: "hf_public" });
    this.visibility = element("p", { class: "small" });
    this.public.addEventListener("change", () => this.drawVisibility());
    this.drawVisibility();
    this.root = element("fieldset", { class: "hub" },
      element("legend", {}, "Repository on the Hugging Face Hub"),
      this.owner.root, this.name.root, this.token.root,
      element("label", { class: "check" }, this.public, " Public"),
      this.visibility,
    );
  }

  /** Proposes a name for a repository of that type, unless the person has written one. */
  propose(type) {
    if (!this.name.input.value || this.name.input.value === this.proposed) {
      this.proposed = slug(this.title) + (type === "merged" ? "" : `-${type}`);
      this.name.input.value = this.proposed;
    }
  }

  drawVisibility() {
    this.visibility.textContent = this.public.checked
      ? "Everybody can see and download the model, and read in its card which base model and training method it has."
      : "Only you can see it or, for an organization, its members. A repository that exists keeps its visibility.";
  }

  /** Marks what is missing, and returns the first such field. */
  firstInvalid() {
    const required = [
      [this.owner, "Enter the owner of the repository, for example your user name on the Hub."],
      [this.name, "Enter the name of the repository, for example sonnets-gguf."],
      [this.token, "Enter an access token of the Hub with write permission."],
    ];
    const missing = required.filter(([one, message]) => markInvalid(one, one.input.value.trim() ? null : message));
    return missing[0]?.[0].input;
  }

  /** The field that a problem of the service is about. */
  fieldOf(name) {
    return { hf_repo_id: this.owner, hf_token: this.token }[name];
  }

  get isFilled() {
    return [this.owner, this.name, this.token].every(({ input }) => input.value.trim());
  }

  addTo(request) {
    request.destination.push("hf_hub");
    request.hf_repo_id = `${this.owner.input.value.trim()}/${this.name.input.value.trim()}`;
    request.hf_token = this.token.input.value.trim();
    request.hf_private = !this.public.checked;
  }

  /** After an export has started: forgets the token, remembers the owner. */
  started() {
    this.token.input.value = "";
    localStorage.setItem(OWNER, this.owner.input.value.trim());
  }
}
