//! Who gets in, over real QUIC on the loopback interface: codes, renewals, revocations. Time is virtual where it matters.

mod hostile;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::loopback::{Memory, Yard, anywhere, connected, down, link, wait, wait_until};
use super::{Revocation, enrolments, make_code, open_codes, revoke, units, withdraw_code};
use crate::clock::{Clock, SimulatedClock};
use crate::config;
use crate::fault::{Kind as FaultKind, Result};
use crate::sync::Kind;
use crate::sync::car::{self, Enrolment};
use crate::sync::enrol::Code;
use crate::sync::identity::{self, Identity, Life, Purpose};

const BY: &str = "Sgt Example";

impl Yard {
    /// A code for `unit`, open for a quarter of an hour.
    fn code(&self, unit: &str) -> Code {
        make_code(&self.data(), unit, BY, TimeDelta::minutes(15), &*self.clock).expect("made").0
    }

    /// Enrols a car with a code; its identity is to be in the folder of that name.
    fn admit(&self, office: SocketAddr, unit: &str, folder: &str, code: &Code) -> Result<Life> {
        let (address, identity) = (office.to_string(), self.path(folder));
        let order = Enrolment { address: &address, identity: &identity, unit, replace: false };
        car::enrol(&order, code, Arc::clone(&self.clock))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn refused(result: Result<Life>, words: &str) {
    let fault = result.expect_err("refused").to_string();
    assert!(fault.contains(words), "{fault}");
}

/// An ordinary day of a winter, in virtual time.
fn winter() -> Arc<SimulatedClock> {
    SimulatedClock::starting("2026-12-01T10:00:00Z".parse().expect("a time"))
}

fn life(folder: &Path) -> Life {
    Identity::load(folder).and_then(|identity| identity.life()).expect("an identity")
}

#[test]
fn a_code_lets_one_car_in_once() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let code = yard.code("EX-07");
    refused(yard.admit(service.address(), "EX-08", "new", &code), "another name for this unit than \"EX-08\"");
    assert!(!identity::is_there(&yard.path("new")), "nothing is left of a refusal that could be used");
    let life = yard.admit(service.address(), "EX-07", "new", &code).expect("let in");
    assert!(life.left(yard.clock.utc()) > TimeDelta::days(700));

    // It is an identity like any other, and the key has never left the car.
    let outbox = Arc::new(Memory::default());
    outbox.add(Kind::Hit, 1, 10);
    let car = link(&yard.path("new"), "EX-07", service.address(), &outbox, &yard.clock);
    wait(&car, "the hit", |status| status.acknowledged == 1);
    let key = std::fs::read_to_string(yard.path("new/key.pem")).expect("there");
    let kept = std::fs::read_dir(yard.data().join("units")).expect("read");
    assert!(
        kept.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("read"))
            .all(|text| { !text.contains("PRIVATE") && !text.contains(key.lines().nth(1).expect("a line")) })
    );
    assert_eq!(
        identity::lists_key(&yard.path("new")).expect("a key"),
        identity::lists_key(&yard.identity()).expect("a key")
    );

    // Neither this car nor another gets in with it again, nor does it list as open.
    refused(yard.admit(service.address(), "EX-07", "new", &code), "has an identity already");
    refused(yard.admit(service.address(), "EX-07", "other", &code), "no such open code");
    assert!(open_codes(&yard.data(), &*yard.clock).expect("read").is_empty());
    let record = enrolments(&yard.data()).expect("read");
    let made = format!("code {} by {BY}", code.name());
    assert!(record.iter().any(|line| line.by == "the office" && line.what == format!("EX-07 enrolled by {made}")));
    assert!(!format!("{record:?}").contains(&code.secret()));
    let listed = units(&yard.data(), &*yard.clock).expect("read");
    assert!(listed.iter().any(|line| line.unit == "EX-07" && line.standing == "good" && line.how == made));
}

