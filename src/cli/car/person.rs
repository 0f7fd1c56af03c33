//! By whom a command is run: a collar number, and the PIN to go with it where people are set up.

use std::path::{Path, PathBuf};

use super::journal::NOBODY;
use crate::clock::RealClock;
use crate::fault::{Fault, Kind, Result};
use crate::journal::{Act, Archive, Deed, Key};
use crate::people::{Pin, Right, may};
use crate::tag::When;

/// The PIN of whoever runs a command.
#[derive(Debug, clap::Args)]
pub(super) struct PinFile {
    /// Your PIN, where people are set up: the first line of a file or of a descriptor such as /dev/fd/4. Left out: it is
    /// asked for
    #[arg(long, global = true, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

impl PinFile {
    /// Lets `who` do what `command` is for, where they have the `right`. Gives the name that goes on record; where nobody is
    /// set up, that is what they say.
    pub(super) fn admit(&self, archive: &Archive, who: Option<&str>, right: Right, command: &str) -> Result<String> {
        let who = who.filter(|who| *who != NOBODY);
        if !archive.set_up().is_set_up() {
            return Ok(who.unwrap_or(NOBODY).to_owned());
        }
        let who = who.ok_or_else(|| {
            Fault::new(Kind::Usage, "people are set up in this car, and nobody is named")
                .remedy("Give your collar number with --who; your PIN is asked for")
        })?;
        // The wait after wrong PINs is of this process's own time.
        let clock = RealClock::shared();
        let wait = archive.wait_for(who, clock.now())?;
        if !wait.is_zero() {
            eprintln!("The PIN was wrong too often: waiting {} s before it is asked for.", wait.as_secs());
            clock.sleep(wait);
        }
        let pin = match &self.pin_file {
            Some(file) => Pin::line_of(file)?,
            None => crate::cli::people::hidden(&format!("PIN of {who}: "), "cannot ask for the PIN", "--pin-file")?,
        };
        let when = When { utc: clock.utc(), trusted: false };
        let on = archive.sign_on(who, &Pin::typed(pin), command, when, clock.now()).map_err(|refusal| refusal.fault)?;
        if may(Some(on.role), right) {
            return Ok(on.number);
        }
        let why = format!("a {} may not {}", on.role.word(), right.words());
        let refused = Deed::of_the_unit(Act::Refused, command, why.clone(), when);
        archive.note(Deed { who: on.number, ..refused })?;
        Err(Fault::new(Kind::Denied, why).remedy("Have it done by somebody who may; see docs/design/journal.md"))
    }

    /// The same for a command that works on the lists in `data`: their journal says who may. Where there is no journal,
    /// nobody is set up.
    pub(super) fn admit_to_lists(
        &self,
        data: &Path,
        key: &Key,
        who: Option<&str>,
        right: Right,
        command: &str,
    ) -> Result<(String, Option<Archive>)> {
        match Archive::open_existing(data, key) {
            Ok(archive) => Ok((self.admit(&archive, who, right, command)?, Some(archive))),
            Err(fault) if fault.kind() == Kind::Missing => Ok((who.unwrap_or(NOBODY).to_owned(), None)),
            Err(fault) => Err(fault),
        }
    }
}
