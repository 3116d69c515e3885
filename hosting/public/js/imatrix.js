// The importance matrix of a GGUF export.

import { field, markInvalid } from "./fields.js";

const HELP = "A file that llama-imatrix or gemma-export imatrix made of your own texts. It tells which weights matter most, so that types "
  + "below 8 bits keep more of the fine-tune. It is in the folder of your adapter or of the base models.";
/** A file in a bucket, or in a folder of the local stack. */
const URL_OF_FILE = /^(gs:\/\/[^/]+|file:\/\/)\/.*[^/]$/;

export class ImatrixField {
  /** `scheme` is how URLs of the storage begin. */
  constructor(id, scheme) {
    this.scheme = scheme;
    this.field = field("Importance matrix (optional)", {
      id: `${id}-imatrix`, name: "imatrix", autocomplete: "off", spellcheck: "false", placeholder: scheme,
    }, HELP);
    this.root = this.field.root;
  }

  get url() {
    return this.root.hidden ? "" : this.field.input.value.trim();
  }

  addTo(request) {
    if (this.url) {
      request.imatrix = this.url;
    }
  }

  /** The input if it has no URL of a file, with the problem marked. */
  firstInvalid() {
    const isWrong = this.url && !URL_OF_FILE.test(this.url);
    const problem = `This is not the URL of a file in the storage. It begins with ${this.scheme} and ends with the file's name.`;
    return markInvalid(this.field, isWrong ? problem : null) ? this.field.input : null;
  }
}
