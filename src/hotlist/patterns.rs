//! All patterns of a list as one automaton.
//!
//! The patterns are laid into one tree, a token an edge: a character (shared glyphs folded), `?`, or `*`. A text is
//! read character by character while the nodes that it may have reached are followed; a node behind a `*` stays
//! reached. Patterns that begin alike share their nodes, so that ten thousand of them cost little more than those that the
//! text does fit for a while.

use std::collections::HashMap;

use super::mark::Pattern;
use crate::plate;

/// The patterns of one list. Node 0 is the root.
#[derive(Debug, Default)]
pub(super) struct Automaton {
    nodes: Vec<Node>,
    /// Children by (node, folded character).
    steps: HashMap<(u32, u8), u32>,
    count: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// The child behind `?` and the child behind `*`.
    any: Option<u32>,
    star: Option<u32>,
    /// Whether this node is behind a `*`: it stays reached whatever comes.
    loops: bool,
    /// Bit n: there is a child for the character number n of the alphabet. Spares most look-ups in `steps`.
    characters: u64,
    /// The numbers of the patterns that end here.
    ends: Vec<u32>,
}

impl Automaton {
    /// Makes the automaton of patterns; a pattern's number is its place.
    pub(super) fn of<'a>(patterns: impl IntoIterator<Item = &'a Pattern>) -> Self {
        let mut automaton = Self { nodes: vec![Node::default()], ..Self::default() };
        for pattern in patterns {
            let number = automaton.count as u32;
            automaton.count += 1;
            let mut at = 0u32;
            for token in pattern.as_str().chars() {
                at = automaton.child(at, plate::fold_char(token) as u8);
            }
            automaton.nodes[at as usize].ends.push(number);
        }
        automaton
    }

    /// How many patterns there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn child(&mut self, at: u32, token: u8) -> u32 {
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[at as usize];
        let child = match token {
            b'?' => *node.any.get_or_insert(next),
            b'*' => *node.star.get_or_insert(next),
            character => {
                node.characters |= bit(character);
                *self.steps.entry((at, character)).or_insert(next)
            }
        };
        if child == next {
            self.nodes.push(Node { loops: token == b'*', ..Node::default() });
        }
        child
    }

    /// The numbers of the patterns that `text` (A-Z, 0-9) fits, ascending.
    pub(super) fn matches(&self, text: &str) -> Vec<u32> {
        let mut found = Vec::new();
        if self.count == 0 {
            return found;
        }
        let (mut reached, mut next) = (Vec::with_capacity(64), Vec::with_capacity(64));
        self.enter(0, &mut reached);
        for character in text.chars() {
            let character = plate::fold_char(character) as u8;
            for at in &reached {
                let node = &self.nodes[*at as usize];
                if node.loops {
                    self.enter(*at, &mut next);
                }
                if let Some(child) = node.any {
                    self.enter(child, &mut next);
                }
                if node.characters & bit(character) != 0
                    && let Some(child) = self.steps.get(&(*at, character))
                {
                    self.enter(*child, &mut next);
                }
            }
            // Two stars on one path reach their nodes in several ways.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut reached, &mut next);
            next.clear();
        }
        for at in reached {
            found.extend_from_slice(&self.nodes[at as usize].ends);
        }
        found.sort_unstable();
        found
    }

    /// A node is reached, and with it the one behind its `*`, which may stand for nothing.
    fn enter(&self, node: u32, reached: &mut Vec<u32>) {
        reached.push(node);
        if let Some(star) = self.nodes[node as usize].star {
            reached.push(star);
        }
    }
}

fn bit(character: u8) -> u64 {
    plate::index_of(char::from(character)).map_or(0, |index| 1 << index)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether `text` fits `pattern`, by the definition.
    pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], text) => fits(rest, text) || (!text.is_empty() && fits(pattern, &text[1..])),
            ([b'?', rest @ ..], [_, text @ ..]) => fits(rest, text),
            ([c, rest @ ..], [t, text @ ..]) => c == t && fits(rest, text),
            _ => false,
        }
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("a pattern")
    }

    #[test]
    fn wildcards_stand_anywhere_and_in_any_number() {
        let patterns = ["AB12*", "*CDE", "?B?2??E", "*B*C*", "A*1*C*E", "AB12CDE?", "*A", "*O?*"].map(pattern);
        let automaton = Automaton::of(&patterns);
        assert_eq!(automaton.len(), 8);
        assert_eq!(automaton.matches("AB12CDE"), [0, 1, 2, 3, 4]);
        assert_eq!(automaton.matches("A"), [6]);
        // One glyph for 0 and O.
        assert_eq!(automaton.matches("XX01YY"), [7]);
        assert!(automaton.matches("").is_empty() && Automaton::of([]).matches("A").is_empty());
    }

    proptest! {
        #[test]
        fn it_finds_what_the_definition_says(
            patterns in proptest::collection::vec("[AB01O?*]{1,9}", 0..40),
            texts in proptest::collection::vec("[AB01OI]{1,9}", 1..10),
        ) {
            let patterns: Vec<Pattern> = patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
            let automaton = Automaton::of(&patterns);
            for text in texts {
                let folded = plate::fold(&text);
                let by_definition: Vec<u32> = (0..patterns.len() as u32)
                    .filter(|n| fits(plate::fold(patterns[*n as usize].as_str()).as_bytes(), folded.as_bytes()))
                    .collect();
                prop_assert_eq!(automaton.matches(&text), by_definition);
            }
        }
    }
}
