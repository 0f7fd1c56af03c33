//! A file without a name, sealed under a key that is nowhere but in memory: gone with the process, and unreadable where its
//! bytes stay on the disk.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use ring::aead::LessSafeKey;
use zeroize::Zeroizing;

use super::{BLOCK, Seal, aead, drawn};

/// The file. Written at any place up to its end, read from any.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    key: Hidden,
    /// The seal of each whole block.
    seals: Vec<Seal>,
    /// What is behind the last whole block.
    tail: Vec<u8>,
}

struct Hidden(LessSafeKey);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl Scratch {
    /// An empty one, which takes its room in `folder`.
    ///
    /// # Errors
    /// The disk refuses, or the operating system has no random bytes.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        let key = Hidden(aead(&Zeroizing::new(drawn::<32>()?)));
        Ok(Self { file: tempfile::tempfile_in(folder)?, key, seals: Vec::new(), tail: Vec::new() })
    }

    /// How many bytes it holds.
    pub fn length(&self) -> u64 {
        (self.seals.len() * BLOCK + self.tail.len()) as u64
    }

    /// Cuts off what is beyond `length`.
    ///
    /// # Errors
    /// The disk fails, or gives back something else than was written.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        if length < self.length() {
            let (blocks, rest) = (length as usize / BLOCK, length as usize % BLOCK);
            if blocks < self.seals.len() {
                let mut block = vec![0; BLOCK];
                self.block(blocks, &mut block)?;
                self.tail = block;
                self.seals.truncate(blocks);
            }
            self.tail.truncate(rest);
        }
        Ok(())
    }

    /// Everything from the begin.
    pub fn into_reader(self) -> ScratchReader {
        ScratchReader { of: self, at: 0, block: vec![0; BLOCK] }
    }

    fn block(&self, number: usize, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, (number * BLOCK) as u64)?;
        if self.seals[number].open(&self.key.0, &number.to_be_bytes(), out) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the disk gives back something else than was written"))
    }
}

impl Write for Scratch {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.tail.extend(data);
        let whole = self.tail.len() / BLOCK * BLOCK;
        if whole > 0 {
            let first = self.seals.len();
            for (number, block) in (first..).zip(self.tail[..whole].chunks_exact_mut(BLOCK)) {
                self.seals.push(Seal::close(&self.key.0, &number.to_be_bytes(), block)?);
            }
            self.file.write_all_at(&self.tail[..whole], (first * BLOCK) as u64)?;
            self.tail.drain(..whole);
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a [`Scratch`] once.
#[derive(Debug)]
pub struct ScratchReader {
    of: Scratch,
    at: usize,
    /// The block that is being read.
    block: Vec<u8>,
}

impl Read for ScratchReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let of = &self.of;
        let (number, from) = (self.at / BLOCK, self.at % BLOCK);
        let there = if number == of.seals.len() {
            &of.tail[from.min(of.tail.len())..]
        } else {
            if from == 0 {
                of.block(number, &mut self.block)?;
            }
            &self.block[from..]
        };
        let count = there.len().min(out.len());
        out[..count].copy_from_slice(&there[..count]);
        self.at += count;
        Ok(count)
    }
}
