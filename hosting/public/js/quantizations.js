// The quantization types of GGUF files, as in llama.cpp: the most precise first. `bits` are per weight, about; the size of a
// file is what the service plans.

export const QUANTIZATIONS = [
  { name: "f32", bits: 32, hint: "For further conversions. More than a bf16 model has." },
  { name: "f16", bits: 16, hint: "For hardware without bf16. Loses weights beyond its range." },
  { name: "bf16", bits: 16, hint: "As Gemma was trained: nothing is lost." },
  { name: "q8_0", bits: 8.5, hint: "Hardly differs from the model. Recommended for a fine-tune." },
  { name: "q6_k", bits: 6.6, hint: "Very close to the model." },
  { name: "q5_k_m", bits: 5.7, hint: "Close to the model." },
  { name: "q5_k_s", bits: 5.5, hint: "A little smaller and less precise than q5_k_m." },
  { name: "q5_1", bits: 6, hint: "An older type; q5_k_m is smaller and at least as good." },
  { name: "q5_0", bits: 5.5, hint: "An older type; q5_k_s is usually better." },
  { name: "q4_k_m", bits: 4.9, hint: "The usual choice for small memory. Fine details of a fine-tune can be lost." },
  { name: "q4_k_s", bits: 4.6, hint: "A little smaller and less precise than q4_k_m." },
  { name: "iq4_nl", bits: 4.5, hint: "As small as q4_0 and usually better; slower on some processors." },
  { name: "iq4_xs", bits: 4.3, hint: "The smallest with 4 bits; slower on some processors." },
  { name: "q4_1", bits: 5, hint: "An older type; q4_k_m is usually better." },
  { name: "q4_0", bits: 4.5, hint: "An older type, fast on ARM processors. Loses more than q4_k_m." },
  { name: "q3_k_l", bits: 4.3, hint: "Loses visibly, least of the types with 3 bits." },
  { name: "q3_k_m", bits: 3.9, hint: "Loses visibly. Only where q4_k_m does not fit." },
  { name: "q3_k_s", bits: 3.5, hint: "Loses much." },
  { name: "q2_k", bits: 3.2, hint: "Loses most. A fine-tune often does not survive it." },
];

/** Whether an importance matrix makes a difference for the type of that name. */
export const usesImatrix = (name) => QUANTIZATIONS.find((one) => one.name === name).bits < 8;

/** The types of a LoRA adapter as a GGUF file. */
export const OF_LORA = ["f32", "f16", "bf16", "q8_0"];

/** The most types in one export. */
export const MOST = 8;

/** The choices of somebody who wants to run the model, the recommended one first. */
export const RUN_CHOICES = [
  { name: "q8_0", title: "Closest to your model" },
  { name: "q6_k", title: "Smaller" },
  { name: "q4_k_m", title: "Smallest that usually works well" },
];

/** The memory that running a file takes, about: its weights, and the context of a conversation. */
export const memory = (fileBytes) => 1.15 * fileBytes + 300e6;

/** The quantization type of a GGUF file, of a model or an adapter, by its name, as the service names them; undefined if it has types for a size. */
export function quantizationOf(fileName) {
  const name = fileName === "model.gguf" ? "q8_0" : fileName.match(/^(?:model|lora)-(.+)\.gguf$/)?.[1];
  return QUANTIZATIONS.some((one) => one.name === name) ? name : undefined;
}
