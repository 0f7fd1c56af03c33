//! What a sealed file keeps, and what it refuses to give.

use std::io::{Read, Write};
use std::path::Path;

use proptest::prelude::*;
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition};

use super::disk::{Cache, Disk};
use super::*;

const ROWS: TableDefinition<&str, &str> = TableDefinition::new("rows");

pub(super) fn key() -> SealKey {
    SealKey::new(Zeroizing::new([7; 32]))
}

fn damaged<T>(result: io::Result<T>) -> String {
    let error = result.err().expect("it is refused");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    error.to_string()
}

/// A file of 300 blocks, each of which holds its number.
fn numbered(disk: &Disk) -> Sealed<Disk> {
    let sealed = Sealed::make(disk.clone(), &key()).expect("made");
    sealed.set_len(300 * BLOCK as u64).expect("longer");
    for block in 0..300_u64 {
        sealed.write(block * BLOCK as u64, &[block as u8; BLOCK]).expect("written");
    }
    sealed.sync_data().expect("synced");
    sealed
}

/// Exchanges the blocks of the storage that hold `one` and `other`, sealed, and their seals where `seals` says so.
fn exchange(bytes: &mut [u8], one: usize, other: usize, seals: bool) {
    // Both in the first group: behind five blocks and one of seals.
    for n in 0..BLOCK {
        bytes.swap((5 + one) * BLOCK + n, (5 + other) * BLOCK + n);
    }
    for n in 0..32 * usize::from(seals) {
        bytes.swap(5 * BLOCK + (one - 1) * 32 + n, 5 * BLOCK + (other - 1) * 32 + n);
    }
}

#[test]
fn a_block_that_is_changed_moved_or_lost_is_an_error_and_the_others_are_read() {
    let disk = Disk::default();
    drop(numbered(&disk));
    let image = disk.image();
    let read = |image: Vec<u8>, block: u64| {
        let mut out = [0; BLOCK];
        let sealed = Sealed::open(Disk::of(image), &key())?;
        sealed.read(block * BLOCK as u64, &mut out)?;
        assert_eq!(out, [block as u8; BLOCK]);
        Ok(())
    };
    for block in [0, 1, 2, 127, 128, 129, 256, 257, 299] {
        read(image.clone(), block).expect("as it was written");
    }
    let changed = |at: usize| {
        let mut image = image.clone();
        image[at] ^= 1;
        image
    };
    assert!(damaged(read(changed(7 * BLOCK + 9), 2)).contains("block 2 is not what was written"));
    read(changed(7 * BLOCK + 9), 3).expect("another block");
    assert!(damaged(read(changed(5 * BLOCK + 32), 2)).contains("block 2 is not what was written"), "its seal");
    for seals in [false, true] {
        let mut image = image.clone();
        exchange(&mut image, 2, 9, seals);
        assert!(damaged(read(image.clone(), 2)).contains("block 2"), "moved, seals {seals}");
        assert!(damaged(read(image, 9)).contains("block 9"), "moved, seals {seals}");
    }
    let mut zeros = image.clone();
    zeros[7 * BLOCK..8 * BLOCK].fill(0);
    zeros[5 * BLOCK + 32..5 * BLOCK + 64].fill(0);
    assert!(damaged(read(zeros, 2)).contains("never written"));

    let other = SealKey::new(Zeroizing::new([8; 32]));
    assert!(damaged(Sealed::open(Disk::of(image.clone()), &other)).contains("another key"));
    assert!(damaged(read(changed(3), 2)).contains("no sealed file"));
    assert!(damaged(read(changed(20), 2)).contains("another key, or its first block"), "its salt");
    assert!(damaged(read(image[..BLOCK * 20 + 5].to_vec(), 2)).contains("cut short"));
    // One copy of the header is enough, and it is the newer one that counts.
    let mut one = image.clone();
    one[3 * BLOCK..5 * BLOCK].fill(0);
    read(one.clone(), 0).expect("from the first copy");
    one[BLOCK + 100] ^= 1;
    assert!(damaged(read(one, 2)).contains("no copy of its header"));
}

#[test]
fn the_header_that_was_synced_last_is_never_written_over() {
    let disk = Disk::default();
    let sealed = Sealed::make(disk.clone(), &key()).expect("made");
    sealed.set_len(2 * BLOCK as u64).expect("longer");
    for round in 0..50_u8 {
        sealed.write(0, &[round; 320]).expect("written");
        sealed.sync_data().expect("synced");
        // Two that never arrive whole.
        for torn in [100, 200] {
            sealed.write(0, &[torn; 320]).expect("written");
        }
        let crashed = Disk::of(disk.image());
        let mut out = [0; 320];
        Sealed::open(crashed, &key()).expect("opens").read(0, &mut out).expect("read");
        assert_eq!(out, [round; 320]);
    }
    disk.restart(Cache::Mixed);
    Sealed::open(disk, &key()).expect("one of the two is whole");
}

