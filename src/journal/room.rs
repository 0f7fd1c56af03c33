//! A disk that fills up. Long before it is full the journal says so; then pictures go, the oldest first, of reads that nobody
//! looks for. The texts of reads, hits and the pictures of hits never go for want of room.
//!
//! The file does not shrink when something is taken away: what was taken leaves room within it, which the next records use. So
//! the room that there is, is what the disk has free and what the file has.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use redb::ReadableTable;

use super::archive::{Archive, META, OUTBOX, PICTURES, get};
use super::chain::{self, Act, Deed};
use super::keyfile::Use;
use super::queue::Waiting;
use super::record::StoredDeed;
use super::vault::key_of;
use crate::config;
use crate::fault::Result;
use crate::files::sync_folder;
use crate::tag::When;

/// What a disk has, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free for the unit.
    pub free: u64,
    /// In all.
    pub whole: u64,
}

impl Space {
    /// What the disk with `folder` has; `None` where the system does not say.
    pub fn of(folder: &Path) -> Option<Self> {
        let disk = rustix::fs::statvfs(folder).ok()?;
        Some(Self {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            whole: disk.f_blocks.saturating_mul(disk.f_frsize),
        })
    }
}

/// Whether the journal has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Room {
    /// Enough.
    #[default]
    Enough,
    /// It comes to its end: so many bytes are left.
    Low(u64),
    /// As little as that pictures go for it, and none is left that may.
    Out(u64),
}

/// What went for want of room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gone {
    /// Pictures of reads without a hit.
    pub pictures: u64,
    /// Of these: those that the office never had.
    pub unsent: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Pictures that one transaction takes away: the writer waits no longer than for a commit.
const AT_ONCE: usize = 200;
/// This part of what is to be free goes beyond it at once, so that it does not begin anew with every read.
const AHEAD: u64 = 32;
/// Beside the journal lies a file that holds nothing. On a disk that is full to the last byte nothing can be taken away, since
/// that is written down too; giving this file up makes the room for it.
const RESERVE: usize = 4 << 20;
pub(super) const RESERVE_FILE: &str = "journal.reserve";

const CANNOT: &str = "cannot make room on the disk";

impl Archive {
    /// Sees to it that there is room, `space` being what the disk has: takes pictures away where it is less than
    /// [`config::Journal::keep_free_mb`], or where the disk has `refused` to take a commit for want of it.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged.
    pub fn mind_room(
        &self,
        space: Space,
        limits: &config::Journal,
        office: bool,
        refused: bool,
        now: When,
    ) -> Result<(Room, Gone)> {
        let (announced, wanted) = (mib(limits.announce_free_mb), mib(limits.keep_free_mb));
        let within = self.room_within();
        let left = space.free.saturating_add(*within.as_ref().unwrap_or(&0));
        if left >= wanted && !refused {
            if space.free >= wanted {
                // Without it a full disk is no worse than it would have been.
                let _ = self.lay_reserve();
            }
            return Ok((if left < announced { Room::Low(left) } else { Room::Enough }, Gone::default()));
        }
        let missing = wanted.saturating_sub(left) + wanted / AHEAD;
        let gone = match within.and_then(|_| self.make_room(missing, office, now)) {
            Ok(gone) => gone,
            // There was no room to note it in, or a commit before has failed for the same; the file has to be opened anew.
            Err(_) => {
                self.give_up_reserve();
                self.reopen()?;
                self.make_room(missing, office, now)?
            }
        };
        let left = left.saturating_add(gone.bytes);
        Ok((if left < wanted || gone.pictures == 0 { Room::Out(left) } else { Room::Low(left) }, gone))
    }

    /// Takes pictures of reads without a hit away until `bytes` more are free: those that the office has first, and
    /// of these and of the others the oldest first. What went is in the audit chain with the same commit.
    fn make_room(&self, bytes: u64, office: bool, now: When) -> Result<Gone> {
        let goes = self.may_go(bytes, office)?;
        let mut gone = Gone::default();
        for chunk in goes.chunks(AT_ONCE) {
            let went = self.take_pictures(chunk, now)?;
            gone.pictures += went.pictures;
            gone.unsent += went.unsent;
            gone.bytes += went.bytes;
        }
        Ok(gone)
    }

