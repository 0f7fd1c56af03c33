//! `outrider enrol`: the car gets its identity from the office, with a one-time code.

use std::io::Write;
use std::path::PathBuf;

use crate::clock::RealClock;
use crate::config::Config;
use crate::fault::{Fault, Kind, Result};
use crate::sync::car::{self, Enrolment};
use crate::sync::enrol::Code;

/// Enrol this car at the office, with the code that outrider-office enrol printed there
///
/// Examples:
///   outrider enrol --config /etc/outrider/car.toml K7QM-3PXD-WVAB-CDEF-GHJK-LMNP
///   outrider enrol --office office.example.org:4433 --identity identity --unit car-01
///
/// The car makes its key itself, and it never leaves the car. A slip in the code is told before anything is sent, and the code
/// is sent to no other office than the one that made it. If the network fails on the way, the same command goes on. The
/// folder of the identity must be writable for whoever runs the unit: it renews its certificate by itself.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group = clap::ArgGroup::new("where").args(["config", "office"]).required(true))]
pub(super) struct Enrol {
    /// The unit's configuration, whose unit and section office are used
    #[arg(long, value_name = "FILE", conflicts_with_all = ["identity", "unit"])]
    config: Option<PathBuf>,
    /// The office, instead of a configuration
    #[arg(long, value_name = "HOST:PORT", requires = "identity", requires = "unit")]
    office: Option<String>,
    /// The folder that the identity goes to
    #[arg(long, value_name = "FOLDER")]
    identity: Option<PathBuf>,
    /// The unit's name
    #[arg(long, value_name = "NAME")]
    unit: Option<String>,
    /// Put the new identity in the place of the one that the car has
    #[arg(long)]
    replace: bool,
    /// The code; small letters will do. Left out: it is asked for
    code: Option<String>,
}

impl Enrol {
    pub(super) fn run(self) -> Result<()> {
        let (unit, address, identity) = match (self.config, self.office, self.identity, self.unit) {
            (Some(path), ..) => {
                let config = Config::load(&path)?;
                let office = config.office.ok_or_else(|| {
                    Fault::new(Kind::Config, "the configuration names no back office")
                        .at(path.display())
                        .remedy("Set address and identity under [office]")
                })?;
                (config.unit, office.address, office.identity)
            }
            (None, Some(office), Some(identity), Some(unit)) => (unit, office, identity),
            _ => return Err(Fault::new(Kind::Usage, "it is not said where the car is to be enrolled")),
        };
        let code = Code::parse(&self.code.map_or_else(asked, Ok)?)?;
        let order = Enrolment { address: &address, identity: &identity, unit: &unit, replace: self.replace };
        let life = car::enrol(&order, &code, RealClock::shared())?;
        println!("{unit} is enrolled; its identity is in {}.", identity.display());
        println!(
            "It counts until {}, and the running unit renews it from {} on.",
            life.until.format("%Y-%m-%d"),
            life.renewal().format("%Y-%m-%d")
        );
        Ok(())
    }
}

/// The code, as somebody types it.
fn asked() -> Result<String> {
    let cannot = |error| Fault::new(Kind::Unavailable, "cannot ask for the code").because(error);
    eprint!("Code: ");
    std::io::stderr().flush().map_err(cannot)?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(cannot)?;
    Ok(line)
}