#[test]
fn no_seal_is_made_twice_and_the_same_content_never_looks_the_same() {
    let disk = Disk::default();
    let sealed = numbered(&disk);
    let before = disk.image();
    for block in 0..300_u64 {
        sealed.write(block * BLOCK as u64, &[block as u8; BLOCK]).expect("written");
    }
    sealed.sync_data().expect("synced");
    let after = disk.image();
    for block in (1..before.len() / BLOCK).filter(|block| (6..).contains(block)) {
        let of = |bytes: &[u8]| bytes[block * BLOCK..(block + 1) * BLOCK].to_vec();
        assert_ne!(of(&before), of(&after), "block {block} of the storage");
    }
    assert!(!sealed.is_worn());
}

/// What a database is asked to do, with places and lengths of no order.
#[derive(Debug, Clone)]
enum Step {
    Length(u64),
    Write(u64, Vec<u8>),
    Again,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0_u64..300).prop_map(|blocks| Step::Length(blocks * BLOCK as u64)),
        6 => (0_u64..300 * BLOCK as u64, 1_usize..3 * BLOCK, any::<u8>())
            .prop_map(|(at, length, byte)| Step::Write(at, vec![byte; length])),
        1 => Just(Step::Again),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_is_written_is_read_again_at_any_place_and_length(
        steps in proptest::collection::vec(step(), 1..40),
        looks in proptest::collection::vec((0_u64..300 * BLOCK as u64, 1_usize..9000), 20),
    ) {
        let disk = Disk::default();
        let mut sealed = Sealed::make(disk.clone(), &key()).expect("made");
        // Of each byte what was written, and of each block whether anything was.
        let mut plain: Vec<u8> = Vec::new();
        let mut written: Vec<bool> = Vec::new();
        sealed.set_len(BLOCK as u64).expect("longer");
        sealed.write(0, &[1]).expect("written");
        plain.resize(BLOCK, 0);
        plain[0] = 1;
        written.resize(1, true);
        for step in steps {
            match step {
                Step::Length(length) => {
                    // The header's block stays, as with redb.
                    let length = length.max(BLOCK as u64);
                    sealed.set_len(length).expect("set");
                    plain.resize(length as usize, 0);
                    written.resize(plain.len() / BLOCK, false);
                }
                Step::Write(at, data) => {
                    let (from, end) = (at as usize, at as usize + data.len());
                    let wrote = sealed.write(at, &data);
                    prop_assert_eq!(wrote.is_ok(), end <= plain.len());
                    if wrote.is_ok() {
                        plain[from..end].copy_from_slice(&data);
                        written[from / BLOCK..end.div_ceil(BLOCK)].fill(true);
                    }
                }
                Step::Again => {
                    sealed.sync_data().expect("synced");
                    drop(sealed);
                    disk.restart(Cache::Lost);
                    sealed = Sealed::open(disk.clone(), &key()).expect("opens");
                    prop_assert_eq!(sealed.len().expect("known"), plain.len() as u64);
                }
            }
        }
        for (at, length) in looks {
            let mut out = vec![0; length];
            let (from, end) = (at as usize, at as usize + length);
            let read = sealed.read(at, &mut out);
            let there = end <= plain.len() && written[from / BLOCK..end.div_ceil(BLOCK)].iter().all(|written| *written);
            prop_assert_eq!(read.is_ok(), there, "{} and {} bytes", at, length);
            if there {
                prop_assert_eq!(&out[..], &plain[from..end]);
            }
        }
    }

    #[test]
    fn a_scratch_gives_what_was_written_and_its_bytes_on_disk_tell_nothing(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9000), 0..12),
        cut in 0_u64..20_000,
        rest in proptest::collection::vec(any::<u8>(), 0..6000),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut scratch = Scratch::in_folder(folder.path()).expect("made");
        for part in &parts {
            scratch.write_all(part).expect("written");
        }
        let mut plain = parts.concat();
        scratch.cut(cut).expect("cut");
        plain.truncate(cut as usize);
        scratch.write_all(&rest).expect("written");
        plain.extend(&rest);
        prop_assert_eq!(scratch.length(), plain.len() as u64);
        let mut out = Vec::new();
        scratch.into_reader().read_to_end(&mut out).expect("read");
        prop_assert_eq!(&out, &plain);
    }
}