#[test]
fn a_lost_answer_is_given_again_to_the_same_key_within_the_codes_time() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let code = yard.code("EX-07");
    // The car's key is on its disk before it asks; then the answer is lost, with all that came of it.
    let key = identity::pending(&yard.path("new"), &Purpose::Code(code.name())).expect("a key").serialize_pem();
    let lose = || {
        std::fs::remove_dir_all(yard.path("new")).expect("removed");
        std::fs::create_dir_all(yard.path("new/.next")).expect("made");
        std::fs::write(yard.path("new/.next/key.pem"), &key).expect("written");
        std::fs::write(yard.path("new/.next/purpose"), format!("code {}", code.name())).expect("written");
    };
    yard.admit(service.address(), "EX-07", "new", &code).expect("let in");
    let first = std::fs::read(yard.path("new/cert.pem")).expect("there");
    lose();
    // Also by a service that was started anew meanwhile.
    let address = service.address();
    service.stop();
    let service = yard.serve(address);
    yard.admit(service.address(), "EX-07", "new", &code).expect("let in again");
    assert_eq!(std::fs::read(yard.path("new/cert.pem")).expect("there"), first);
    assert_eq!(units(&yard.data(), &*clock).expect("read").len(), 2, "this one and the yard's own");
    lose();
    clock.advance(Duration::from_secs(15 * 60));
    refused(yard.admit(service.address(), "EX-07", "new", &code), "no such open code");
}

#[test]
fn a_code_runs_out_is_withdrawn_and_is_of_no_use_to_another_office() {
    let clock = winter();
    let (yard, other) = (Yard::by(clock.clone()), Yard::by(clock.clone()));
    let (service, stranger) = (yard.serve(anywhere()), other.serve(anywhere()));
    let (late, back) = (yard.code("EX-07"), yard.code("EX-08"));
    withdraw_code(&yard.data(), &back.name(), BY, &*clock).expect("withdrawn");
    refused(yard.admit(service.address(), "EX-08", "back", &back), "no such open code");
    clock.advance(Duration::from_secs(15 * 60));
    refused(yard.admit(service.address(), "EX-07", "late", &late), "no such open code");

    // Another office answers: it is told apart in the handshake, and never sees the code.
    let code = yard.code("EX-09");
    refused(yard.admit(stranger.address(), "EX-09", "good", &code), "not the office that made the code");
    assert!(!identity::is_there(&yard.path("good")));
    // The wrong tries of before have to be waited for.
    clock.advance(Duration::from_secs(60));
    yard.admit(service.address(), "EX-09", "good", &code).expect("the code is as good as before");

    // A car of another time is told so, and nothing is sent.
    clock.jump_to(chrono::DateTime::UNIX_EPOCH);
    refused(yard.admit(service.address(), "EX-09", "then", &code), "1970-01-01");
}

#[test]
fn an_identity_is_replaced_only_when_asked_for_and_the_old_one_ends_with_the_first_use() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    clock.advance(Duration::from_secs(60));
    let code = yard.code("EX-01");
    refused(yard.admit(service.address(), "EX-01", "car", &code), "--replace");
    std::fs::create_dir(yard.path("copy")).expect("made");
    for file in ["ca.pem", "cert.pem", "key.pem", "lists.pub"] {
        std::fs::copy(yard.identity().join(file), yard.path("copy").join(file)).expect("copied");
    }
    let (address, folder) = (service.address().to_string(), yard.identity());
    let order = Enrolment { address: &address, identity: &folder, unit: "EX-01", replace: true };
    car::enrol(&order, &code, yard.clock.clone()).expect("replaced");
    let standings =
        || -> Vec<&str> { units(&yard.data(), &*clock).expect("read").iter().map(|line| line.standing).collect() };
    assert_eq!(standings(), ["good", "good"]);
    let outbox = Arc::new(Memory::default());
    let old = link(&yard.path("copy"), "EX-01", service.address(), &outbox, &yard.clock);
    wait(&old, "the link of the old one", connected);
    drop(old);
    let new = yard.link(service.address(), &outbox);
    wait(&new, "the link", connected);
    wait_until("the end of the old one", || standings() == ["replaced by a newer one", "good"]);
    drop(new);
    let old = link(&yard.path("copy"), "EX-01", service.address(), &outbox, &yard.clock);
    wait(&old, "the refusal", |status| down(status, "does not know this car's identity"));
}

