//! The office's file of settings: what an administrator writes.

use std::collections::BTreeMap;

use toml::{Table, Value as Toml};

use super::{Key, Values};

/// The largest file, bytes.
pub const MOST_SHEET: usize = 256 << 10;
/// The most units that have settings of their own.
const MOST_UNITS: usize = 2000;
/// The longest name of a unit, bytes: as for certificates.
const LONGEST_UNIT: usize = 64;

/// What is set for all cars, and for single ones over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sheet {
    /// For all.
    pub cars: Values,
    /// For single units.
    pub units: BTreeMap<String, Values>,
}

impl Sheet {
    /// Reads `[cars]` and `[units.NAME]`. An empty text is a sheet, too: it sets nothing.
    ///
    /// # Errors
    /// A clause saying what is wrong with it; then nothing of it counts.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MOST_SHEET {
            return Err(format!("it has more than {MOST_SHEET} bytes"));
        }
        let table: Table = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let mut sheet = Self::default();
        for (name, section) in table {
            match (name.as_str(), section) {
                ("cars", Toml::Table(section)) => sheet.cars = values("[cars]", section)?,
                ("units", Toml::Table(units)) => {
                    if units.len() > MOST_UNITS {
                        return Err(format!("more than {MOST_UNITS} units have settings of their own"));
                    }
                    for (unit, section) in units {
                        let Toml::Table(section) = section else {
                            return Err(format!("units.{unit} is no section: write [units.{unit}]"));
                        };
                        if unit.trim().is_empty() || unit.len() > LONGEST_UNIT || unit.chars().any(char::is_control) {
                            return Err(format!("{unit:?} is no name of a unit"));
                        }
                        let set = values(&format!("[units.{unit}]"), section)?;
                        sheet.units.insert(unit, set);
                    }
                }
                (other, _) => return Err(format!("{other:?} is not known here: there are [cars] and [units.NAME]")),
            }
        }
        Ok(sheet)
    }

    /// What counts in the unit of this name.
    pub fn of_unit(&self, unit: &str) -> Values {
        self.units.get(unit).map_or_else(|| self.cars.clone(), |own| own.over(&self.cars))
    }
}

fn values(place: &str, section: Table) -> Result<Values, String> {
    let mut values = Values::default();
    for (name, value) in section {
        let Some(key) = Key::parse(&name) else {
            let known = Key::ALL.map(Key::name).join(", ");
            return Err(format!("{place}: {name:?} cannot be set: there are {known}"));
        };
        let value = match value {
            Toml::Integer(number) => key.whole(number.into()),
            Toml::String(text) => key.text(&text),
            other => Err(format!("{name} is {}, must be {}", other.type_str(), key.bounds_words())),
        };
        values.0.insert(key, value.map_err(|why| format!("{place}: {why}"))?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_set_for_one_unit_lies_over_what_is_set_for_all() {
        let text =
            "[cars]\nlongest_shift_h = 10\ndrill_days = 7\n\n[units.EX-01]\ndrill_days = 14\nnotice = \"Your turn\"\n";
        let sheet = Sheet::parse(text).expect("a sheet");
        assert_eq!(sheet.of_unit("EX-02"), sheet.cars);
        let own = sheet.of_unit("EX-01");
        assert_eq!(own.words(), "longest_shift_h 10, drill_days 14, notice of 9 characters");
        assert_eq!(own.drill(), Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(own.notice(), Some("Your turn"));
        assert_eq!(Sheet::parse(""), Ok(Sheet::default()), "taken back");
    }

    #[test]
    fn a_sheet_is_right_or_nothing_of_it_counts() {
        for (text, why) in [
            ("longest_shift_h = 10\n", "there are [cars] and [units.NAME]"),
            ("[cars]\nkeep_reads_h = 1\n", "\"keep_reads_h\" cannot be set: there are longest_shift_h"),
            ("[cars]\nvolume = 0\n", "cannot be set"),
            ("[cars]\nlongest_shift_h = 48\n", "[cars]: longest_shift_h is 48, must be 1 to 24"),
            ("[cars]\nlongest_shift_h = 9.5\n", "longest_shift_h is float"),
            ("[cars]\nlongest_shift_h = -9223372036854775808\n", "must be 1 to 24"),
            ("[units.EX-01]\nnotice = 7\n", "[units.EX-01]: notice is a number"),
            ("[units]\nEX-01 = 7\n", "is no section"),
            ("[units.\"\"]\ndrill_days = 7\n", "is no name of a unit"),
            ("[cars]\ndrill_days = 7\ndrill_days = 8\n", "duplicate"),
            ("cars = 7\n", "not known here"),
            ("[cars\n", "TOML"),
        ] {
            let said = Sheet::parse(text).expect_err(text);
            assert!(said.contains(why), "{said}");
        }
        assert!(Sheet::parse(&" ".repeat(MOST_SHEET + 1)).is_err());
    }
}
