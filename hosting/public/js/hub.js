// The repository on the Hugging Face Hub that an export goes to, and whose token puts it there.

import { element, setText } from "./dom.js";
import { slug } from "./format.js";
import { field, markInvalid } from "./fields.js";
import { hubSentence } from "./hub-text.js";
import { hasReturned, hubAccount, hubProblem, hubSettings, signInWithHub, signOutOfHub } from "./hub-account.js";
import { currentSession, sessionEvents } from "./session.js";

/** Who is signed in, and the owner of their last repository, which is proposed for the next one: separated by a space. */
const OWNER = "hub-owner";
const TOKEN_LABEL = "ccess token with write permission, from your settings on the Hub";

/** A user's or a repository's name, by the rules of the Hub. */
const NAME = /^(?![-.])(?!.*(--|\.\.))[\w.-]+(?<![-.])$/;
const NAME_RULES = "may have letters, digits, -, _ and . only; it may not begin or end with - or ., end with .git, or have -- or .. in it. "
  + "Owner and name have at most 95 characters together.";

sessionEvents.addEventListener("changed", () => {
  if (!currentSession()) {
    localStorage.removeItem(OWNER);
  }
});

/** The owner that is remembered for who is signed in, if there is one. */
function lastOwner() {
  const [user, owner] = (localStorage.getItem(OWNER) ?? "").split(" ");
  return user === currentSession()?.user ? owner : undefined;
}

/** The fields of the repository of an export of the job called `title`; `hash` is the job's in the page's address. */
export class HubFields {
  constructor(title, id, hash) {
    this.title = title;
    this.signIn = element("button", { type: "button", onclick: () => this.leave(hash) }, "Sign in with Hugging Face");
    this.ask = element("div", {}, this.signIn, element("p", { class: "small" },
      "The Hub asks you to which of your organizations this page may write. What you have typed here stays."));
    this.user = element("p", { tabindex: "-1" });
    this.signedIn = element("div", { class: "row between" }, this.user,
      element("button", { type: "button", class: "quiet", onclick: () => signOutOfHub() }, "Sign out of the Hub"));
    this.problem = element("p", { class: "field-error", role: "alert" });
    this.account = element("div", { class: "hub-account", hidden: true }, this.ask, this.signedIn, this.problem);
    this.owner = field("Owner: your user name or an organization", {
      id: `${id}-owner`, name: "hf_owner", autocomplete: "off", spellcheck: "false", value: lastOwner(),
    });
    this.namespace = field("Owner", { id: `${id}-namespace`, name: "hf_namespace" },
      "You, or an organization that you let this page write to.", "select");
    this.name = field("Name of the repository", {
      id: `${id}-name`, name: "hf_name", autocomplete: "off", spellcheck: "false",
    });
    this.token = field(`A${TOKEN_LABEL}`, {
      id: `${id}-token`, name: "hf_token", type: "password", autocomplete: "off",
    }, "The token is used for this export and not stored.");
    this.public = element("input", { type: "checkbox", name: "hf_public" });
    this.visibility = element("p", { class: "small" });
    this.public.addEventListener("change", () => this.drawVisibility());
    this.root = element("fieldset", { class: "hub" },
      element("legend", {}, "Repository on the Hugging Face Hub"),
      this.account, this.owner.root, this.namespace.root, this.name.root, this.token.root,
      element("label", { class: "check" }, this.public, " Public"),
      this.visibility,
    );
    this.drawAccount();
  }

  /** Shows the fields, or hides them. */
  async show(shown) {
    this.root.hidden = !shown;
    this.drawVisibility();
    if (shown && this.account.hidden && (await hubSettings())) {
      this.account.hidden = false;
      this.token.label.textContent = `Or an a${TOKEN_LABEL}`;
      this.showReturn();
    }
  }

  /** Shows who is signed in on the Hub: the repository is then that person's, or an organization's. */
  drawAccount() {
    const account = hubAccount();
    this.ask.hidden = Boolean(account);
    this.signedIn.hidden = this.namespace.root.hidden = !account;
    this.owner.root.hidden = this.token.root.hidden = Boolean(account);
    this.problem.textContent = hubProblem();
    if (account) {
      const owners = [account.user, ...account.organizations];
      const { value } = this.namespace.input;
      const chosen = [value, this.owner.input.value].find((owner) => owners.includes(owner)) ?? account.user;
      this.user.textContent = `Signed in to the Hub as ${account.user}`;
      this.namespace.input.replaceChildren(...owners.map((owner) => element("option", { selected: owner === chosen }, owner)));
    }
    this.showReturn();
  }

