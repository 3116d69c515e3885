// Problems of the Hub in a person's words: messages of the service name the fields of its requests.

const wordsOf = (token) => [
  [/ \(hf_(token|repo_id)\)/g, ""],
  [/\bhf_token\b/g, token],
  [/\bhf_repo_id\b/g, "the repository"],
  [/\bset hf_private to false\b/g, "choose Public"],
];

/** The message, with what the form calls the fields; `token` is where the token comes from. */
export const hubText = (message, token = "the access token") =>
  wordsOf(token).reduce((text, [pattern, word]) => text.replaceAll(pattern, word), message);

/** The message as a sentence at a field of an export that has not started. A name of a repository stays as it is. */
export function hubSentence(message, token) {
  const text = hubText(message, token)
    .replaceAll(/,? and (start the export|export) again\b| \(the Hub: ".*"\)$/g, "")
    .replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase());
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
