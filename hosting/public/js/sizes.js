// The sizes of the quantization types, in the hints of their choices.

import { bytes } from "./format.js";
import { QUANTIZATIONS, RUN_CHOICES, memory, quantizationOf } from "./quantizations.js";

export class Sizes {
  /** `root` is the form with that `id`. */
  constructor(root, id) {
    Object.assign(this, { root, id });
    this.known = { gguf: new Map(), lora: new Map() };
  }

  /** Those of `names` whose size for a `gguf` or `lora` is not known yet. */
  unknown(type, names) {
    return names.filter((name) => !this.known[type].has(name));
  }

  /** Takes the sizes that the plan of an export of that type has. */
  add(type, { files }) {
    for (const file of files) {
      const name = quantizationOf(file.name);
      if (name) {
        this.known[type]?.set(name, file.bytes);
      }
    }
    this.draw(type);
  }

  /** Shows what is known of that type; nothing about another one. */
  draw(type) {
    const known = this.known[type] ?? new Map();
    for (const { name, bits, hint } of QUANTIZATIONS) {
      const size = known.get(name);
      this.setHint("quantizations", name, `${size === undefined ? "" : `${bytes(size)}, `}${bits} bits per weight. ${hint}`);
    }
    for (const { name } of RUN_CHOICES) {
      const size = this.known.gguf.get(name);
      if (size !== undefined) {
        const recommended = name === RUN_CHOICES[0].name ? ". Recommended" : "";
        this.setHint("run_quantization", name, `${bytes(size)}, about ${bytes(memory(size))} of memory${recommended}`);
      }
    }
  }

  setHint(group, name, text) {
    this.root.querySelector(`#${this.id}-${group}-${name}-hint`).textContent = text;
  }
}
