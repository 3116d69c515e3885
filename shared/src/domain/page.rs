//! Pages of lists.

use std::str::FromStr;

/// How many items a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u8);

impl PageSize {
    /// The size of a page that is not asked for.
    pub const DEFAULT: Self = Self(20);
    /// The most items of a page.
    pub const MAX: u8 = 100;

    /// The largest page.
    pub const LARGEST: Self = Self(Self::MAX);

    /// The number of items.
    #[must_use]
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// The text is not the size of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 1 to {}", PageSize::MAX)]
pub struct InvalidPageSize;

impl FromStr for PageSize {
    type Err = InvalidPageSize;

    fn from_str(text: &str) -> Result<Self, InvalidPageSize> {
        let size = text.parse().ok().filter(|size| (1..=Self::MAX).contains(size));
        size.map(Self).ok_or(InvalidPageSize)
    }
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest<Id> {
    /// How many items.
    pub size: PageSize,
    /// The last item of the page before.
    pub after: Option<Id>,
}

impl<Id> Default for PageRequest<Id> {
    fn default() -> Self {
        Self { size: PageSize::DEFAULT, after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_to_a_hundred_items() {
        for (text, size) in [("1", 1), ("20", 20), ("100", 100)] {
            assert_eq!(text.parse::<PageSize>().map(PageSize::get), Ok(size));
        }
        for text in ["", "0", "101", "-1", "x", "1.5", "+7 "] {
            assert_eq!(text.parse::<PageSize>(), Err(InvalidPageSize), "{text}");
        }
    }
}
