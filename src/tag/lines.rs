//! Cuts a byte stream into NMEA sentences.

/// The longest sentence that is accepted, bytes, without the line end. The standard says 82; receivers in the
/// field exceed it.
pub(super) const LONGEST: usize = 102;

/// Finds sentences in a stream that may start in the middle of one, hold garbage, or lose bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// Whether a `$` has been seen since the last line end: what comes before one is not a sentence.
    within: bool,
    /// Bytes that belonged to no sentence.
    pub(super) skipped: u64,
}

impl Lines {
    /// Calls `each` with every sentence that `bytes` completes, from its `$` to before its line end.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for &byte in bytes {
            match byte {
                b'$' => {
                    // A sentence whose end was lost: what has been collected of it is garbage now.
                    self.drop_line();
                    self.within = true;
                    self.line.push(byte);
                }
                b'\r' | b'\n' if self.within => {
                    self.within = false;
                    match std::str::from_utf8(&self.line) {
                        Ok(sentence) => each(sentence),
                        Err(_) => self.skipped += self.line.len() as u64,
                    }
                    self.line.clear();
                }
                b'\r' | b'\n' => {}
                _ if self.within && self.line.len() < LONGEST => self.line.push(byte),
                _ => {
                    self.drop_line();
                    self.skipped += 1;
                }
            }
        }
    }

    fn drop_line(&mut self) {
        self.skipped += self.line.len() as u64;
        self.line.clear();
        self.within = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sentences(stream: &[u8], piece: usize) -> (Vec<String>, u64) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for bytes in stream.chunks(piece) {
            lines.feed(bytes, |sentence| found.push(sentence.to_owned()));
        }
        (found, lines.skipped)
    }

    #[test]
    fn it_resynchronises_on_the_dollar() {
        let stream = b"82,A*11\r\n$GPONE*00\r\n\xff\xfe$GPTW$GPTHREE*00\n\n$GPFOUR*00\r\n";
        for piece in [1, 3, 100] {
            assert_eq!(
                sentences(stream, piece),
                (vec!["$GPONE*00".into(), "$GPTHREE*00".into(), "$GPFOUR*00".into()], 14)
            );
        }
    }

    #[test]
    fn a_line_without_end_holds_no_memory() {
        let mut stream = b"$".to_vec();
        stream.extend([b'x'; 10_000]);
        stream.extend(b"\n$GPONE*00\n");
        assert_eq!(sentences(&stream, 7), (vec!["$GPONE*00".into()], 10_001));
    }

    proptest! {
        #[test]
        fn sentences_are_bounded_and_no_byte_is_unaccounted_for(stream in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'$'), Just(b'\n')], 0..2000)) {
            let (found, skipped) = sentences(&stream, 13);
            prop_assert!(found.iter().all(|s| s.starts_with('$') && s.len() <= LONGEST));
            let kept: usize = found.iter().map(String::len).sum();
            prop_assert!(kept + skipped as usize <= stream.len());
        }
    }
}
