//! What an entry is known by: a VRM, or a pattern of VRMs.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::plate::{self, NotAVrm, Vrm};

/// The longest pattern, in characters, once runs of `*` are one.
const LONGEST: usize = 2 * plate::LONGEST + 1;

/// What an entry is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// One VRM.
    Vrm(Vrm),
    /// Every VRM that fits.
    Pattern(Pattern),
}

/// A VRM of which only some is known: `?` stands for one character, `*` for any number of them, none included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

/// Why a text is neither a VRM nor a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAMark {
    /// It is no VRM.
    #[error(transparent)]
    Vrm(#[from] NotAVrm),
    /// A pattern that every vehicle fits.
    #[error("it is a pattern that names no character")]
    Everything,
    /// A pattern with more characters than any plate can need.
    #[error("it is a pattern of {0} characters, more than {LONGEST}")]
    TooLong(usize),
}

impl Mark {
    /// Reads a VRM or pattern as people write it: case, spaces, hyphens and dots do not count.
    ///
    /// # Errors
    /// Why it is neither.
    pub fn parse(text: &str) -> Result<Self, NotAMark> {
        if text.contains(['?', '*']) {
            Pattern::parse(text).map(Self::Pattern)
        } else {
            Ok(Self::Vrm(Vrm::parse(text)?))
        }
    }

    /// The text, without spaces.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Vrm(vrm) => vrm.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

impl Pattern {
    /// Reads a pattern as people write it.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, NotAMark> {
        let mut pattern = String::with_capacity(text.len());
        for character in text.chars() {
            match character.to_ascii_uppercase() {
                ' ' | '\t' | '-' | '.' | '\u{a0}' => {}
                '*' if pattern.ends_with('*') => {}
                c if matches!(c, '?' | '*') || plate::index_of(c).is_some() => pattern.push(c),
                c => return Err(NotAVrm::Foreign(c).into()),
            }
        }
        if pattern.is_empty() {
            return Err(NotAVrm::Empty.into());
        }
        if pattern.len() > LONGEST {
            return Err(NotAMark::TooLong(pattern.len()));
        }
        if pattern.chars().all(|c| matches!(c, '?' | '*')) {
            return Err(NotAMark::Everything);
        }
        Ok(Self(pattern))
    }

    /// The text, without spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Vrm> for Mark {
    fn from(vrm: Vrm) -> Self {
        Self::Vrm(vrm)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_vrm_or_a_pattern_that_names_something() {
        for (text, kept) in [("ab12 cde", "AB12CDE"), ("ab?2 *", "AB?2*"), ("**A***B?", "*A*B?")] {
            assert_eq!(Mark::parse(text).map(|mark| mark.to_string()), Ok(kept.into()));
        }
        assert!(matches!(Mark::parse("A1"), Ok(Mark::Vrm(_))) && matches!(Mark::parse("A?"), Ok(Mark::Pattern(_))));
        assert_eq!(Mark::parse("?*?"), Err(NotAMark::Everything));
        assert_eq!(Mark::parse("A_?"), Err(NotAVrm::Foreign('_').into()));
        assert_eq!(Mark::parse(" "), Err(NotAVrm::Empty.into()));
        assert_eq!(Mark::parse(&"A?".repeat(13)), Err(NotAMark::TooLong(26)));
    }
}
