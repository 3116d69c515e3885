// What can be chosen in the form of an export, and the radio buttons and boxes for it.

import { element } from "./dom.js";

export const GOALS = [
  { id: "run", title: "Run it on this computer", hint: "A GGUF file for Ollama, LM Studio or llama.cpp" },
  { id: "serve", title: "Serve it", hint: "The merged model for vLLM, SGLang or transformers" },
  { id: "train", title: "Go on training", hint: "The LoRA adapter for PEFT, Unsloth or Axolotl" },
  { id: "publish", title: "Publish it", hint: "A repository on the Hugging Face Hub" },
  { id: "all", title: "Choose from everything", hint: "Every type and quantization, several at once" },
];

export const TYPES = [
  { id: "adapter", title: "Adapter", hint: "The LoRA as it was trained; needs the base model" },
  { id: "merged", title: "Merged model", hint: "A full model in safetensors files" },
  { id: "gguf", title: "GGUF", hint: "One file for each quantization, for llama.cpp and Ollama" },
  { id: "lora", title: "Adapter as GGUF", hint: "For llama.cpp's --lora, beside a GGUF of the base model" },
];

/** Choices under a legend. */
export function group(legend, choices) {
  return element("fieldset", { class: "group" }, element("legend", {}, legend), element("div", { class: "choices" }, choices));
}

/** An input of that type, with its label and a hint, in the form with that id. */
export function choice(form, { type, name, value, title, hint, checked }) {
  const id = `${form}-${name}-${value}`;
  const input = element("input", { type, name, value, id, checked, "aria-describedby": `${id}-hint` });
  return element("div", { class: "choice" },
    input,
    element("label", { for: id }, title),
    element("span", { class: "small hint", id: `${id}-hint` }, hint));
}