  /** Leads to what came of a sign-in, after the page has returned from the Hub. */
  showReturn() {
    if (this.root.isConnected && !this.root.hidden && !this.account.hidden && hasReturned()) {
      (hubAccount() ? this.user : this.signIn).focus();
    }
  }

  async leave(hash) {
    const enable = () => this.signIn.removeAttribute("aria-disabled");
    if (this.signIn.ariaDisabled) {
      return;
    }
    this.signIn.setAttribute("aria-disabled", "true");
    // until the page is left: a second sign-in would end the first
    addEventListener("pagehide", enable, { once: true });
    if (!(await signInWithHub(hash))) {
      enable();
    }
  }

  /** Proposes a name for a repository of that type, unless the person has written one. */
  propose(type) {
    const { input } = this.name;
    if (!input.value || input.value === input.dataset.proposed) {
      input.dataset.proposed = slug(this.title) + (type === "merged" ? "" : `-${type}`);
      input.value = input.dataset.proposed;
    }
  }

  drawVisibility() {
    this.visibility.textContent = this.public.checked
      ? "Everybody can see and download the model, and read in its card which base model and training method it has. A repository that exists keeps its visibility."
      : "Only you can see it or, for an organization, its members. A repository that exists keeps its visibility.";
  }

  /** The field of the owner that is in use. */
  get ownerField() {
    return hubAccount() ? this.namespace : this.owner;
  }

  get ownerName() {
    return this.ownerField.input.value.trim();
  }

  get accessToken() {
    return hubAccount()?.token ?? this.token.input.value.trim();
  }

  /** Marks what is missing, and returns the first such field. */
  firstInvalid() {
    const required = [
      [this.ownerField, this.ownerName, "Enter the owner of the repository, for example your user name on the Hub."],
      [this.name, this.name.input.value.trim(), "Enter the name of the repository, for example sonnets-gguf."],
      [this.token, this.accessToken, this.account.hidden
        ? "Enter an access token of the Hub with write permission."
        : "Sign in with Hugging Face, or enter an access token with write permission."],
    ];
    this.marked = null;
    const missing = required.filter(([one, value, message]) => markInvalid(one, value ? null : message));
    return missing[0]?.[0].input;
  }

  /** Shows a problem of the service at the field that it is about, and returns what has the focus then; nothing if it is another's. */
  mark({ field: name, status, message }) {
    switch (name) {
      case "hf_repo_id": return status === 400 ? this.markName() : this.markAt(this.name, hubSentence(message));
      case "hf_private": return this.markAt(this.name, hubSentence(message));
      case "hf_token": return hubAccount()
        ? this.markSignIn(message)
        : this.markAt(this.token, hubSentence(message.replace(`${name}: `, "the access token ")));
      default: return undefined;
    }
  }

  /** Shows the rules of the Hub for names at the one that breaks them. */
  markName() {
    const isName = NAME.test(this.ownerName);
    return this.markAt(isName ? this.name : this.ownerField, `The ${isName ? "name" : "owner"} of the repository ${NAME_RULES}`);
  }

  /** Shows a problem of the token of who has signed in on the Hub, which is in no field. */
  markSignIn(message) {
    const problem = hubSentence(message, "your sign-in on the Hub");
    setText(this.problem, `${problem} Sign out of the Hub to sign in again, or to enter an access token.`);
    return this.user;
  }

  markAt(one, message) {
    this.marked = one;
    markInvalid(one, message);
    return one.input;
  }

  /** Removes the problem of the service: there is another answer. */
  unmark() {
    setText(this.problem, hubProblem());
    if (this.marked) {
      markInvalid(this.marked, null);
      this.marked = null;
    }
  }

  get isFilled() {
    return Boolean(this.ownerName && this.name.input.value.trim() && this.accessToken);
  }

  addTo(request) {
    request.destination.push("hf_hub");
    request.hf_repo_id = `${this.ownerName}/${this.name.input.value.trim()}`;
    request.hf_token = this.accessToken;
    request.hf_private = !this.public.checked;
  }

  /** After an export has started: forgets the token that was typed, remembers the owner. */
  started() {
    this.token.input.value = "";
    localStorage.setItem(OWNER, `${currentSession()?.user} ${this.ownerName}`);
  }
}