#[test]
fn a_car_that_is_on_for_three_years_stays_enrolled() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    let car = yard.link(service.address(), &outbox);
    wait(&car, "the link", connected);
    let first = life(&yard.identity());
    for month in 1..=37 {
        clock.advance(Duration::from_secs(30 * 86_400));
        outbox.add(Kind::Read, month, 10);
        car.nudge();
        wait_until("the renewal", || life(&yard.identity()).renewal() > clock.utc());
        let all_is_well = |status: &crate::sync::Status| connected(status) && status.identity_fault.is_none();
        wait(&car, "the read", |status| all_is_well(status) && status.acknowledged == month as u64);
    }
    assert!(clock.utc() > first.until, "the first certificate has run out");
    assert_eq!(service.counts().expect("counted")["EX-01"].reads, 37);
    // The one that was renewed last ends the others once it is used.
    let all = || units(&yard.data(), &*clock).expect("read");
    wait_until("one that counts", || all().iter().filter(|line| line.standing == "good").count() == 1);
    let all = all();
    assert!((2..=3).contains(&all.len()), "{all:?}");
    assert!(all[1].how == "renewal" && all[1].issued >= first.renewal() && all[1].issued < first.until);
}

#[test]
fn the_service_renews_its_own_certificate_when_it_is_started() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let office = yard.data().join("identity");
    let (first, names) = (life(&office), Identity::load(&office).expect("loaded").names());
    assert_eq!(names, ["localhost", "127.0.0.1", "::1"]);
    let address = {
        let service = yard.serve(anywhere());
        assert_eq!(life(&office), first, "it has most of its life before it");
        service.address()
    };
    clock.jump_to(first.renewal());
    let service = yard.serve(address);
    assert!(life(&office).until > first.until + TimeDelta::days(1000));
    assert_eq!(Identity::load(&office).expect("loaded").names(), names);
    // A car that comes later trusts it as it did the old one.
    clock.jump_to(first.until + TimeDelta::days(1));
    yard.admit(service.address(), "EX-09", "new", &yard.code("EX-09")).expect("let in");
    let car = link(&yard.path("new"), "EX-09", service.address(), &Arc::new(Memory::default()), &yard.clock);
    wait(&car, "the link", connected);
}

#[test]
fn a_car_that_was_off_for_too_long_is_told_what_to_do_and_is_enrolled_again() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    outbox.add(Kind::Hit, 1, 10);
    clock.advance(Duration::from_secs(731 * 86_400));
    let car = yard.link(service.address(), &outbox);
    let sentence =
        "this car's certificate ran out on 2028-11-30, by this car's clock. If the clock is right: enrol the car again";
    wait(&car, "the sentence", |status| down(status, sentence));
    // The car goes on by itself once it has a new identity.
    let (address, folder) = (service.address().to_string(), yard.identity());
    let order = Enrolment { address: &address, identity: &folder, unit: "EX-01", replace: true };
    car::enrol(&order, &yard.code("EX-01"), yard.clock.clone()).expect("enrolled again");
    wait(&car, "the hit", |status| status.acknowledged == 1);
}

#[test]
fn a_certificate_that_is_not_renewed_is_a_fault_long_before_it_runs_out() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let address = service.address();
    let outbox = Arc::new(Memory::default());
    let car = yard.link(address, &outbox);
    wait(&car, "the link", connected);
    // The office cannot sign any more: it has lost its authority's key.
    let key = yard.data().join("authority/key.pem");
    std::fs::rename(&key, yard.path("key.pem")).expect("moved");
    clock.advance(Duration::from_secs(500 * 86_400));
    car.nudge();
    let told = |words: &'static str| {
        move |status: &crate::sync::Status| {
            status.identity_fault.as_ref().is_some_and(|fault| fault.to_string().contains(words))
        }
    };
    let status = wait(&car, "the fault", told("could not be renewed, and runs out on 2028-11-30"));
    assert!(status.identity_fault.expect("a fault").to_string().contains("the office cannot do it now"));
    wait(&car, "the link goes on", connected);
    // An hour later it is tried again.
    std::fs::rename(yard.path("key.pem"), &key).expect("moved back");
    clock.advance(Duration::from_secs(3600));
    car.nudge();
    wait(&car, "the renewal", |status| status.identity_fault.is_none());
    wait_until("the renewal", || life(&yard.identity()).renewal() > clock.utc());
    drop(car);

    // Without an office, it is said when a month is left.
    service.stop();
    let car = yard.link(address, &outbox);
    let until = life(&yard.identity()).until;
    clock.jump_to(until - TimeDelta::days(31));
    car.nudge();
    wait(&car, "no link", |status| down(status, "cannot be reached"));
    assert!(car.status().identity_fault.is_none());
    clock.jump_to(until - TimeDelta::days(12));
    car.nudge();
    wait(&car, "the fault", told("in 12 days: the office, which renews it, is not reached"));
}

