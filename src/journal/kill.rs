//! A unit that is killed at any instant comes back with every read that it called committed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::archive::READS;
use super::tests::{hour, read};
use super::{Archive, Journal, Key, Record};
use crate::clock::RealClock;

const FOLDER: &str = "OUTRIDER_KILLED_JOURNAL";
const CHILD: &str = "journal::kill::child_that_writes_until_it_is_killed";

/// Run by the test below in a process of its own.
#[test]
#[ignore = "is killed"]
fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let journal = Journal::open(Path::new(&folder), RealClock::shared()).expect("opened");
    let mut pass = 0;
    loop {
        for _ in 0..fastrand::u32(1..6) {
            pass += 1;
            journal.record(Record::Read(Box::new(read(journal.run(), pass, "AB12CDE", hour(0))))).expect("taken");
        }
        journal.flush().expect("on disk");
        println!("kept {} {pass}", journal.run());
        if fastrand::bool() {
            let keys: Vec<_> = journal.pending(3, usize::MAX).expect("read").into_iter().map(|item| item.key).collect();
            journal.acknowledge(&keys).expect("noted");
        }
    }
}

#[test]
fn killed_at_any_instant_it_comes_back_with_every_read_that_it_called_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut promised: Vec<(u64, u64)> = Vec::new();
    for round in 1..=12 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([CHILD, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (mut last, mut left) = (None, fastrand::u32(1..8));
        let note = |line: String, last: &mut Option<(u64, u64)>| {
            let Some((_, said)) = line.split_once("kept ") else { return false };
            let (run, pass) = said.split_once(' ').expect("two numbers");
            *last = Some((run.parse().expect("a run"), pass.parse().expect("a pass")));
            true
        };
        while left > 0 {
            let line = lines.next().expect("the child goes on").expect("text");
            left -= u32::from(note(line, &mut last));
        }
        // Anywhere between two lines.
        for _ in 0..fastrand::u32(0..20_000) {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        for line in lines.map_while(Result::ok) {
            note(line, &mut last);
        }
        promised.push(last.expect("something was kept"));

        let archive = Archive::open_existing(folder.path(), &Key::Beside).expect("opens after the kill");
        let verified = archive.verify().expect("whole");
        assert_eq!(verified.runs, round);
        archive
            .read("test", |transaction| {
                let reads = transaction.open_table(READS)?;
                for (run, passes) in &promised {
                    for pass in 1..=*passes {
                        assert!(reads.get((*run, pass, 0))?.is_some(), "read {run}-{pass} of round {round} is lost");
                    }
                }
                Ok(())
            })
            .expect("read");
    }
}
