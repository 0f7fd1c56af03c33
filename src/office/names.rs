//! Under which names and addresses cars reach the office: further ones come with a new certificate of the service's, by the same
//! authority and for the same key. A running service shows it from then on; cars need nothing new.

use std::path::Path;

use super::{authority, files};
use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};
use crate::sync::identity::Identity;

/// The names and addresses of the office in `data`.
///
/// # Errors
/// There is no office, or its certificate cannot be read.
pub fn names(data: &Path) -> Result<Vec<String>> {
    Ok(identity(data)?.names())
}

/// Adds names and addresses to those of the office in `data`, for `by`. Gives those that it did not have.
///
/// # Errors
/// Nobody says who wants it and why; one is neither a name nor an address; there is no office; or its folder cannot be written.
/// Nothing is changed then.
pub fn add_names(data: &Path, wanted: &[String], by: &str, why: &str, clock: &dyn Clock) -> Result<Vec<String>> {
    if by.trim().is_empty() || why.trim().is_empty() {
        return Err(Fault::new(Kind::Usage, "it is not said who gives the office another name, or why")
            .remedy("Say it with --by and --why: both go on record"));
    }
    let _door = files::hold_the_door(data)?;
    let mut all = identity(data)?.names();
    let mut new = Vec::new();
    for name in wanted {
        // Names are one whatever their letters; so they are kept small.
        let name = name.to_ascii_lowercase();
        if !all.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            all.push(name.clone());
            new.push(name);
        }
    }
    if !new.is_empty() {
        let what = format!("{} added to the office's names: {}", new.join(", "), why.trim());
        authority::certify_service(data, all, clock.utc(), by, what)?;
    }
    Ok(new)
}

fn identity(data: &Path) -> Result<Identity> {
    Identity::load(&files::identity(data))
        .map_err(|fault| fault.remedy("Make an office with outrider-office init first"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::office::loopback::{Memory, Yard, connected, link, wait};
    use crate::office::{enrol, enrolments};
    use crate::sync::{LinkState, identity::KEY_FILE};

    #[test]
    fn names_are_added_by_somebody_and_for_the_same_key() {
        let yard = Yard::new();
        let add = |names: &[&str], by: &str, why: &str| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            add_names(&yard.data(), &names, by, why, &*yard.clock)
        };
        let own = ["localhost", "127.0.0.1", "::1"];
        assert_eq!(names(&yard.data()).expect("read"), own);
        let key = || std::fs::read(files::identity(&yard.data()).join(KEY_FILE)).expect("read");
        let before = key();
        for (name, by, why) in
            [("a.example.org", "", "x"), ("a.example.org", "x", " "), ("a.example.org:4433", "x", "x")]
        {
            assert_eq!(add(&[name], by, why).map_err(|fault| fault.kind()), Err(Kind::Usage), "{name} {by:?} {why:?}");
        }
        assert_eq!((names(&yard.data()).expect("read").len(), enrolments(&yard.data()).expect("read").len()), (3, 1));
        let new = ["a.example.org", "192.0.2.7", "2001:db8::7"];
        assert_eq!(add(&["A.example.org", "192.0.2.7", "2001:db8::7"], "Sgt Example", "moved").expect("added"), new);
        assert_eq!(names(&yard.data()).expect("read"), [&own[..], &new[..]].concat());
        assert_eq!(add(&["a.EXAMPLE.org", "localhost"], "Sgt Example", "again").expect("there"), [""; 0]);
        assert_eq!(key(), before);
        let record = enrolments(&yard.data()).expect("read");
        assert_eq!(record.len(), 2, "what changes nothing is not on record");
        let what = "a.example.org, 192.0.2.7, 2001:db8::7 added to the office's names: moved";
        assert_eq!((record[1].by.as_str(), record[1].what.as_str()), ("Sgt Example", what));
        let none = tempfile::tempdir().expect("a folder");
        assert_eq!(names(none.path()).map_err(|fault| fault.kind()), Err(Kind::Missing));
    }

    #[test]
    fn a_running_service_takes_a_further_address_and_drops_no_car() {
        let yard = Yard::new();
        let other = yard.folder.path().join("car2");
        enrol(&yard.data(), "EX-02", &other, &*yard.clock).expect("enrolled");
        let service = yard.serve(SocketAddr::from(([0, 0, 0, 0], 0)));
        let at = |last| SocketAddr::from(([127, 0, 0, last], service.address().port()));
        let outbox = Arc::new(Memory::default());
        let there = yard.link(at(1), &outbox);
        let LinkState::Connected { since } = wait(&there, "the link", connected).state else { panic!("connected") };
        // The certificate says nothing of this address.
        let further = link(&other, "EX-02", at(2), &Arc::new(Memory::default()), &yard.clock);
        let refused = wait(&further, "the refusal", |status| matches!(status.state, LinkState::Down { .. }));
        assert!(format!("{refused:?}").contains("127.0.0.2"), "{refused:?}");

        add_names(&yard.data(), &["127.0.0.2".into()], "Sgt Example", "a second line", &*yard.clock).expect("added");
        wait(&further, "the link by the further address", connected);
        let state = there.status().state;
        assert!(
            matches!(state, LinkState::Connected { since: still } if still == since),
            "the other car stays: {state:?}"
        );
        drop(further);
        let again = yard.link(at(1), &outbox);
        wait(&again, "the link by the old address", connected);
    }
}
