//! `outrider-office enrol|codes|units|revoke`: which cars may speak to the office.

use std::path::PathBuf;

use chrono::TimeDelta;

use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};
use crate::office::{self, Revocation};

/// Make a one-time code with which a car enrols: read it out to whoever stands at the car
///
/// Examples:
///   outrider-office enrol --data office --unit car-01 --by "Sgt Example"
///   outrider-office enrol --data office --unit car-01 --folder identity-car-01
///
/// In the car: outrider enrol --config car.toml CODE. The car makes its key itself, and the service, which must run, gives it a
/// certificate. The code counts once, for this unit, for 15 minutes; five wrong tries end it. The last of its characters check
/// the others and say which office it is of, so that a slip is told in the car and no other office gets to see it.
///
/// With --folder there is no code: the identity is written to a folder here, its key too, to be carried to a car that has no
/// network. Whoever sees that folder on its way can speak as the car.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Enrol {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The unit's name, as in its configuration
    #[arg(long)]
    unit: String,
    /// Who lets the car in; goes on record
    #[arg(long, value_name = "NAME", default_value = "")]
    by: String,
    /// How long the code is open: minutes ("15m") or hours ("2h")
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = minutes)]
    valid: TimeDelta,
    /// For a car without a network: write the identity here; carry it to the car, then delete it
    #[arg(long, value_name = "FOLDER", conflicts_with = "valid")]
    folder: Option<PathBuf>,
    /// Print one JSON object on standard output and nothing else
    #[arg(long, conflicts_with = "folder")]
    json: bool,
}

/// The codes that are open now, or take one back
///
/// Examples:
///   outrider-office codes --data office
///   outrider-office codes --data office --withdraw K7QM --by "Sgt Example"
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Codes {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Take this code back: its first group
    #[arg(long, value_name = "CODE", requires = "by")]
    withdraw: Option<String>,
    /// Who takes it back; goes on record
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print JSON lines
    #[arg(long, conflicts_with = "withdraw")]
    json: bool,
}

/// Every certificate that was ever enrolled: whose, since when, until when, and whether it counts
///
/// Examples:
///   outrider-office units --data office
///   outrider-office units --data office --record
///
/// A car renews its certificate by itself when two thirds of its life are over. With --record: who let which car in, made a code
/// for it, or cut it off.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Units {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Only this unit
    #[arg(long, conflicts_with = "record")]
    unit: Option<String>,
    /// Who did what, instead
    #[arg(long)]
    record: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Cut a car off, also in mid-connection
///
/// Examples:
///   outrider-office revoke --data office --unit car-01 --by "Sgt Example"
///   outrider-office revoke --data office --certificate 5f0c2a9be1d34477
///
/// Its certificates count no more, nor do codes that are open for it. It can be enrolled again with a new code.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group = clap::ArgGroup::new("what").args(["unit", "certificate"]).required(true))]
pub(super) struct Revoke {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The unit's name: all that it has
    #[arg(long)]
    unit: Option<String>,
    /// One certificate: the first digits of its name, as outrider-office units prints it
    #[arg(long, value_name = "DIGITS")]
    certificate: Option<String>,
    /// Who wants it; goes on record
    #[arg(long, value_name = "NAME", default_value = "")]
    by: String,
}

/// "15m" or "2h".
fn minutes(text: &str) -> Result<TimeDelta, String> {
    let time = match (text.strip_suffix('m'), text.strip_suffix('h')) {
        (Some(minutes), _) => minutes.parse().ok().and_then(TimeDelta::try_minutes),
        (_, Some(hours)) => hours.parse().ok().and_then(TimeDelta::try_hours),
        _ => None,
    };
    time.ok_or_else(|| "use minutes (15m) or hours (2h)".into())
}

impl Enrol {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        let Self { data, unit, by, valid, folder, json } = self;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if unit.is_empty() || unit.starts_with('.') || !unit.chars().all(plain) {
            return Err(Fault::new(Kind::Usage, format!("{unit:?} is not a name for a unit"))
                .remedy("Use letters, digits, '-', '_' and '.'"));
        }
        if let Some(folder) = folder {
            office::enrol(&data, &unit, &folder, clock)?;
            println!("The identity of {unit} is in {}: carry it to the car, then delete it here.", folder.display());
            return Ok(());
        }
        let (code, until) = office::make_code(&data, &unit, &by, valid, clock)?;
        if json {
            println!("{}", serde_json::json!({"unit": unit, "code": code.to_string(), "until": until}));
        } else {
            println!("{code}");
            eprintln!("The code for {unit}, until {}, once. In the car:", until.format("%Y-%m-%d %H:%M UTC"));
            eprintln!("  outrider enrol --config car.toml {code}");
            if !office::fleet(&data).is_ok_and(|fleet| fleet.serving) {
                eprintln!("The service is not running: start it first, with outrider-office serve.");
            }
        }
        Ok(())
    }
}

impl Codes {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        if let (Some(name), Some(by)) = (&self.withdraw, &self.by) {
            office::withdraw_code(&self.data, name, by, clock)?;
            println!("{} counts no more.", name.to_uppercase());
            return Ok(());
        }
        for code in office::open_codes(&self.data, clock)? {
            if self.json {
                println!("{}", serde_json::to_string(&code).unwrap_or_default());
            } else {
                let until = code.until.format("%Y-%m-%d %H:%M UTC");
                println!(
                    "{}-...  {:<16} until {until}  by {}  {} wrong tries",
                    code.name, code.unit, code.by, code.wrong
                );
            }
        }
        Ok(())
    }
}

impl Units {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        if self.record {
            for line in office::enrolments(&self.data)? {
                if self.json {
                    println!("{}", serde_json::to_string(&line).unwrap_or_default());
                } else {
                    println!("{}  {}: {}", line.utc.format("%Y-%m-%d %H:%M UTC"), line.by, line.what);
                }
            }
            return Ok(());
        }
        for certificate in office::units(&self.data, clock)? {
            if self.unit.as_ref().is_some_and(|unit| *unit != certificate.unit) {
                continue;
            }
            if self.json {
                println!("{}", serde_json::to_string(&certificate).unwrap_or_default());
            } else {
                println!(
                    "{:<16} {}  {} to {}  {}  ({})",
                    certificate.unit,
                    certificate.certificate,
                    certificate.issued.format("%Y-%m-%d"),
                    certificate.expires.format("%Y-%m-%d"),
                    certificate.standing,
                    certificate.how
                );
            }
        }
        Ok(())
    }
}

impl Revoke {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        let what = match (&self.unit, &self.certificate) {
            (Some(unit), _) => Revocation::Unit(unit),
            (None, certificate) => Revocation::Certificate(certificate.as_deref().unwrap_or_default()),
        };
        let (certificates, codes) = office::revoke(&self.data, what, &self.by, clock)?;
        let name = self.unit.or(self.certificate).unwrap_or_default();
        println!("{name} is cut off ({certificates} certificates revoked, {codes} codes withdrawn).");
        Ok(())
    }
}
