//! `tokenizer.model`: the pieces of SentencePiece's `ModelProto`.
//!
//! Format: <https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto>. The file is a protocol
//! buffer with four wire types. Lengths are checked against the rest of the file.

use super::{TokenType, TokenVocabulary};
use crate::error::{Error, Result};

/// SentencePiece's number of the type of user-defined pieces.
const USER_DEFINED: u64 = 4;

/// A piece with its score and type.
pub(crate) struct SentencePiece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: TokenType,
    /// A symbol that the trainer was given (`USER_DEFINED`).
    pub(super) is_user_defined: bool,
}

/// Parses the pieces.
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<SentencePiece>> {
    let invalid = |position: usize| {
        Error::invalid(file, format!("is not a SentencePiece model: invalid at byte {position}"))
    };
    let mut pieces = Vec::new();
    let mut message = ProtoReader { bytes, position: 0 };
    while message.position < bytes.len() {
        let position = message.position;
        match message.field() {
            Some((1, ProtoField::Bytes(piece))) => match parse_piece(piece) {
                Some(piece) => pieces.push(piece),
                None => {
                    return Err(Error::invalid(
                        file,
                        format!("has an invalid piece {} at byte {position}", pieces.len()),
                    ));
                }
            },
            Some(_) => {}
            None => return Err(invalid(position)),
        }
    }
    if pieces.is_empty() {
        Err(Error::invalid(file, "has no pieces: is it a SentencePiece model?"))
    } else {
        Ok(pieces)
    }
}

fn parse_piece(bytes: &[u8]) -> Option<SentencePiece> {
    let mut piece =
        SentencePiece { text: String::new(), score: 0.0, kind: TokenType::Normal, is_user_defined: false };
    let mut message = ProtoReader { bytes, position: 0 };
    while message.position < bytes.len() {
        match message.field()? {
            (1, ProtoField::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
            (2, ProtoField::Fixed32(bits)) => piece.score = f32::from_le_bytes(bits),
            (3, ProtoField::Varint(kind)) => {
                piece.kind = token_type(kind)?;
                piece.is_user_defined = kind == USER_DEFINED;
            }
            _ => {}
        }
    }
    Some(piece)
}

/// The converter's type for a type of SentencePiece. It has no rule for user-defined pieces, which become normal.
fn token_type(kind: u64) -> Option<TokenType> {
    match kind {
        1 | USER_DEFINED => Some(TokenType::Normal),
        2 => Some(TokenType::Unknown),
        3 => Some(TokenType::Control),
        5 => Some(TokenType::Unused),
        6 => Some(TokenType::Byte),
        _ => None,
    }
}

/// A vocabulary of `size` tokens, from pieces sorted by id; ids without a piece are unused `[PAD…]` tokens.
pub(crate) fn vocabulary(
    pieces: impl IntoIterator<Item = (usize, SentencePiece)>,
    size: usize,
) -> TokenVocabulary {
    let mut vocabulary = TokenVocabulary {
        tokens: Vec::with_capacity(size),
        scores: Vec::with_capacity(size),
        types: Vec::with_capacity(size),
    };
    for (id, piece) in pieces.into_iter().filter(|(id, _)| *id < size) {
        vocabulary.pad_to(id);
        vocabulary.push(piece);
    }
    vocabulary.pad_to(size);
    vocabulary
}

impl TokenVocabulary {
    fn push(&mut self, piece: SentencePiece) {
        self.tokens.push(piece.text);
        self.scores.push(piece.score);
        self.types.push(piece.kind);
    }

    /// Adds unused tokens up to `size`.
    fn pad_to(&mut self, size: usize) {
        for id in self.tokens.len()..size {
            let text = format!("[PAD{id}]");
            self.push(SentencePiece {
                text,
                score: -10_000.0,
                kind: TokenType::Unused,
                is_user_defined: false,
            });
        }
    }
}

/// A reader of a protocol buffer message.
struct ProtoReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

enum ProtoField<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> ProtoReader<'a> {
    /// The number and value of the next field; `None` if the bytes are invalid.
    fn field(&mut self) -> Option<(u64, ProtoField<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => ProtoField::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                ProtoField::Fixed64
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                ProtoField::Bytes(self.take(length)?)
            }
            5 => ProtoField::Fixed32(self.take(4)?.try_into().ok()?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(length)?;
        let bytes = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.position)?;
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pieces { piece: "<text>" score: -1.5 type: <kind> }`
    fn model(entries: &[(&str, u8)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (text, kind) in entries {
            let mut piece = vec![0x0a, text.len() as u8];
            piece.extend(text.as_bytes());
            piece.push(0x15);
            piece.extend((-1.5_f32).to_le_bytes());
            piece.extend([0x18, *kind]);
            out.extend([0x0a, piece.len() as u8]);
            out.extend(piece);
        }
        // trainer_spec, which is skipped
        out.extend([0x12, 2, 0x08, 1]);
        out
    }

    #[test]
    fn pieces_keep_text_score_and_type() {
        let pieces = parse("m", &model(&[("<unk>", 2), ("▁a", 1), ("<0x0A>", 6), ("user", 4)])).unwrap();
        let kinds: Vec<_> = pieces.iter().map(|p| (p.text.as_str(), p.kind)).collect();
        assert_eq!(
            kinds,
            [
                ("<unk>", TokenType::Unknown),
                ("▁a", TokenType::Normal),
                ("<0x0A>", TokenType::Byte),
                ("user", TokenType::Normal)
            ]
        );
        assert_eq!(pieces[1].score, -1.5);
    }

    #[test]
    fn ids_without_a_piece_are_unused_tokens() {
        let vocabulary = vocabulary(parse("m", &model(&[("a", 1)])).unwrap().into_iter().enumerate(), 2);
        assert_eq!(vocabulary.tokens, ["a", "[PAD1]"]);
        assert_eq!(vocabulary.scores, [-1.5, -10_000.0]);
        assert_eq!(vocabulary.types, [TokenType::Normal, TokenType::Unused]);
    }

    #[test]
    fn every_truncation_is_an_error_and_not_a_panic() {
        let whole = model(&[("ab", 1), ("cd", 3)]);
        for end in 0..whole.len() {
            if let Ok(pieces) = parse("m", &whole[..end]) {
                assert!(pieces.len() <= 2);
            }
        }
        assert!(parse("m", &whole[..5]).is_err());
    }

    #[test]
    fn a_length_beyond_the_file_is_an_error() {
        assert!(parse("m", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            drop(parse("m", &bytes));
        }
    }
}
