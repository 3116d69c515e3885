//! A SentencePiece model (<https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto>).

/// The types of pieces.
const NORMAL: u8 = 1;
const UNKNOWN: u8 = 2;
const CONTROL: u8 = 3;
const BYTE: u8 = 6;

/// `trainer_spec`: `model_type` BPE, `byte_fallback`.
const TRAINER_SPEC: [u8; 7] = [0x12, 5, 0x18, 2, 0x98, 0x02, 1];

/// A `tokenizer.model` with as many pieces as the vocabulary has tokens: the special tokens of Gemma, the bytes, and
/// `▁t260`, `▁t261`, …
#[must_use]
pub fn tokenizer_model(vocab_size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for id in 0..vocab_size {
        let (text, kind) = match id {
            0 => ("<pad>".to_owned(), CONTROL),
            1 => ("<eos>".to_owned(), CONTROL),
            2 => ("<bos>".to_owned(), CONTROL),
            3 => ("<unk>".to_owned(), UNKNOWN),
            4..=259 => (format!("<0x{:02X}>", id - 4), BYTE),
            _ => (format!("\u{2581}t{id}"), NORMAL),
        };
        let score = -(id as f32);
        let mut piece = vec![0x0a, text.len() as u8];
        piece.extend(text.as_bytes());
        piece.push(0x15);
        piece.extend(score.to_le_bytes());
        piece.extend([0x18, kind]);
        out.extend([0x0a, piece.len() as u8]);
        out.extend(piece);
    }
    out.extend(TRAINER_SPEC);
    out
}
