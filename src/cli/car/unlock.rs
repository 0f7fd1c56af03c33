//! How commands come by what unlocks the journal: a file that is named, or what is typed where nobody reads along.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::journal::{Archive, Key, Passphrase, Protection, Tpm};

/// What unlocks the journal that a command works on.
#[derive(Debug, clap::Args)]
pub(super) struct Unlock {
    /// The journal's passphrase: the first line of a file or of a descriptor such as /dev/fd/3. Left out: it is asked for
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The key file that the journal is locked with
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "passphrase_file")]
    key_file: Option<PathBuf>,
}

impl Unlock {
    /// What unlocks the journal in `data`: as named, or as the journal's own lock asks for.
    pub(super) fn key(&self, data: &Path) -> Result<Key> {
        match (&self.passphrase_file, &self.key_file) {
            (Some(file), _) => Passphrase::from_file(file).map(Key::Passphrase),
            (None, Some(file)) => Ok(Key::Token(file.clone())),
            (None, None) => match Archive::protection_of(data)? {
                None | Some(Protection::None) => Ok(Key::Beside),
                Some(Protection::Passphrase) => ask("Passphrase of the journal: ").map(Key::Passphrase),
                Some(Protection::Token) => Err(Fault::new(Kind::Usage, "the journal is locked with a key file")
                    .at(data.display())
                    .remedy("Name it with --key-file")),
                Some(Protection::Tpm) => Ok(Key::Tpm(Tpm::default())),
            },
        }
    }
}

/// What unlocks the journal of a unit, as configured.
pub(super) fn key_of_unit(config: &config::Config, passphrase_file: Option<&Path>) -> Result<Key> {
    match (&config.journal.key, passphrase_file) {
        (config::Key::Passphrase, Some(file)) => Passphrase::from_file(file).map(Key::Passphrase),
        (config::Key::Passphrase, None) => match Archive::protection_of(&config.data)? {
            // What is mistyped now would lock the journal for good.
            None => ask_twice().map(Key::Passphrase),
            Some(_) => ask("Passphrase of the journal: ").map(Key::Passphrase),
        },
        (_, Some(_)) => {
            Err(Fault::new(Kind::Usage, "a passphrase is given, but the configuration does not ask for one")
                .remedy("Set `key = \"passphrase\"` under [journal], or leave --passphrase-file out"))
        }
        (config::Key::File(file), None) => Ok(Key::Token(file.clone())),
        (config::Key::Tpm, None) => Ok(Key::Tpm(Tpm::default())),
        (config::Key::Unprotected, None) => Ok(Key::Beside),
    }
}

/// Asks for a new passphrase, twice.
pub(super) fn ask_twice() -> Result<Passphrase> {
    let first = typed("New passphrase of the journal, 12 characters at least: ")?;
    if *typed("Once more: ")? != *first {
        return Err(Fault::new(Kind::Usage, "the two passphrases are not the same").remedy("Start again"));
    }
    Passphrase::new(first)
}

fn ask(words: &str) -> Result<Passphrase> {
    Passphrase::new(typed(words)?)
}

fn typed(words: &str) -> Result<Zeroizing<String>> {
    crate::cli::people::hidden(words, "cannot ask for the passphrase", "--passphrase-file")
}