fn rows(database: &Database) -> Vec<String> {
    let transaction = database.begin_read().expect("begins");
    let rows = transaction.open_table(ROWS).expect("is there");
    rows.range::<&str>(..).expect("reads").map(|row| row.expect("a row").1.value().to_owned()).collect()
}

/// A database in the clear with a row that nobody is to find, as a killed process leaves it.
fn in_the_clear(path: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = folder.path().join("made.redb");
    let database = Database::create(&made).expect("made");
    let mut transaction = database.begin_write().expect("begins");
    transaction.set_quick_repair(true);
    transaction.open_table(ROWS).expect("a table").insert("one", "AB12CDE was seen").expect("inserts");
    transaction.commit().expect("commits");
    std::fs::copy(&made, path).expect("copied");
}

fn holds(path: &Path, needle: &str) -> bool {
    std::fs::read(path).expect("read").windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn a_file_in_the_clear_is_taken_over_and_overwritten_however_far_an_earlier_try_came() {
    let builder = Database::builder();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lists.redb");
    let (plain, sealed) = (plain_of(&path), sealed_of(&path));
    let opened = |case: &str| {
        let database = database(&path, &key(), &builder).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(rows(&database), ["AB12CDE was seen"], "{case}");
        drop(database);
        assert!(is_sealed(&path) && !holds(&path, "AB12CDE"), "{case}");
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path()).collect();
        assert_eq!(left, std::slice::from_ref(&path), "{case}");
    };
    in_the_clear(&path);
    let before = std::fs::OpenOptions::new().read(true).open(&path).expect("opened");
    opened("the first start");
    opened("the second start");
    let mut bytes = Vec::new();
    (&before).read_to_end(&mut bytes).expect("read");
    assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0), "the file that lay there is overwritten");

    let whole = std::fs::read(&path).expect("read");
    in_the_clear(&path);
    std::fs::write(&sealed, &whole[..whole.len() / 2]).expect("written");
    opened("killed while it was copied");

    in_the_clear(&plain);
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&sealed, &whole).expect("written");
    opened("killed between the two renames");

    in_the_clear(&plain);
    opened("killed before the earlier one was overwritten");
}

#[test]
fn a_sealed_database_is_open_once_and_only_for_its_key() {
    let builder = Database::builder();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lists.redb");
    let first = database(&path, &key(), &builder).expect("made");
    let twice = database(&path, &key(), &builder);
    assert!(matches!(twice, Err(redb::Error::DatabaseAlreadyOpen)), "{twice:?}");
    drop(first);
    let other = SealKey::new(Zeroizing::new([8; 32]));
    let fault = Fault::database("cannot open", &path, database(&path, &other, &builder).expect_err("another key"));
    assert_eq!(fault.kind(), Kind::Damaged);
    assert!(fault.to_string().contains("sealed under another key"), "{fault}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_whose_key_has_sealed_too_much_is_written_anew_under_another() {
    let builder = Database::builder();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lists.redb");
    let salt = || std::fs::read(&path).expect("read")[8..40].to_vec();
    let text = "x".repeat(1 << 20);
    let opened = database(&path, &key(), &builder).expect("made");
    let first = salt();
    for round in 0..8 {
        let mut transaction = opened.begin_write().expect("begins");
        transaction.set_quick_repair(true);
        transaction.open_table(ROWS).expect("a table").insert("one", &*format!("{round}{text}")).expect("inserts");
        transaction.commit().expect("commits");
    }
    drop(opened);
    assert_eq!(salt(), first, "while it is open it stays");
    let opened = database(&path, &key(), &builder).expect("opened");
    assert_eq!(rows(&opened), [format!("7{text}")]);
    drop(opened);
    let second = salt();
    assert_ne!(second, first);
    drop(database(&path, &key(), &builder).expect("opened"));
    assert_eq!(salt(), second, "a new key has sealed little");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

/// What is left of a second's work, with each cipher: `cargo test --release --lib seal::tests::speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn speed() {
    use ring::aead::CHACHA20_POLY1305;
    for (name, cipher) in [("AES-256-GCM", &AES_256_GCM), ("ChaCha20-Poly1305", &CHACHA20_POLY1305)] {
        let key = LessSafeKey::new(UnboundKey::new(cipher, &[7; 32]).expect("a key"));
        let mut block = vec![3; BLOCK];
        let seal = Seal::close(&key, b"here", &mut block).expect("sealed");
        let start = std::time::Instant::now();
        let times = 100_000;
        for _ in 0..times {
            let mut copy = block.clone();
            assert!(seal.open(&key, b"here", &mut copy));
        }
        println!("{name}: {:.2} us to open a block", start.elapsed().as_secs_f64() * 1e6 / f64::from(times));
    }
}
