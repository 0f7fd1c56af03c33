//! The table of what the driver may be shown of an alert: a symbol, its colour, how much text, which tone. It comes from a
//! file, so that the chart of an authority takes the place of this project's own without a change of the program.

mod outline;

use serde::Deserialize;

use super::{Alert, Grade, Standing};
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::Tone;

pub use outline::{Outline, SIDE, Step};

/// The table that is part of the program. Nobody has approved it.
const OWN: &str = include_str!("../../vehicle-config/driver/symbols.toml");
/// The most text that any table may ask for, characters: more cannot be read at a glance.
const LONGEST_TEXT: usize = 24;
/// The least contrasts of a symbol and of text with what lies behind it.
const SYMBOL_STANDS_OUT: f64 = 3.0;
const TEXT_STANDS_OUT: f64 = 7.0;

/// What calls for a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// An alert of this grade.
    Certain,
    /// An alert of this grade.
    Probable,
    /// An alert of this grade.
    Possible,
    /// An alert that no longer stands.
    Withdrawn,
    /// A test hit.
    Drill,
    /// No alert.
    Standby,
}

impl Case {
    /// Those that every table has a symbol for.
    pub const NEEDED: [Case; 5] = [Case::Certain, Case::Probable, Case::Possible, Case::Withdrawn, Case::Drill];

    /// As the table has it.
    pub fn word(self) -> &'static str {
        match self {
            Case::Certain => "certain",
            Case::Probable => "probable",
            Case::Possible => "possible",
            Case::Withdrawn => "withdrawn",
            Case::Drill => "drill",
            Case::Standby => "standby",
        }
    }

    fn of(alert: Option<&Alert>) -> Self {
        match alert.map(|alert| (&alert.standing, alert.drill, alert.grade)) {
            None => Case::Standby,
            Some((Standing::Withdrawn(_), ..)) => Case::Withdrawn,
            Some((Standing::Open, true, _)) => Case::Drill,
            Some((Standing::Open, false, Grade::Certain)) => Case::Certain,
            Some((Standing::Open, false, Grade::Probable)) => Case::Probable,
            Some((Standing::Open, false, Grade::Possible)) => Case::Possible,
        }
    }
}

/// A colour: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rgb(pub [u8; 3]);

impl TryFrom<String> for Rgb {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let bytes = text.strip_prefix('#').and_then(|digits| hex::decode(digits).ok());
        bytes
            .and_then(|bytes| <[u8; 3]>::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a colour: write \"#\" and six hexadecimal digits"))
    }
}

impl Rgb {
    /// Contrast with another colour as WCAG 2 defines it, 1 to 21.
    pub fn contrast(self, other: Rgb) -> f64 {
        let luminance = |Rgb([red, green, blue]): Rgb| {
            let linear = |value: u8| match f64::from(value) / 255.0 {
                value if value <= 0.040_45 => value / 12.92,
                value => ((value + 0.055) / 1.055).powf(2.4),
            };
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        };
        let (a, b) = (luminance(self), luminance(other));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}

/// A colour by day and by night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shades {
    day: Rgb,
    night: Rgb,
}

