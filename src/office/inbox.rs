//! The inbox: how other commands hand revisions of lists to the service, which alone has the store open.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::files;
use super::session::ListInfo;
use super::store::Store;
use crate::fault::{Fault, Kind, Result};
use crate::sync::wire::{LIST_LIMIT, NAME_LIMIT};

/// How a file that waits in the inbox ends; one that could not be taken has [`REFUSED`] added.
const WAITING: &str = ".list";
const REFUSED: &str = ".refused";

/// Puts a revision of a list, as the hotlist room signed it and `bytes` gives it, where the service of the office in `data` takes it within a
/// second, or when it starts next.
pub fn offer_revision(data: &Path, list: &str, revision: u64, bytes: impl Read) -> Result<()> {
    offer(data, list, &format!("{list}@{revision}{WAITING}"), bytes)
}

/// Puts what leads from revision `base` of a list to `revision` there, before the whole list: cars that hold the base get it.
pub(crate) fn offer_change(data: &Path, list: &str, revision: u64, base: u64, bytes: impl Read) -> Result<()> {
    offer(data, list, &format!("{list}@{revision}@{base}{WAITING}"), bytes)
}

fn offer(data: &Path, list: &str, name: &str, bytes: impl Read) -> Result<()> {
    check_id(list)?;
    if !files::authority(data).exists() {
        return Err(Fault::new(Kind::Missing, "there is no office")
            .at(data.display())
            .remedy("Make one with outrider-office init"));
    }
    let inbox = files::inbox(data);
    files::make_folder(&inbox)?;
    let path = inbox.join(name);
    // One byte more than fits tells that it does not.
    files::replace_from(&path, bytes.take(LIST_LIMIT + 1))?;
    let size = std::fs::metadata(&path).map_or(0, |data| data.len());
    if size > LIST_LIMIT {
        let _ = std::fs::remove_file(&path);
        return Err(Fault::new(Kind::Full, format!("the list {list:?} has more bytes than can be sent to cars"))
            .remedy("Split it into several lists"));
    }
    Ok(())
}

/// Refuses a list id that is no plain word.
fn check_id(list: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if list.is_empty() || list.len() > NAME_LIMIT || list.starts_with('.') || !list.chars().all(plain) {
        return Err(Fault::new(Kind::Usage, format!("{list:?} cannot be a list's id"))
            .remedy(format!("Use 1 to {NAME_LIMIT} letters, digits, hyphens, underscores and dots")));
    }
    Ok(())
}

/// What a look into the inbox has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Cars are offered something new.
    pub(crate) changed: bool,
    /// Something waits still.
    pub(crate) more: bool,
}

/// Takes what waits into the store: every change first, then one whole list a call, so that a change, which may take
/// entries away, waits for no more than that.
pub(crate) fn take(data: &Path, store: &dyn Store) -> Result<Taken> {
    let inbox = files::inbox(data);
    let unreadable = |error| Fault::io("cannot read the inbox", &inbox, error);
    let files = match std::fs::read_dir(&inbox) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Taken::default()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut waiting = Vec::new();
    for file in files {
        let path = file.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(stem) = name.strip_suffix(WAITING)
            && !name.starts_with('.')
        {
            waiting.push((parts(stem), path));
        }
    }
    if waiting.is_empty() {
        return Ok(Taken::default());
    }
    // Older revisions first, so that the newest is what remains; changes before whole lists.
    waiting.sort();
    let is_whole = |(parts, _): &(Option<(String, u64, Content)>, _)| {
        parts.as_ref().is_some_and(|(.., content)| *content == Content::Whole)
    };
    let (wholes, mut now): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_whole);
    let mut later = wholes.into_iter();
    if now.is_empty() {
        now.extend(later.next());
    }
    let more = later.next().is_some();
    let known = store.lists()?;
    let mut changed = false;
    for (parts, path) in now {
        let refused = match parts {
            Some((list, revision, whole)) => match take_one(&known, store, &list, (revision, whole.base()), &path)? {
                Ok(info) => {
                    tracing::info!(
                        list = info.list,
                        revision = info.revision,
                        bytes = info.size,
                        "a list is published"
                    );
                    changed = true;
                    None
                }
                Err(why) => Some(why),
            },
            None => Some("its name is neither LIST@REVISION.list nor LIST@REVISION@BASE.list"),
        };
        let done = match refused {
            None => std::fs::remove_file(&path),
            Some(why) => {
                tracing::warn!("{}: not published: {why}", path.display());
                let mut aside = path.clone().into_os_string();
                aside.push(REFUSED);
                std::fs::rename(&path, aside)
            }
        };
        done.map_err(|error| Fault::io("cannot clear the inbox", &path, error))?;
    }
    Ok(Taken { changed, more })
}

