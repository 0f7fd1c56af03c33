//! The roll: everybody who may sign on, and until when it counts.

use chrono::{DateTime, Utc};
use prost::Message;

use super::pin::PinHash;
use super::rights::Role;
use crate::fault::{Fault, Kind, Result};

/// What the roll is called among the things that the office hands down. No list can have this name.
pub const ROLL: &str = "+people";
/// The largest roll, bytes.
pub const MOST_BYTES: usize = 4 << 20;
/// The longest collar number and name, characters.
const LONGEST_NUMBER: usize = 16;
const LONGEST_NAME: usize = 64;
const VERSION: u8 = 1;

/// Somebody who may sign on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Collar number, in the form that [`number`] gives.
    pub number: String,
    /// The name, for people; may be empty.
    pub name: String,
    /// What they are.
    pub role: Role,
    /// What is kept of their PIN.
    pub pin: PinHash,
}

/// Everybody who may sign on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// Grows with every change.
    pub revision: u64,
    /// When it was made.
    pub made: DateTime<Utc>,
    /// From when on nobody can sign on by it; `None`: it was made at the car, where nobody renews it.
    pub expires: Option<DateTime<Utc>>,
    /// The people, each number once.
    pub people: Vec<Person>,
}

/// A collar number as it is kept: capitals and digits.
///
/// # Errors
/// It is empty, too long, or has other characters.
pub fn number(text: &str) -> Result<String> {
    let number = text.trim().to_uppercase();
    if number.is_empty() || number.len() > LONGEST_NUMBER || !number.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Fault::new(Kind::Usage, "this cannot be a collar number")
            .remedy(format!("Use 1 to {LONGEST_NUMBER} letters and digits")));
    }
    Ok(number)
}

#[derive(Clone, PartialEq, Message)]
struct StoredRoll {
    #[prost(uint64, tag = "1")]
    revision: u64,
    /// Seconds since 1970.
    #[prost(sint64, tag = "2")]
    made: i64,
    #[prost(sint64, optional, tag = "3")]
    expires: Option<i64>,
    #[prost(message, repeated, tag = "4")]
    people: Vec<StoredPerson>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredPerson {
    #[prost(string, tag = "1")]
    number: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint32, tag = "3")]
    role: u32,
    #[prost(bytes = "vec", tag = "4")]
    pin: Vec<u8>,
}

/// A change of a roll.
#[derive(Debug, Clone)]
pub enum Change {
    /// Somebody new.
    Add(Person),
    /// Somebody is changed, in what is given.
    Alter {
        /// Whose.
        number: String,
        /// The new name.
        name: Option<String>,
        /// The new role.
        role: Option<Role>,
        /// What is kept of the new PIN.
        pin: Option<PinHash>,
    },
    /// Somebody may not sign on any more.
    Remove(String),
}

impl Change {
    /// What it does, for the record.
    pub fn words(&self) -> String {
        match self {
            Self::Add(person) => format!("{} added as {}", person.number, person.role.word()),
            Self::Alter { number, name, role, pin } => {
                let mut parts = Vec::new();
                parts.extend(name.as_ref().map(|_| "the name".to_owned()));
                parts.extend(role.map(|role| format!("the role, now {}", role.word())));
                parts.extend(pin.as_ref().map(|_| "the PIN".to_owned()));
                format!("{number} changed: {}", parts.join(", "))
            }
            Self::Remove(number) => format!("{number} removed"),
        }
    }
}

impl Roll {
    /// Changes the people.
    ///
    /// # Errors
    /// The change makes no sense; nothing is changed then.
    pub fn apply(&mut self, change: Change) -> Result<()> {
        let what = "the roll of people cannot be changed";
        let missing = |number: &str| {
            Fault::new(Kind::Missing, what)
                .because(format!("{number} is not on it"))
                .remedy("See who is with: people list")
        };
        match change {
            Change::Add(person) if self.find(&person.number).is_some() => {
                return Err(Fault::new(Kind::Usage, what)
                    .because(format!("{} is on it already", person.number))
                    .remedy("Use: people change"));
            }
            Change::Add(person) => {
                Self::check_name(&person.name)?;
                self.people.push(person);
                self.people.sort_by(|a, b| a.number.cmp(&b.number));
            }
            Change::Alter { number, name, role, pin } => {
                name.as_deref().map_or(Ok(()), Self::check_name)?;
                let person = self.people.iter_mut().find(|person| person.number == number);
                let person = person.ok_or_else(|| missing(&number))?;
                person.name = name.unwrap_or_else(|| std::mem::take(&mut person.name));
                person.role = role.unwrap_or(person.role);
                person.pin = pin.unwrap_or_else(|| person.pin.clone());
            }
            Change::Remove(number) => {
                let place = self.people.iter().position(|person| person.number == number);
                let place = place.ok_or_else(|| missing(&number))?;
                if self.people.len() == 1 {
                    return Err(Fault::new(Kind::Usage, what)
                        .because("nobody would be left on it")
                        .remedy("Add somebody else first"));
                }
                self.people.remove(place);
            }
        }
        Ok(())
    }

