//! Removes secrets from text that leaves the process: log lines and the messages in documents. A remote server's answer
//! can repeat the token that it was sent.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{PoisonError, RwLock},
};

use secrecy::{ExposeSecret, SecretString};

/// What replaces a secret.
const REDACTED: &str = "[redacted]";

/// The most secrets that are remembered; a function sees one with each request.
const CAPACITY: usize = 256;

/// Shorter strings are not secrets, and replacing them would garble other text.
const SHORTEST: usize = 6;

/// The secrets that were registered last.
static SECRETS: RwLock<VecDeque<SecretString>> = RwLock::new(VecDeque::new());

/// What comes before a secret whose value is not known.
const MARKS: [Mark; 3] = [
    Mark { text: "hf_", is_part: true, shortest: 20 },
    Mark { text: "Bearer ", is_part: false, shortest: SHORTEST },
    // of a signed URL, where it is not in a query
    Mark { text: "Signature=", is_part: false, shortest: SHORTEST },
];

struct Mark {
    text: &'static str,
    /// Whether it belongs to the secret.
    is_part: bool,
    /// The least number of characters after it.
    shortest: usize,
}

/// Remembers a secret, so that [`redact`] removes it.
pub fn register(secret: &SecretString) {
    if secret.expose_secret().len() < SHORTEST {
        return;
    }
    let mut known = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    if known.iter().any(|one| one.expose_secret() == secret.expose_secret()) {
        return;
    }
    if known.len() == CAPACITY {
        known.pop_front();
    }
    known.push_back(secret.clone());
}

/// The text without registered secrets, access tokens of the Hub, bearer tokens and the queries of signed URLs.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for secret in SECRETS.read().unwrap_or_else(PoisonError::into_inner).iter() {
        let secret = secret.expose_secret();
        if text.contains(secret) {
            text = Cow::Owned(text.replace(secret, REDACTED));
        }
    }
    if SIGNATURES.iter().any(|name| text.contains(name)) {
        text = Cow::Owned(without_signed_queries(&text));
    }
    for mark in MARKS {
        if text.contains(mark.text) {
            text = Cow::Owned(mark.remove(&text));
        }
    }
    text
}

/// Parameters of signed URLs: X-Goog-Signature, X-Amz-Signature and CloudFront's; Azure's.
const SIGNATURES: [&str; 2] = ["Signature=", "sig="];

/// The text without the queries that have a signature.
fn without_signed_queries(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('?') {
        let (before, after) = rest.split_at(at + 1);
        let ends =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '\\' | ')' | ']' | '}');
        let (query, remaining) = after.split_at(after.find(ends).unwrap_or(after.len()));
        out.push_str(before);
        out.push_str(if SIGNATURES.iter().any(|name| query.contains(name)) { REDACTED } else { query });
        rest = remaining;
    }
    out.push_str(rest);
    out
}

impl Mark {
    /// The text without the token characters after each mark.
    fn remove(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(self.text) {
            let (before, after) = rest.split_at(at);
            let value = &after[self.text.len()..];
            let length = value.bytes().take_while(|byte| is_token_byte(*byte)).count();
            let is_inside_word = before.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_');
            out.push_str(before);
            if length < self.shortest || (self.is_part && is_inside_word) {
                out.push_str(&after[..self.text.len() + length]);
            } else {
                out.push_str(if self.is_part { "" } else { self.text });
                out.push_str(REDACTED);
            }
            rest = &value[length..];
        }
        out.push_str(rest);
        out
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_secrets_are_removed_wherever_they_are() {
        register(&SecretString::from("correct horse"));
        assert_eq!(redact("a=correct horse, b=\"correct horse\""), "a=[redacted], b=\"[redacted]\"");
        assert!(matches!(redact("nothing to see"), Cow::Borrowed(_)));
    }

    #[test]
    fn tokens_are_removed_by_their_form() {
        for (text, expected) in [
            ("token hf_AbCdEfGhIjKlMnOpQrStUv is bad", "token [redacted] is bad"),
            ("Authorization: Bearer eyJhbGciOi.J9.x-y_z, x", "Authorization: Bearer [redacted], x"),
            ("https://x/y?a=1&X-Goog-Signature=00ff00ff&b=2", "https://x/y?[redacted]"),
            (
                "{\"url\":\"https://x/y?Policy=eyJ_~&Signature=00ff00ff&Key-Pair-Id=K1\",\"n\":1}",
                "{\"url\":\"https://x/y?[redacted]\",\"n\":1}",
            ),
            (
                "error for url (https://x/y?se=1&sig=a%2Fb): why?",
                "error for url (https://x/y?[redacted]): why?",
            ),
            ("https://x/y?a=1&b=2", "https://x/y?a=1&b=2"),
            ("Signature=00ff00ff, x", "Signature=[redacted], x"),
            ("\"hf_token\" is required; my_hf_variables", "\"hf_token\" is required; my_hf_variables"),
            ("hf_private, hf_repo_id", "hf_private, hf_repo_id"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn short_strings_are_not_secrets() {
        register(&SecretString::from("a"));
        assert_eq!(redact("a cat"), "a cat");
    }
}