impl Shades {
    /// The one of the hour.
    pub fn at(self, night: bool) -> Rgb {
        if night { self.night } else { self.day }
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Symbol {
    case: Case,
    /// Of alerts with this reason only, in capitals; empty: of all.
    reason: String,
    outline: Outline,
    colour: Shades,
    text_limit: usize,
    tone: Option<Tone>,
}

impl Symbol {
    /// What it stands for.
    pub fn case(&self) -> Case {
        self.case
    }

    /// Its shape.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Its colour.
    pub fn colour(&self) -> Shades {
        self.colour
    }

    /// The voice of the tone that goes with it; none: that of the entry's list.
    pub fn tone(&self) -> Option<Tone> {
        self.tone
    }

    /// What may be read of `alert` under the symbol: colour, make and model as the list has them, as far as the table's limit
    /// goes. Of one that no longer stands there is nothing to look for.
    pub fn text(&self, alert: &Alert) -> String {
        if alert.standing != Standing::Open {
            return String::new();
        }
        let text: String = alert.vehicle.chars().take(self.text_limit).collect();
        text.trim_end().to_owned()
    }
}

/// The table.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    approval: String,
    ground: Shades,
    /// Those of a reason first.
    symbols: Vec<Symbol>,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    approval: String,
    ground: Shades,
    #[serde(rename = "symbol", default)]
    symbols: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    when: Case,
    #[serde(default)]
    reason: String,
    outline: String,
    day: Rgb,
    night: Rgb,
    text_limit: usize,
    tone: Voice,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Voice {
    List,
    Horn,
    Whistle,
    Bell,
    Reed,
}

impl Chart {
    /// The table that `settings` ask for: that of the file they name, or the program's own.
    ///
    /// # Errors
    /// The file cannot be read or is no such table; the sentence names the row.
    pub fn load(settings: &config::Driver) -> Result<Self> {
        let (text, place) = match &settings.symbols {
            None => (OWN.to_owned(), "the program's own table".to_owned()),
            Some(path) => (
                std::fs::read_to_string(path).map_err(|error| {
                    Fault::io("cannot read the table of the driver's symbols", path, error)
                        .remedy("Name a file like vehicle-config/driver/symbols.toml as `symbols` under [driver]")
                })?,
                path.display().to_string(),
            ),
        };
        Self::parse(&text).map_err(|why| {
            Fault::new(Kind::Config, "not a valid table of the driver's symbols")
                .at(place)
                .because(why)
                .remedy("Compare it with vehicle-config/driver/symbols.toml, where every field is explained")
        })
    }

    /// Parses and checks the text of a table.
    ///
    /// # Errors
    /// A sentence that names the row, without a full stop.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let mut symbols = Vec::new();
        for row in written.symbols {
            let name = named(row.when, &row.reason);
            let outline = Outline::parse(&row.outline).map_err(|why| format!("the outline of {name}: {why}"))?;
            if row.text_limit > LONGEST_TEXT {
                return Err(format!("text_limit of {name} is {}, must be 0 to {LONGEST_TEXT}", row.text_limit));
            }
            if row.when == Case::Standby && !row.reason.is_empty() {
                return Err("standby has no reason: it is shown while there is no alert".to_owned());
            }
            symbols.push(Symbol {
                case: row.when,
                reason: row.reason.trim().to_uppercase(),
                outline,
                colour: Shades { day: row.day, night: row.night },
                text_limit: row.text_limit,
                tone: match row.tone {
                    Voice::List => None,
                    Voice::Horn => Some(Tone::Horn),
                    Voice::Whistle => Some(Tone::Whistle),
                    Voice::Bell => Some(Tone::Bell),
                    Voice::Reed => Some(Tone::Reed),
                },
            });
        }
        symbols.sort_by_key(|symbol| symbol.reason.is_empty());
        let chart = Self { approval: written.approval.trim().to_owned(), ground: written.ground, symbols };
        chart.check()?;
        Ok(chart)
    }

    fn check(&self) -> std::result::Result<(), String> {
        for case in Case::NEEDED {
            if !self.symbols.iter().any(|symbol| symbol.case == case && symbol.reason.is_empty()) {
                return Err(format!("there is no symbol for {:?}", case.word()));
            }
        }
        for (place, symbol) in self.symbols.iter().enumerate() {
            let name = named(symbol.case, &symbol.reason);
            for other in &self.symbols[..place] {
                if (symbol.case, &symbol.reason) == (other.case, &other.reason) {
                    return Err(format!("there are two symbols for {name}"));
                }
                if symbol.case != other.case && symbol.outline == other.outline {
                    return Err(format!(
                        "{name} and {} have one outline: what is less sure must never look like what is surer",
                        named(other.case, &other.reason)
                    ));
                }
            }
            let (least, what) =
                if symbol.text_limit > 0 { (TEXT_STANDS_OUT, "its text") } else { (SYMBOL_STANDS_OUT, "it") };
            for (hour, night) in [("day", false), ("night", true)] {
                let contrast = symbol.colour.at(night).contrast(self.ground.at(night));
                if contrast < least {
                    return Err(format!(
                        "the colour of {name} by {hour} stands out at {contrast:.1}:1; {what} needs {least:.0}:1"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Who has approved it; empty: nobody.
    pub fn approval(&self) -> &str {
        &self.approval
    }

    /// What lies behind the symbols.
    pub fn ground(&self) -> Shades {
        self.ground
    }

    /// The symbol for `alert`, or for there being none; a table need not have one for that.
    pub fn symbol(&self, alert: Option<&Alert>) -> Option<&Symbol> {
        let case = Case::of(alert);
        let reason = alert.map_or("", |alert| &alert.headline);
        self.symbols.iter().find(|symbol| symbol.case == case && (symbol.reason.is_empty() || symbol.reason == reason))
    }

    /// The voice of the tone of `alert`: the table's, or that of the entry's list.
    pub fn tone(&self, alert: &Alert) -> Tone {
        self.symbol(Some(alert)).and_then(Symbol::tone).unwrap_or(alert.tone)
    }
}

fn named(case: Case, reason: &str) -> String {
    match reason {
        "" => format!("{:?}", case.word()),
        reason => format!("{:?} with the reason {reason:?}", case.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Desk, Policy, Sighting};
    use crate::clock::Moment;
    use crate::recognise::ReadId;

    fn alert(grade: Grade, reason: &str) -> Alert {
        let sighting = Sighting { grade, reason: reason.to_owned(), ..Sighting::made_up() };
        let mut desk = Desk::new(Policy::default());
        let changes = desk.take(ReadId { run: 1, pass: 1 }, "AB12CDE", &[sighting], Moment::default());
        Alert::clone(changes[0].alert())
    }

    /// The program's own table, with something in it replaced.
    fn with(from: &str, to: &str) -> std::result::Result<Chart, String> {
        assert!(OWN.contains(from), "{from:?} is not in the table");
        Chart::parse(&OWN.replace(from, to))
    }

    #[test]
    fn the_table_of_the_program_is_valid_not_approved_and_has_nothing_to_read() {
        let chart = Chart::parse(OWN).expect("valid");
        assert_eq!(chart.approval(), "");
        for grade in Grade::ALL {
            let alert = alert(grade, "stolen");
            let symbol = chart.symbol(Some(&alert)).expect("a symbol");
            assert_eq!((symbol.case().word(), symbol.text(&alert).as_str()), (grade.word(), ""));
            assert_eq!(chart.tone(&alert), alert.tone);
            // Its own symbols keep to what the crew's pages keep to.
            for night in [false, true] {
                assert!(symbol.colour().at(night).contrast(chart.ground().at(night)) >= 7.0, "{grade:?} {night}");
            }
        }
        let withdrawn = Alert { standing: Standing::Withdrawn("recovered".into()), ..alert(Grade::Certain, "stolen") };
        let drill = Alert { drill: true, ..alert(Grade::Certain, "test") };
        let of = |alert: Option<&Alert>| chart.symbol(alert).map(Symbol::case);
        assert_eq!(
            [of(Some(&withdrawn)), of(Some(&drill)), of(None)],
            [Some(Case::Withdrawn), Some(Case::Drill), Some(Case::Standby)],
            "a drill is certain, and must not look like it"
        );
    }

    #[test]
    fn text_ends_at_the_limit_and_a_reason_may_have_its_own_symbol_and_tone() {
        let row = "[[symbol]]\nwhen = \"certain\"\nreason = \"no insurance\"\noutline = \"M0 0 L100 0 L100 100 Z\"\n\
                   day = \"#0b3a66\"\nnight = \"#a5ceff\"\ntext_limit = 8\ntone = \"bell\"\n";
        let chart = Chart::parse(&format!("{OWN}{row}")).expect("valid");
        let (insured, stolen) = (alert(Grade::Certain, "no insurance"), alert(Grade::Certain, "stolen"));
        let symbol = chart.symbol(Some(&insured)).expect("a symbol");
        // "Silver Ford Focus" after eight characters, and no trailing space after seven.
        assert_eq!(symbol.text(&insured), "Silver F");
        assert_eq!((chart.tone(&insured), chart.tone(&stolen)), (Tone::Bell, Tone::Horn));
        assert_ne!(chart.symbol(Some(&stolen)).map(Symbol::outline), Some(symbol.outline()));
        let gone = Alert { standing: Standing::Withdrawn("recovered".into()), ..insured.clone() };
        assert_eq!(symbol.text(&gone), "");
        let possible = alert(Grade::Possible, "no insurance");
        assert_eq!(chart.symbol(Some(&possible)).map(Symbol::case), Some(Case::Possible), "never by reason alone");
    }

    #[test]
    fn a_table_that_could_mislead_is_refused_with_the_name_of_the_row() {
        let cut = |row: &str| {
            let start = OWN.find(&format!("[[symbol]]\nwhen = {row:?}")).expect("the row");
            let end = OWN[start + 1..].find("[[symbol]]").map_or(OWN.len(), |end| start + 1 + end);
            Chart::parse(&format!("{}{}", &OWN[..start], &OWN[end..]))
        };
        assert!(cut("standby").is_ok(), "it is for whoever wants it");
        let diamond = "M50 4 L96 50 L50 96 L4 50 Z";
        let two_bars = "M14 28 L86 28 L86 42 L14 42 Z M14 58 L86 58 L86 72 L14 72 Z";
        for (refused, words) in [
            (cut("possible"), "no symbol for \"possible\""),
            (with("when = \"drill\"", "when = \"certain\""), "no symbol for \"drill\""),
            (with("when = \"standby\"", "when = \"certain\""), "two symbols for \"certain\""),
            (with(two_bars, diamond), "\"withdrawn\" and \"probable\" have one outline"),
            (with("night = \"#ff7b74\"", "night = \"#5a0000\""), "\"certain\" by night stands out at"),
            (with("night = \"#ff7b74\"", "night = \"red\""), "is not a colour"),
            (with("tone = \"list\"", "tone = \"siren\""), "siren"),
            (with("text_limit = 0", "text_limit = 25"), "is 25, must be 0 to 24"),
            (with(diamond, "M50 4 A9 9"), "the outline of \"probable\": \"A9\""),
            (with("approval = \"\"\n", ""), "approval"),
            (with("when = \"standby\"", "when = \"standby\"\nreason = \"stolen\""), "standby has no reason"),
        ] {
            let why = refused.expect_err(words);
            assert!(why.contains(words), "{why:?} does not say {words:?}");
        }
        // 3:1 is enough for a shape and not for text.
        let pale = "day = \"#a00010\"\nnight = \"#ff7b74\"\ntext_limit = ";
        let middling = |limit: u8| with(&format!("{pale}0"), &format!("{}{limit}", pale.replace("a00010", "d04040")));
        assert!(middling(0).is_ok());
        assert!(middling(9).expect_err("text").contains("its text needs 7:1"));
    }

    #[test]
    fn a_file_that_is_missing_or_no_table_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings =
            |name: &str| config::Driver { symbols: Some(folder.path().join(name)), ..config::Driver::at(0, 0) };
        let missing = Chart::load(&settings("nowhere.toml")).expect_err("missing").to_string();
        assert!(missing.contains("nowhere.toml") && missing.contains("[driver]"), "{missing}");
        std::fs::write(folder.path().join("bad.toml"), "approval = 3\n").expect("written");
        let bad = Chart::load(&settings("bad.toml")).expect_err("no table");
        assert!(bad.kind() == Kind::Config && bad.to_string().contains("bad.toml"), "{bad}");
    }
}
