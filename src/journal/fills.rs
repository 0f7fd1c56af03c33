//! A disk that fills up: what goes, what stays, and that it is said; also on a real file system without a byte left.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::record::Which;
use super::tests::{clock, hour, lines, read, record_hit, record_read};
use super::*;
use crate::clock::RealClock;
use crate::config;
use crate::fault::Kind;
use crate::recognise::Thumbnail;
use crate::tag::TaggedRead;

const MIB: u64 = 1 << 20;

fn limits(announce_free_mb: u32, keep_free_mb: u32) -> config::Journal {
    config::Journal { announce_free_mb, keep_free_mb, ..config::Journal::default() }
}

/// A read whose pictures are some 40 KB.
fn grainy(pass: u64, text: &str) -> TaggedRead {
    let mut tagged = read(1, pass, text, hour(0));
    let mut random = fastrand::Rng::with_seed(pass);
    let rgb = (0..320 * 180 * 3).map(|_| random.u8(..)).collect();
    tagged.read.overview = Arc::new(Thumbnail { width: 320, height: 180, rgb });
    tagged
}

/// The passes that still have an overview.
fn pictured(archive: &Archive) -> Vec<u64> {
    lines(archive)
        .iter()
        .filter(|line| line["kind"] == "read" && line["pictures"][Which::Overview.word()].is_string())
        .map(|line| line["id"].as_str().and_then(|id| id.split_once('-')).expect("an id").1.parse().expect("a pass"))
        .collect()
}

#[test]
fn the_oldest_pictures_without_a_hit_go_first_and_what_went_is_on_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    for pass in 1..=60 {
        record_read(&journal, grainy(pass, "AB12CDE"));
    }
    for pass in [2, 50] {
        record_hit(&journal, grainy(pass, "AB12CDE"));
    }
    journal.flush().expect("on disk");
    // The office has hits, texts, and the pictures of the first six passes.
    let first: Vec<_> =
        journal.pending(2 + 60 + 12, usize::MAX).expect("read").into_iter().map(|item| item.key).collect();
    journal.acknowledge(&first).expect("noted");
    let unsent = journal.status().unsent;
    let limits = limits(32, 16);
    let look = |free: u64| {
        let gone = journal.mind_room(Space { free, whole: 99 * MIB }, &limits, true, hour(1)).expect("room");
        (journal.status().room, gone)
    };
    assert_eq!(look(40 * MIB), (Room::Enough, Gone::default()));
    assert_eq!(look(20 * MIB), (Room::Low(20 * MIB), Gone::default()), "announced long before");
    assert_eq!(pictured(journal.archive()).len(), 60);

    // A little is missing, and a 32nd part of what is wanted goes beyond: first those that the office has, but for the hit's.
    let (room, gone) = look(16 * MIB - 1);
    assert!(matches!(room, Room::Low(left) if left >= 16 * MIB), "{room:?}");
    let (all, left): (Vec<u64>, _) = ((1..=60).collect(), pictured(journal.archive()));
    let went: Vec<u64> = all.iter().filter(|pass| !left.contains(pass)).copied().collect();
    assert!(went.len() > 6 && left.contains(&2) && left.contains(&50) && left.contains(&60), "{went:?}");
    assert_eq!(went, [&[1][..], &(3..=went.len() as u64 + 1).collect::<Vec<_>>()].concat(), "the oldest first");
    assert!(gone.bytes >= MIB / 2 && gone.bytes < MIB, "{gone:?}");
    assert_eq!(gone.unsent, unsent - journal.status().unsent);
    assert!(gone.unsent > 0 && gone.pictures > gone.unsent);
    assert_eq!(journal.status().given_up, gone.pictures);
    assert_eq!(journal.archive().given_up_for_room().expect("read"), (gone.pictures, gone.unsent));

    // What went has left room within the file: as long as that lasts nothing more goes.
    assert_eq!(look(16 * MIB - 1).1, Gone::default());
    for pass in 61..=80 {
        record_read(&journal, grainy(pass, "CD34EFG"));
    }
    journal.flush().expect("on disk");
    assert!(look(16 * MIB - 1).1.pictures > 0);

    // In the end hits are all that has pictures, and that is said.
    let (room, _) = look(0);
    assert!(matches!(room, Room::Out(_)), "{room:?}");
    assert_eq!(pictured(journal.archive()), [2, 50]);
    let verified = journal.archive().verify().expect("whole");
    assert_eq!((verified.reads, verified.hits), (80, 2));
    let deeds = journal.archive().deeds().expect("read");
    let told: Vec<_> = deeds.iter().filter(|deed| deed.reason == "the disk was nearly full").collect();
    assert!(told.len() >= 3 && told[0].detail.contains("of reads 1-1 to 1-"), "{told:?}");
}

const FOLDER: &str = "OUTRIDER_FULL_JOURNAL";
const CHILD: &str = "journal::fills::child_on_a_small_disk";

/// Run by the test below, in a process of its own that has a small file system.
#[test]
#[ignore = "needs a disk of its own"]
fn child_on_a_small_disk() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    println!("began");
    let clock = RealClock::shared();
    let journal = Journal::open(folder, clock.clone()).expect("opened");
    let limits = limits(3, 2);
    let look = || journal.mind_room(Space::of(folder).expect("a disk"), &limits, false, hour(0));
    look().expect("there is room, and a reserve of it");
    let mut passes = 0;
    let mut pass = |journal: &Journal| {
        passes += 1;
        record_read(journal, grainy(passes, "AB12CDE"));
        passes
    };
    // Nobody looks after the disk: it fills up.
    while journal.status().fault.is_none() {
        pass(&journal);
        clock.sleep(Duration::from_millis(1));
    }
    assert_eq!(journal.status().fault.expect("a fault").kind(), Kind::Full);
    for _ in 0..20 {
        pass(&journal);
    }
    let status = journal.status();
    assert!(status.committed < status.seen && status.refused == 0, "kept in memory: {status:?}");
    // Now somebody does.
    let mut gone = 0;
    let mut until_kept = |journal: &Journal| {
        let start = clock.now();
        while journal.status().committed < journal.status().seen {
            assert!(clock.now().since(start) < Duration::from_secs(60), "it goes on: {:?}", journal.status());
            gone += look().map_or(0, |gone| gone.pictures);
            clock.sleep(Duration::from_millis(50));
        }
        gone
    };
    assert!(until_kept(&journal) > 0 && journal.status().fault.is_none());
    // From now on there is never more room than is made.
    for _ in 0..100 {
        pass(&journal);
        // A commit that the disk has just refused is tried again, and so is this.
        let _ = look();
        clock.sleep(Duration::from_millis(20));
    }
    until_kept(&journal);
    drop(journal);
    let archive = Archive::open_existing(folder, &Key::Beside).expect("opens");
    assert_eq!(archive.verify().expect("whole").reads, passes);
    println!("ended with {passes} reads");
}

#[test]
fn on_a_disk_without_a_byte_left_reads_are_kept_and_nothing_is_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=16m none \"$0\" && exec \"$@\"";
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c", script])
        .arg(folder.path())
        .arg(std::env::current_exe().expect("this program"))
        .args([CHILD, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .output();
    let (said, why) = match ran {
        Ok(ran) => {
            (String::from_utf8_lossy(&ran.stdout).into_owned(), String::from_utf8_lossy(&ran.stderr).into_owned())
        }
        Err(why) => (String::new(), why.to_string()),
    };
    if !said.contains("began") {
        println!("not tested: this machine gives no small file system: {why}");
        return;
    }
    assert!(said.contains("ended with "), "{said}\n{why}");
}
