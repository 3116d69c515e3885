// What an expert can add to an export: prompts of their own, an importance matrix or a text for one, and a size.

import { element } from "./dom.js";
import { field, markInvalid } from "./fields.js";
import { gigabytes } from "./format.js";
import { ImatrixField } from "./imatrix.js";
import { usesImatrix } from "./quantizations.js";

const DECIMAL = /^(\d+([.,]\d*)?|[.,]\d+)$/;
const SIZE_PROBLEM = "Enter a size in GB, for example 4.";
/** The smallest size in what the service says about one that no file of the model has. */
const SMALLEST = /allow (\d+) at least/;

/** The further options of an export. */
export class ExpertFields {
  /** `folder` is the URL of the adapter's folder, or null. */
  constructor(id, folder) {
    const scheme = schemeOf(folder);
    const below = `The ${scheme} URL of a file below the folder of the adapter`;
    const url = (label, name, help) => field(label, {
      id: `${id}-${name}`, name, type: "url", placeholder: scheme, autocomplete: "off", spellcheck: "false",
    }, help);
    this.prompts = url("Your own prompts", "prompts_uri",
      `${below}: one prompt a line, or a training set. What an export keeps of the fine-tune is measured with them.`);
    this.imatrix = new ImatrixField(id, scheme);
    this.calibration = url("Text for an importance matrix", "calibration_uri",
      `${below}, like what the model will read and write. Types below 8 bits then keep more of the fine-tune; the export takes longer.`);
    this.size = field("Largest size of the file, in GB", {
      id: `${id}-max_bytes`, name: "max_bytes", inputmode: "decimal", autocomplete: "off",
    }, "Instead of the quantization types above: a type is chosen for each tensor, so that the error is least.");
    this.root = element("details", { class: "expert", hidden: true },
      element("summary", {}, "More options"), this.prompts.root, this.imatrix.root, this.calibration.root,
      this.size.root);
  }

  /** Shows what belongs to an export of that type; nothing without one. */
  show(type, quantizations) {
    this.root.hidden = !["gguf", "merged"].includes(type);
    this.size.root.hidden = type !== "gguf";
    const needsNoMatrix = type !== "gguf" || !(this.hasSize || quantizations.some(usesImatrix));
    this.imatrix.root.hidden = needsNoMatrix;
    this.calibration.root.hidden = needsNoMatrix;
  }

  /** Whether types are chosen for a size. */
  get hasSize() {
    return this.isShown(this.size) && Boolean(this.size.input.value.trim());
  }

  /** The largest size of the file in bytes; 0 if it is no size. */
  get sizeBytes() {
    const text = this.size.input.value.trim();
    return DECIMAL.test(text) ? Math.round(Number(text.replace(",", ".")) * 1e9) : 0;
  }

  get fields() {
    return [this.prompts, this.imatrix.field, this.calibration, this.size];
  }

  isShown({ root }) {
    return !this.root.hidden && !root.hidden;
  }

  /** Whether something is in one of the fields. */
  get isUsed() {
    return this.fields.some((one) => this.isShown(one) && Boolean(one.input.value.trim()));
  }

  addTo(request) {
    for (const one of [this.prompts, this.calibration]) {
      const value = one.input.value.trim();
      if (this.isShown(one) && value) {
        request[one.input.name] = value;
      }
    }
    this.imatrix.addTo(request);
    if (this.hasSize) {
      delete request.quantizations;
      request.max_bytes = this.sizeBytes;
    }
  }

  /** The first input whose value cannot be right, with the problem marked. */
  firstInvalid() {
    const isWrongSize = markInvalid(this.size, this.hasSize && this.sizeBytes === 0 ? SIZE_PROBLEM : null);
    return this.shownAt(this.imatrix.firstInvalid() ?? (isWrongSize ? this.size.input : null));
  }

  /** Shows a problem of the service at the field that it is about, and returns the field's input; nothing if it is another's. */
  mark({ field: name, message }) {
    const own = this.fields.find((one) => this.isShown(one) && one.input.name === name);
    if (own) {
      markInvalid(own, own === this.size ? sizeText(message) : fileText(message, name));
    }
    return this.shownAt(own?.input);
  }

  /** The input, which is not folded away. */
  shownAt(input) {
    if (input) {
      this.root.open = true;
    }
    return input;
  }
}

/** How URLs of the storage begin: the local stack has files in place of buckets. */
const schemeOf = (folder) => /^\w+:\/\//.exec(folder ?? "")?.[0] ?? "gs://";

/** A message about the largest size, in the unit of its field. */
function sizeText(message) {
  const smallest = SMALLEST.exec(message)?.[1];
  return smallest ? `No file of this model is that small: enter at least ${gigabytes(Number(smallest))}.` : SIZE_PROBLEM;
}

/** A message about the file of that field, as a sentence without the field's name in the request. */
function fileText(message, name) {
  const text = message.replace(new RegExp(`^${name}:? (?=(is|must) )`), "It ").replace(`${name} `, "");
  return `${text}.`;
}
