//! Checks that merges by score give the same ids as merges in the order of a list.
//!
//! llama.cpp's SentencePiece tokenizer merges the adjacent pieces whose union has the best score; BPE merges the pair that
//! is first in the list. Both give the same ids if every split of a piece into two pieces is a merge, and all merges to a
//! piece are consecutive: their order is then the order of scores.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::thread;

use foldhash::fast::RandomState;

use super::bpe_vocab::{BpeVocab, MergeRule};

/// The maximum length of a piece, to bound the time of the check. Far longer than real pieces.
const MAX_PIECE_BYTES: usize = 512;
/// Pieces of a thread. Fewer are not worth one.
const PIECES_PER_THREAD: usize = 1 << 14;
/// The rank of a piece that no merge makes.
pub(super) const NO_RANK: u32 = u32::MAX;

/// The pieces of a vocabulary by text, and which of them are added tokens.
pub(super) struct PieceIndex<'v> {
    pieces: &'v [(Cow<'v, str>, u32)],
    numbers: HashMap<&'v str, u32, RandomState>,
    is_added: Vec<bool>,
    added: HashSet<&'v str, RandomState>,
}

impl<'v> PieceIndex<'v> {
    /// `added` are the texts of added tokens, in the vocabulary or not.
    pub(super) fn new(vocab: &'v BpeVocab<'_>, added: impl Iterator<Item = &'v str>) -> Result<Self, String> {
        let pieces: &'v [(Cow<'v, str>, u32)] = &vocab.0;
        let mut numbers = HashMap::with_capacity_and_hasher(pieces.len(), RandomState::default());
        for (number, (text, _)) in pieces.iter().enumerate() {
            if numbers.insert(&**text, number as u32).is_some() {
                return Err(format!("that has the piece {text:?} twice"));
            }
        }
        let added: HashSet<&str, RandomState> = added.collect();
        let mut is_added = vec![false; pieces.len()];
        for number in added.iter().filter_map(|text| numbers.get(text)) {
            is_added[*number as usize] = true;
        }
        Ok(Self { pieces, numbers, is_added, added })
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).map(|number| self.pieces[*number as usize].1)
    }

    pub(super) fn is_added(&self, piece: usize) -> bool {
        self.is_added[piece]
    }

    /// Whether SentencePiece may merge this text with another: a piece, or any single character.
    fn is_symbol(&self, text: &str) -> bool {
        match self.numbers.get(text) {
            Some(number) => !self.is_added[*number as usize],
            None => text.chars().nth(1).is_none() && !self.added.contains(text),
        }
    }

    /// The rank of each piece in the order of merges, or [`NO_RANK`].
    pub(super) fn ranks(&self, merges: &[MergeRule<'_>]) -> Result<Vec<u32>, String> {
        let merged = self.group(merges)?;
        self.check_splits(merges, &merged)?;
        Ok(merged.into_iter().map(|piece| piece.rank).collect())
    }

    /// The merges to each piece. Merges from or to added tokens are ignored: added tokens are matched before the text is
    /// merged.
    fn group(&self, merges: &[MergeRule<'_>]) -> Result<Vec<MergedPiece>, String> {
        let mut merged = vec![MergedPiece { rank: NO_RANK, first: 0, end: 0 }; self.pieces.len()];
        let (mut last, mut text, mut count) = (None::<usize>, String::new(), 0);
        for (number, merge) in merges.iter().enumerate() {
            let (left, right) = merge.parts().ok_or("with a merge that is not a pair")?;
            if self.added.contains(left) || self.added.contains(right) {
                continue;
            }
            if let Some(piece) = last.filter(|piece| is_union(&self.pieces[*piece].0, left, right)) {
                merged[piece].end = number as u32 + 1;
                continue;
            }
            text.clear();
            text.extend([left, right]);
            if self.added.contains(text.as_str()) {
                continue;
            }
            let piece = self.numbers.get(text.as_str()).map(|piece| *piece as usize);
            let piece = piece.ok_or_else(|| format!("with a merge to {text:?}, which is not a piece"))?;
            if merged[piece].rank != NO_RANK {
                return Err(format!("whose merges to {text:?} are not consecutive"));
            }
            merged[piece] = MergedPiece { rank: count, first: number as u32, end: number as u32 + 1 };
            (last, count) = (Some(piece), count + 1);
        }
        Ok(merged)
    }

    /// Checks that every split of a piece into two pieces is a merge: SentencePiece merges any two pieces whose union is
    /// a piece.
    fn check_splits(&self, merges: &[MergeRule<'_>], merged: &[MergedPiece]) -> Result<(), String> {
        let check = |first: usize, merged: &[MergedPiece]| {
            let mut pieces = merged.iter().enumerate();
            pieces.try_for_each(|(at, piece)| self.check_piece(first + at, &merges[piece.merges()]))
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let length = merged.len().div_ceil(threads).max(PIECES_PER_THREAD);
        thread::scope(|scope| {
            let (first, others) = merged.split_at(merged.len().min(length));
            let chunks = others.chunks(length).enumerate();
            let running: Vec<_> =
                chunks.map(|(at, chunk)| scope.spawn(move || check((at + 1) * length, chunk))).collect();
            let joined = running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            std::iter::once(check(0, first)).chain(joined).collect()
        })
    }

    /// Checks the splits of a piece that are not among its merges.
    fn check_piece(&self, piece: usize, merges: &[MergeRule<'_>]) -> Result<(), String> {
        let text = &*self.pieces[piece].0;
        if self.is_added[piece] {
            return Ok(());
        }
        if text.len() > MAX_PIECE_BYTES {
            return Err(format!("with a piece of {} bytes", text.len()));
        }
        let mut is_merge = [false; MAX_PIECE_BYTES];
        for (left, _) in merges.iter().filter_map(MergeRule::parts).filter(|(l, r)| is_union(text, l, r)) {
            if let Some(is_merge) = is_merge.get_mut(left.len()) {
                *is_merge = true;
            }
        }
        for (at, _) in text.char_indices().skip(1).filter(|(at, _)| !is_merge[*at]) {
            let (left, right) = text.split_at(at);
            if self.is_symbol(left) && self.is_symbol(right) {
                return Err(format!("that never merges {left:?} and {right:?}, though {text:?} is a piece"));
            }
        }
        Ok(())
    }
}

/// The rank of a piece in the order of merges, and the range that has all merges to it.
#[derive(Clone, Copy)]
struct MergedPiece {
    rank: u32,
    first: u32,
    end: u32,
}

impl MergedPiece {
    fn merges(self) -> std::ops::Range<usize> {
        self.first as usize..self.end as usize
    }
}

fn is_union(text: &str, left: &str, right: &str) -> bool {
    text.strip_prefix(left) == Some(right)
}