    /// The person with this collar number.
    pub fn find(&self, number: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.number == number)
    }

    /// Refuses what cannot be somebody on a roll.
    ///
    /// # Errors
    /// The name is too long or has characters that cannot be shown.
    pub fn check_name(name: &str) -> Result<()> {
        if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(Fault::new(Kind::Usage, "this cannot be a name")
                .remedy(format!("Use {LONGEST_NAME} characters at most")));
        }
        Ok(())
    }

    /// The roll as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let person = |person: &Person| StoredPerson {
            number: person.number.clone(),
            name: person.name.clone(),
            role: person.role as u32,
            pin: person.pin.encode(),
        };
        let stored = StoredRoll {
            revision: self.revision,
            made: self.made.timestamp(),
            expires: self.expires.map(|expires| expires.timestamp()),
            people: self.people.iter().map(person).collect(),
        };
        let mut bytes = vec![VERSION];
        stored.encode_raw(&mut bytes);
        bytes
    }

    /// The roll in bytes that [`Self::encode`] gave.
    ///
    /// # Errors
    /// Why there is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored = match bytes {
            _ if bytes.len() > MOST_BYTES => return Err("the roll of people is too large".into()),
            [VERSION, rest @ ..] => StoredRoll::decode(rest).map_err(|error| error.to_string())?,
            _ => return Err("the roll of people is of another version".into()),
        };
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or("the roll of people has a time that is none");
        let mut people: Vec<Person> = Vec::with_capacity(stored.people.len());
        for StoredPerson { number: text, name, role, pin } in stored.people {
            let wrong = || "somebody on the roll of people makes no sense".to_owned();
            let number = number(&text).map_err(|_| wrong())?;
            let role = Role::of(role).ok_or_else(wrong)?;
            let pin = PinHash::decode(&pin).ok_or_else(wrong)?;
            Self::check_name(&name).map_err(|_| wrong())?;
            people.push(Person { number, name, role, pin });
        }
        people.sort_by(|a, b| a.number.cmp(&b.number));
        if people.windows(2).any(|pair| pair[0].number == pair[1].number) {
            return Err("the roll of people has one number twice".into());
        }
        Ok(Self {
            revision: stored.revision,
            made: time(stored.made)?,
            expires: stored.expires.map(time).transpose()?,
            people,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;
    use crate::people::Pin;

    fn person(number: &str, role: Role) -> Person {
        let pin = Pin::new(Zeroizing::new("480615".into()), number).expect("a PIN");
        Person { number: number.into(), name: "A. Example".into(), role, pin: PinHash::of(&pin).expect("hashed") }
    }

    #[test]
    fn a_roll_comes_back_as_it_was_and_one_number_is_one_person() {
        let time = |text: &str| text.parse().expect("a time");
        let mut roll = Roll {
            revision: 7,
            made: time("2026-12-01T10:00:00Z"),
            expires: Some(time("2026-12-15T10:00:00Z")),
            people: vec![person("1234", Role::Crew), person("PS77", Role::Supervisor), person("T9", Role::Technician)],
        };
        assert_eq!(Roll::decode(&roll.encode()), Ok(roll.clone()));
        assert_eq!(roll.find("PS77").map(|person| person.role), Some(Role::Supervisor));
        roll.people.push(person("1234", Role::Supervisor));
        assert!(Roll::decode(&roll.encode()).expect_err("twice").contains("twice"));
        assert_eq!(number(" ps77 ").expect("a number"), "PS77");
        assert!(["", "A B", "12345678901234567", "é"].iter().all(|text| number(text).is_err()));
    }

    #[test]
    fn people_are_added_changed_and_removed_and_somebody_stays() {
        let made = DateTime::UNIX_EPOCH;
        let mut roll = Roll { revision: 1, made, expires: None, people: Vec::new() };
        let one = person("1234", Role::Crew);
        roll.apply(Change::Add(one.clone())).expect("added");
        assert!(roll.apply(Change::Add(one.clone())).is_err_and(|fault| fault.to_string().contains("already")));
        assert!(roll.apply(Change::Remove("1234".into())).is_err_and(|fault| fault.to_string().contains("left")));
        let alter = |number: &str, role| Change::Alter { number: number.into(), name: None, role, pin: None };
        assert!(roll.apply(alter("9", None)).is_err_and(|fault| fault.kind() == Kind::Missing));
        roll.apply(alter("1234", Some(Role::Supervisor))).expect("changed");
        assert_eq!(roll.people, [Person { role: Role::Supervisor, ..one }]);
        assert_eq!(alter("1234", Some(Role::Crew)).words(), "1234 changed: the role, now crew");
        roll.apply(Change::Add(person("0999", Role::Technician))).expect("added");
        roll.apply(Change::Remove("1234".into())).expect("removed");
        assert_eq!(roll.people[0].number, "0999");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_roll_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Roll::decode(&bytes);
            let _ = Roll::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}