#[test]
fn a_lost_answer_to_a_renewal_is_given_again_and_a_greedy_car_does_not_fill_the_register() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let settings = config::Office::at(service.address().to_string(), yard.identity());
    let ask = || hostile::renew(&settings, "EX-01", &yard.clock);
    refused_early(&ask());
    clock.advance(Duration::from_secs(490 * 86_400));
    // The key stays pending until the answer is here: the same again gets the same.
    let first = hostile::issued(ask());
    assert_eq!(first, hostile::issued(ask()));
    // A car that loses its key each time.
    let mut answers = Vec::new();
    for _ in 0..12 {
        std::fs::remove_dir_all(yard.identity().join(".next")).expect("removed");
        answers.push(hostile::is_issued(&ask()));
    }
    assert_eq!(answers.iter().filter(|issued| **issued).count(), 7, "{answers:?}");
    let all = units(&yard.data(), &*clock).expect("read");
    let good = all.iter().filter(|line| line.standing == "good").count();
    assert_eq!((all.len(), good), (9, 2), "the one that it has, and the newest");
}

fn refused_early(answer: &crate::sync::enrol::proto::Answer) {
    assert_eq!(hostile::reason(answer), Some(crate::sync::enrol::proto::Reason::Early));
}

#[test]
fn revoked_is_cut_off_at_once_with_renewals_and_codes_and_one_certificate_can_be_named() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let code = yard.code("EX-01");
    let outbox = Arc::new(Memory::default());
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        clock.advance(Duration::from_secs(1));
        let folder = format!("car-{round}");
        yard.admit(service.address(), "EX-02", &folder, &yard.code("EX-02")).expect("let in");
        let car = link(&yard.path(&folder), "EX-02", service.address(), &outbox, &yard.clock);
        wait(&car, "the link", connected);
        let before = Instant::now();
        let cut = revoke(&yard.data(), Revocation::Unit("EX-02"), BY, &*clock).expect("revoked");
        assert_eq!(cut, (1, 1), "the certificate, and the used code, which would give the same certificate again");
        let commanded = before.elapsed();
        wait(&car, "the cut", |status| down(status, "does not know this car's identity"));
        longest = longest.max(before.elapsed() - commanded);
    }
    println!("cut off within {longest:?} of the command's end, the longest of 20");
    assert!(longest < Duration::from_secs(2), "{longest:?}");

    // All that a unit has: its certificate, its codes, its renewal.
    clock.advance(Duration::from_secs(490 * 86_400));
    let settings = config::Office::at(service.address().to_string(), yard.identity());
    let fresh = yard.code("EX-01");
    assert_eq!(revoke(&yard.data(), Revocation::Unit("EX-01"), BY, &*clock).expect("revoked"), (1, 1));
    assert_eq!(
        hostile::reason(&hostile::renew(&settings, "EX-01", &yard.clock)),
        Some(crate::sync::enrol::proto::Reason::Unknown)
    );
    for code in [&code, &fresh] {
        clock.advance(Duration::from_secs(60));
        refused(yard.admit(service.address(), "EX-01", "again", code), "no such open code");
    }
    let gone = revoke(&yard.data(), Revocation::Unit("EX-01"), BY, &*clock).map_err(|fault| fault.kind());
    assert_eq!(gone, Err(FaultKind::Missing));

    // One certificate, by its name as it is listed.
    clock.advance(Duration::from_secs(60));
    yard.admit(service.address(), "EX-03", "one", &yard.code("EX-03")).expect("let in");
    yard.admit(service.address(), "EX-03", "two", &yard.code("EX-03")).expect("let in");
    let listed = units(&yard.data(), &*clock).expect("read");
    let names: Vec<_> =
        listed.iter().filter(|line| line.unit == "EX-03").map(|line| line.certificate.clone()).collect();
    let one = |name| revoke(&yard.data(), Revocation::Certificate(name), BY, &*clock).map_err(|fault| fault.kind());
    assert_eq!(one(""), Err(FaultKind::Missing), "it would name all of them");
    assert_eq!(one(&names[0]), Ok((1, 0)));
    let listed = units(&yard.data(), &*clock).expect("read");
    let standing: Vec<_> = listed.iter().filter(|line| line.unit == "EX-03").map(|line| line.standing).collect();
    assert_eq!(standing, ["revoked", "good"]);
}