    /// The pictures that may go, in the order in which they do, until they are of so many `bytes`.
    fn may_go(&self, bytes: u64, office: bool) -> Result<Vec<Picture>> {
        self.read(CANNOT, |transaction| {
            let mut waiting = HashSet::new();
            let pictures = (Waiting::PICTURES_OF_HITS, 0)..=(Waiting::PICTURES, u64::MAX);
            for row in transaction.open_table(OUTBOX)?.range(pictures)? {
                if let Some(Waiting::Picture { run, pass, version, which }) = Waiting::decode(row?.1.value()) {
                    waiting.insert((run, pass, version, which));
                }
            }
            let (mut sent, mut unsent) = (Vec::new(), Vec::new());
            let mut found = 0;
            for row in transaction.open_table(PICTURES)?.iter()? {
                let (key, sealed) = row?;
                let purpose = key_of(sealed.value()).and_then(|key| self.vault.describes(key));
                // A hit has its read and all its pictures sealed under the key of hits.
                if purpose.is_some_and(|(purpose, _)| purpose != Use::Reads) {
                    continue;
                }
                let picture = Picture { key: key.value(), bytes: sealed.value().len() as u64 };
                if office && waiting.contains(&picture.key) {
                    unsent.push(picture);
                } else {
                    found += picture.bytes;
                    sent.push(picture);
                    if found >= bytes {
                        break;
                    }
                }
            }
            let mut enough = 0;
            sent.extend(unsent);
            sent.retain(|picture| {
                let wanted = enough < bytes;
                enough += picture.bytes;
                wanted
            });
            Ok(sent)
        })
    }

    fn take_pictures(&self, chunk: &[Picture], now: When) -> Result<Gone> {
        self.write(CANNOT, |transaction| {
            let mut gone = Gone::default();
            let mut went = HashSet::new();
            {
                let mut pictures = transaction.open_table(PICTURES)?;
                for Picture { key, .. } in chunk {
                    // A hit may have come on it since the look.
                    let free = pictures.get(key)?.is_some_and(|sealed| {
                        let purpose = key_of(sealed.value()).and_then(|key| self.vault.describes(key));
                        purpose.is_none_or(|(purpose, _)| purpose == Use::Reads)
                    });
                    if let Some(sealed) = free.then(|| pictures.remove(key)).transpose()?.flatten() {
                        gone.pictures += 1;
                        gone.bytes += sealed.value().len() as u64;
                        went.insert(*key);
                    }
                }
                let mut outbox = transaction.open_table(OUTBOX)?;
                outbox.retain_in((Waiting::PICTURES_OF_HITS, 0)..=(Waiting::PICTURES, u64::MAX), |_, value| {
                    let goes = match Waiting::decode(value) {
                        Some(Waiting::Picture { run, pass, version, which }) => {
                            went.contains(&(run, pass, version, which))
                        }
                        _ => false,
                    };
                    gone.unsent += u64::from(goes);
                    !goes
                })?;
                let mut meta = transaction.open_table(META)?;
                for (name, more) in [
                    ("pictures.out", gone.pictures),
                    ("outbox.out", gone.unsent),
                    (WITHIN, gone.bytes),
                    ("given up", gone.pictures),
                    ("given up unsent", gone.unsent),
                ] {
                    let before = get(&meta, name)?;
                    meta.insert(name, before + more)?;
                }
            }
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { return Ok(gone) };
            let detail = format!(
                "{} pictures of reads without a hit, {} of them never sent: of reads {}-{} to {}-{}",
                gone.pictures, gone.unsent, first.key.0, first.key.1, last.key.0, last.key.1
            );
            let deed = Deed::of_the_unit(Act::Purged, "the disk was nearly full", detail, now);
            chain::append(transaction, &self.vault, vec![StoredDeed::of(deed, 0)])?;
            Ok(gone)
        })
    }

    /// Bytes that the file has free, as far as is known: what was taken away and not filled again.
    fn room_within(&self) -> Result<u64> {
        self.read(CANNOT, |transaction| Ok(get(&transaction.open_table(META)?, WITHIN)?))
    }

    /// What went for want of room since the journal began: pictures, and those of them that the office never had.
    ///
    /// # Errors
    /// The disk fails.
    pub fn given_up_for_room(&self) -> Result<(u64, u64)> {
        self.read("cannot read the journal", |transaction| {
            let meta = transaction.open_table(META)?;
            Ok((get(&meta, "given up")?, get(&meta, "given up unsent")?))
        })
    }

    fn reserve(&self) -> PathBuf {
        self.path.with_file_name(RESERVE_FILE)
    }

    fn lay_reserve(&self) -> std::io::Result<()> {
        let (path, made) = (self.reserve(), self.reserve().with_extension("new"));
        if path.exists() {
            return Ok(());
        }
        let laid = (|| {
            let mut file = File::create(&made)?;
            file.write_all(&vec![0; RESERVE])?;
            file.sync_all()?;
            std::fs::rename(&made, &path)?;
            sync_folder(&path)
        })();
        if laid.is_err() {
            let _ = std::fs::remove_file(&made);
        }
        laid
    }

    fn give_up_reserve(&self) {
        // There may be none.
        let _ = std::fs::remove_file(self.reserve());
    }
}

/// The number that [`Archive::room_within`] is kept as.
pub(super) const WITHIN: &str = "room within";

/// A picture that may go.
struct Picture {
    key: (u64, u64, u32, u8),
    bytes: u64,
}

fn mib(megabytes: u32) -> u64 {
    u64::from(megabytes) << 20
}