/// Whether a file has a whole list or a change of one; changes sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    ChangeOf(u64),
    Whole,
}

impl Content {
    fn base(self) -> u64 {
        match self {
            Self::ChangeOf(base) => base,
            Self::Whole => 0,
        }
    }
}

/// What a file's name says of it.
fn parts(stem: &str) -> Option<(String, u64, Content)> {
    let mut parts = stem.split('@');
    let (list, revision, base) = (parts.next()?, parts.next()?, parts.next());
    let content = match base {
        None => Content::Whole,
        Some(base) => Content::ChangeOf(base.parse().ok().filter(|base| *base > 0)?),
    };
    parts.next().is_none().then_some((list.to_owned(), revision.parse().ok()?, content))
}

/// The outer result is the office's own trouble, for which the file waits; the inner one is the file's.
fn take_one(
    known: &[ListInfo],
    store: &dyn Store,
    list: &str,
    (revision, base): (u64, u64),
    path: &Path,
) -> Result<Result<ListInfo, &'static str>> {
    if check_id(list).is_err() {
        return Ok(Err("its name is not that of a list"));
    }
    if known.iter().any(|info| info.list == list && info.base == 0 && info.revision >= revision) {
        return Ok(Err("this revision or a newer one is published already"));
    }
    let unreadable = |error| Fault::io("cannot read a file of the inbox", path, error);
    if std::fs::metadata(path).map_err(unreadable)?.len() > LIST_LIMIT {
        return Ok(Err("it is too large to be sent to cars"));
    }
    let mut bytes = File::open(path).map_err(unreadable)?;
    match base {
        0 => store.put_list(list, revision, &mut bytes),
        base => store.put_change(list, revision, base, &mut bytes),
    }
    .map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::RealClock;
    use crate::office::{RedbStore, StoredPiece, init};

    #[test]
    fn the_newest_revision_is_taken_and_strangers_are_put_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        assert_eq!(offer_revision(data, "stolen", 1, &b"x"[..]).map_err(|fault| fault.kind()), Err(Kind::Missing));
        init(data, &[], &*RealClock::shared()).expect("made");
        let store = RedbStore::open(&files::store(data)).expect("opened");
        let take_all = || {
            let mut changed = false;
            loop {
                let taken = take(data, &store).expect("taken");
                changed |= taken.changed;
                if !taken.more {
                    return changed;
                }
            }
        };
        assert!(!take_all());

        offer_revision(data, "stolen", 10, &b"ten"[..]).expect("offered");
        offer_revision(data, "stolen", 9, &b"nine"[..]).expect("offered");
        std::fs::write(files::inbox(data).join("what is this.list"), b"?").expect("written");
        assert!(take_all());
        let lists = store.lists().expect("read");
        assert_eq!(lists.iter().map(|info| (info.list.as_str(), info.revision)).collect::<Vec<_>>(), [("stolen", 10)]);

        offer_revision(data, "stolen", 10, &b"again"[..]).expect("offered");
        assert!(!take_all(), "a revision never changes");
        // A change does not wait behind whole lists.
        offer_revision(data, "other", 3, &b"three"[..]).expect("offered");
        offer_revision(data, "stolen", 11, &b"eleven"[..]).expect("offered");
        offer_change(data, "stolen", 11, 10, &b"change"[..]).expect("offered");
        assert_eq!(take(data, &store).expect("taken"), Taken { changed: true, more: true });
        let changes = store.lists().expect("read").into_iter().filter(|info| info.base != 0);
        assert_eq!(changes.map(|info| (info.revision, info.base)).collect::<Vec<_>>(), [(11, 10)]);
        assert_eq!(store.list_piece("stolen", 10, 0, 0).expect("read"), Some(StoredPiece::of(b"ten")));
        assert!(take_all());
        assert_eq!(store.list_piece("stolen", 11, 0, 0).expect("read"), Some(StoredPiece::of(b"eleven")));
        for bad in ["", "../up", "a b", ".hidden"] {
            assert_eq!(
                offer_revision(data, bad, 1, &b"x"[..]).map_err(|fault| fault.kind()),
                Err(Kind::Usage),
                "{bad}"
            );
        }
    }
}
