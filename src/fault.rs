//! Errors as values: what happened, where, why, and what to do about it.
//!
//! Every room returns [`Fault`]. Its [`Kind`] drives behaviour (exit code, retry or give up, which
//! light on the status strip), its text is for people. `Display` prints the whole sentence; the cause
//! is part of it, so nobody has to walk `source()` to learn why.

use std::error::Error;
use std::fmt;
use std::path::Path;

/// What sort of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The command line makes no sense.
    Usage,
    /// A configuration file is wrong.
    Config,
    /// Something that was named is not there.
    Missing,
    /// Bytes are not what they claim to be: cut short, garbled, of another shape or version.
    Damaged,
    /// The operating system or a peer refuses.
    Denied,
    /// A device, a network or a service does not answer now and may later.
    Unavailable,
    /// No room left.
    Full,
    /// A fault of Outrider itself.
    Internal,
}

impl Kind {
    /// The process exit code that this kind of fault ends a command with: 2 for wrong usage or
    /// configuration, 1 for everything else.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage | Kind::Config => 2,
            _ => 1,
        }
    }
}

/// One failure, in words that somebody can act on.
#[derive(Debug)]
pub struct Fault {
    kind: Kind,
    what: String,
    place: Option<String>,
    why: Option<Box<dyn Error + Send + Sync>>,
    remedy: Option<String>,
}

/// The result of anything that can fail.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A fault of `kind`; `what` is a short clause without a full stop: "cannot open the journal".
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), place: None, why: None, remedy: None }
    }

    /// An input or output failure on `path`; the kind follows from the error, and with it what to do, unless the caller
    /// knows better.
    pub fn io(what: impl Into<String>, path: &Path, error: std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let kind = match error.kind() {
            E::NotFound => Kind::Missing,
            E::PermissionDenied | E::ReadOnlyFilesystem => Kind::Denied,
            E::StorageFull | E::QuotaExceeded => Kind::Full,
            E::UnexpectedEof | E::InvalidData => Kind::Damaged,
            _ => Kind::Unavailable,
        };
        let fault = Self::new(kind, what).at(path.display()).because(error);
        match kind {
            Kind::Denied => {
                fault.remedy("Let the user that runs this program read and write there, or name another place")
            }
            Kind::Full => fault.remedy("Make room on the disk"),
            _ => fault,
        }
    }

    /// A failure of the embedded database at `path`; the kind follows from the error.
    pub fn database(what: impl Into<String>, path: &Path, error: impl Into<redb::Error>) -> Self {
        use redb::Error as E;
        let error = error.into();
        let (kind, remedy) = match &error {
            E::Io(io) if io.kind() != std::io::ErrorKind::InvalidData => {
                return Self::io(what, path, std::io::Error::new(io.kind(), error.to_string()));
            }
            E::DatabaseAlreadyOpen => (Kind::Unavailable, Some("Another program has it open: stop that one first")),
            E::Corrupted(_)
            | E::Io(_)
            | E::TableTypeMismatch { .. }
            | E::TableIsMultimap(_)
            | E::UpgradeRequired(_) => (
                Kind::Damaged,
                Some("Move the file away and keep it for examination; a new one is made at the next start"),
            ),
            E::ValueTooLarge(_) => (Kind::Full, None),
            E::PreviousIo | E::DatabaseClosed => (Kind::Unavailable, Some("Check the disk and start again")),
            _ => (Kind::Internal, None),
        };
        let fault = Self::new(kind, what).at(path.display()).because(error);
        match remedy {
            Some(remedy) => fault.remedy(remedy),
            None => fault,
        }
    }

    /// Where: a file, a line, a device, an address.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(place.to_string());
        self
    }

    /// Why: the underlying error or a clause.
    #[must_use]
    pub fn because(mut self, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// What to do: an imperative sentence without a full stop.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether this comes from writing to somebody who no longer reads.
    pub fn is_broken_pipe(&self) -> bool {
        let why = self.why.as_deref().and_then(|why| why.downcast_ref::<std::io::Error>());
        why.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// What sort of fault this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
            let mut deeper = why.source();
            while let Some(cause) = deeper {
                write!(f, ": {cause}")?;
                deeper = cause.source();
            }
        }
        if let Some(remedy) = &self.remedy {
            write!(f, ". {remedy}.")?;
        }
        Ok(())
    }
}

impl Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_where_what_why_and_what_to_do() {
        let fault = Fault::io(
            "cannot open the journal",
            Path::new("/data/journal.redb"),
            std::io::Error::from(std::io::ErrorKind::PermissionDenied),
        )
        .remedy("Run as the user that owns the folder");
        assert_eq!(fault.kind(), Kind::Denied);
        assert_eq!(
            fault.to_string(),
            "/data/journal.redb: cannot open the journal: permission denied. Run as the user that owns the folder."
        );
    }

    #[test]
    fn a_disk_that_refuses_is_said_with_what_to_do_also_by_the_database() {
        for kind in [std::io::ErrorKind::ReadOnlyFilesystem, std::io::ErrorKind::PermissionDenied] {
            let path = Path::new("/data/hotlist.redb");
            let error = redb::Error::Io(std::io::Error::from(kind));
            for fault in [Fault::database("cannot open", path, error), Fault::io("cannot open", path, kind.into())] {
                assert_eq!(fault.kind(), Kind::Denied);
                assert!(fault.to_string().ends_with("or name another place."), "{fault}");
            }
        }
    }

    #[test]
    fn usage_and_configuration_end_with_two() {
        assert_eq!(Kind::Usage.exit_code(), 2);
        assert_eq!(Kind::Config.exit_code(), 2);
        assert_eq!(Kind::Damaged.exit_code(), 1);
    }
}
