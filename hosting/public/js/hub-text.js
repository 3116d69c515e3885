// Problems of the Hub in a person's words: messages of the service name the fields of its requests.

const WORDS = [
  [/ \(hf_(token|repo_id)\)/g, ""],
  [/\bhf_token\b/g, "the access token"],
  [/\bhf_repo_id\b/g, "the repository"],
  [/\bset hf_private to false\b/g, "choose Public"],
];

/** The message, with what the form calls the fields. */
export const hubText = (message) => WORDS.reduce((text, [pattern, word]) => text.replaceAll(pattern, word), message);

/** The message as a sentence at a field of an export that has not started. */
export function hubSentence(message) {
  const text = hubText(message).replaceAll(/,? and (start the export|export) again\b| \(the Hub: ".*"\)$/g, "");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
