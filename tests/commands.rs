//! The programs as people and scripts meet them: sentences, exit codes, and nothing lost, for every kind of bad input.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use outrider::capture::{self, Event, Pace, region_rgb};
use outrider::clock::RealClock;
use outrider::config::{Camera, Source};
use outrider::drive::{DriveFiles, Plan, render};
use serde_json::Value;

fn outrider(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_outrider"), arguments)
}

fn office(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_outrider-office"), arguments)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checks the exit code and that the sentence names what it should, and not as a debug print.
#[track_caller]
fn refused(output: &Output, code: i32, names: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for name in names {
        assert!(text.contains(name), "{name:?} is not in: {text}");
    }
    assert!(!text.contains("panicked") && !text.contains("Fault {"), "{text}");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn text(&self) -> &str {
        self.path().to_str().expect("a plain path")
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("a plain path").to_owned()
    }
}

fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(320, 240, |x, y| image::Rgb([x as u8, y as u8, 90]))
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .expect("encoded");
    bytes.into_inner()
}

/// The smaller made-up drive, which the demo's test plays too: painted once, kept between runs.
fn drive() -> &'static DriveFiles {
    static DRIVE: OnceLock<DriveFiles> = OnceLock::new();
    DRIVE.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outrider");
        render(&Plan::sized(1, 960, 540), &cache, &mut |_, _| {}).expect("painted")
    })
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Every line of standard output as JSON: with `--json` there is nothing else.
#[track_caller]
fn json_lines(output: &Output) -> Vec<Value> {
    printed(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}\n{}", said(output))))
        .collect()
}

/// The names of an object's fields, in order.
fn fields(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// What `replay --json` puts out of the drive, once for all tests.
fn reads_of_the_drive() -> &'static [Value] {
    static READS: OnceLock<Vec<Value>> = OnceLock::new();
    READS.get_or_init(|| {
        let drive = drive();
        let (nmea, list, video) = (text_of(&drive.nmea), text_of(&drive.hotlist), text_of(&drive.video));
        let output = outrider(&["replay", "--json", "--nmea", nmea, "--hotlist", list, video]);
        assert!(output.status.success(), "{}", said(&output));
        json_lines(&output)
    })
}

#[test]
fn replay_prints_a_line_a_read_as_the_contract_has_it() {
    let reads = reads_of_the_drive();
    assert!(reads.len() >= 10, "{} lines", reads.len());
    for read in reads {
        let names = [
            "id",
            "t",
            "text",
            "raw",
            "confidence",
            "first_seen",
            "last_seen",
            "looks",
            "camera",
            "lat",
            "lon",
            "position_stale",
            "utc",
            "hits",
        ];
        assert_eq!(fields(read), names);
        for text in ["id", "text", "raw", "camera", "utc"] {
            assert!(read[text].is_string(), "{text}: {read}");
        }
        assert!(read["confidence"].as_f64().is_some_and(|p| (0.0..=1.0).contains(&p)), "{read}");
        let seconds = |name: &str| read[name].as_f64().unwrap_or_else(|| panic!("{name}: {read}"));
        assert!(seconds("first_seen") <= seconds("last_seen") && seconds("last_seen") <= seconds("t") + 1e-3, "{read}");
        assert!(read["looks"].is_u64() && read["hits"].is_array(), "{read}");
        assert!(read["lat"].is_f64() == read["lon"].is_f64() && (read["lat"].is_f64() || read["lat"].is_null()));
    }
    assert!(reads.iter().any(|read| read["lat"].is_f64()), "some reads have a place");
    let hit = reads.iter().find_map(|read| read["hits"].get(0)).expect("a vehicle of the list");
    assert_eq!(fields(hit), ["list", "vrm", "reason", "priority", "action", "how", "probability", "against"]);
    assert!(hit["vrm"].is_string() && hit["probability"].is_number() && hit["against"].is_array(), "{hit}");
}

/// The pictures of the drive at `times`, seconds in order, as JPEG.
fn pictures_at(times: &[f64]) -> Vec<Vec<u8>> {
    let camera =
        Camera { name: "front".into(), source: Source::File(drive().video.clone()), silence_s: 10.0, repeat: false };
    let mut feed = capture::open(&camera, Pace::AsFast, RealClock::shared()).expect("a video");
    let mut pictures = Vec::new();
    while pictures.len() < times.len() {
        match feed.next(Duration::from_secs(30)) {
            Event::Frame(frame) if frame.time.as_secs_f64() + 1e-3 >= times[pictures.len()] => {
                let (w, h) = (frame.picture.width(), frame.picture.height());
                let rgb = region_rgb(&frame.picture, 0, 0, w, h, w, h);
                let picture = image::RgbImage::from_raw(w as u32, h as u32, rgb).expect("all pixels");
                let mut jpeg = std::io::Cursor::new(Vec::new());
                picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("encoded");
                pictures.push(jpeg.into_inner());
            }
            Event::Frame(_) => {}
            _ => panic!("the drive ends before {times:?}"),
        }
    }
    pictures
}

#[test]
fn read_prints_a_line_a_picture_as_the_contract_has_it() {
    // Half a second before a plate leaves the picture it is large.
    let sure = |read: &&Value| read["confidence"].as_f64() >= Some(0.99) && read["looks"].as_u64() >= Some(5);
    let mut seen: Vec<(f64, &Value)> = reads_of_the_drive()
        .iter()
        .filter(sure)
        .map(|read| (read["last_seen"].as_f64().expect("a time") - 0.5, &read["text"]))
        .collect();
    seen.sort_by(|a, b| a.0.total_cmp(&b.0));
    seen.truncate(6);
    let folder = Folder::new();
    let times: Vec<f64> = seen.iter().map(|(time, _)| *time).collect();
    let pictures = pictures_at(&times);
    let files: Vec<String> =
        (1..).zip(&pictures).map(|(n, jpeg)| folder.file(&format!("frame-{n}.jpg"), jpeg)).collect();
    let arguments: Vec<&str> = ["read", "--json"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let output = outrider(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), files.len());
    for (line, file) in lines.iter().zip(&files) {
        assert_eq!(fields(line), ["file", "plates", "ms"]);
        assert!(line["file"] == **file && line["ms"].is_number());
    }
    let plates = lines.iter().flat_map(|line| line["plates"].as_array().expect("plates"));
    let read: Vec<&Value> = plates.filter(|plate| seen.iter().any(|(_, text)| plate["text"] == **text)).collect();
    let plate = read.first().unwrap_or_else(|| panic!("none of {seen:?} is read"));
    assert_eq!(fields(plate), ["text", "raw", "confidence", "characters", "box", "corners", "country"]);
    assert!(plate["raw"].is_string() && plate["confidence"].is_number());
    let characters = plate["characters"].as_array().expect("characters");
    assert_eq!(characters.len(), plate["raw"].as_str().expect("a text").len());
    for character in characters {
        assert_eq!(fields(character), ["char", "p"]);
        assert!(character["char"].as_str().is_some_and(|c| c.chars().count() == 1) && character["p"].is_number());
    }
    let numbers = |value: &Value| value.as_array().is_some_and(|all| all.iter().all(Value::is_number));
    assert!(numbers(&plate["box"]) && plate["box"].as_array().map(Vec::len) == Some(4), "{plate}");
    let corners = plate["corners"].as_array().expect("corners");
    assert!(corners.len() == 4 && corners.iter().all(numbers), "{plate}");
    let people = printed(&outrider(&["read", &files[0]]));
    assert!(people.contains("frame-1.jpg"), "{people}");
}

#[test]
fn of_a_video_that_is_cut_short_what_is_there_is_read_and_the_cut_is_said() {
    let folder = Folder::new();
    let whole = folder.path().join("drive.mkv");
    // A recorder's container, whose index does not come last.
    gst::init().expect("GStreamer starts");
    let description = format!(
        "filesrc location={} ! qtdemux ! h264parse ! matroskamux ! filesink location={}",
        drive().video.display(),
        whole.display()
    );
    let pipeline = gst::parse::launch(&description).expect("a pipeline");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().expect("a bus");
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).expect("it ends");
    pipeline.set_state(gst::State::Null).expect("it stops");
    assert_eq!(end.type_(), gst::MessageType::Eos);
    let bytes = std::fs::read(&whole).expect("readable");
    let cut = folder.file("cut.mkv", &bytes[..bytes.len() / 2]);
    let output = outrider(&["replay", "--json", &cut]);
    refused(&output, 1, &["cut.mkv", "cut short"]);
    let lines = json_lines(&output);
    let all = reads_of_the_drive().len();
    assert!(!lines.is_empty() && lines.len() < all, "{} of {all} lines", lines.len());
}

/// A configuration of a car whose camera and receiver are not there.
fn dead_car(folder: &Folder) -> String {
    folder.file(
        "car.toml",
        "unit = \"u\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = { device = \"/dev/video99\" }\n\
         [receiver]\nsource = { serial = \"/dev/ttyNONE\" }\n[sound]\nenabled = false\n[screen]\nenabled = true\n",
    )
}

#[test]
fn a_unit_whose_parts_are_missing_runs_records_that_and_its_journal_is_exported_and_purged() {
    let folder = Folder::new();
    let config = dead_car(&folder);
    let mut unit = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["run", "--config", &config])
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut wanted = vec!["camera front:", "receiver:", "display:", "lists:"];
    let mut log = String::new();
    // Kept until the end: a log that nobody reads any more is another test's matter.
    let mut lines = BufReader::new(unit.stderr.take().expect("its log")).lines();
    for line in lines.by_ref().map_while(Result::ok) {
        wanted.retain(|part| !line.contains(part));
        log += &line;
        log.push('\n');
        if wanted.is_empty() {
            break;
        }
    }
    assert!(wanted.is_empty(), "{wanted:?} is not in:\n{log}");
    assert!(unit.try_wait().expect("known").is_none(), "it goes on");
    let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", unit.id())]).status().expect("a shell");
    assert!(asked.success());
    let output = unit.wait_with_output().expect("ended");
    assert_eq!((output.status.code(), printed(&output)), (Some(0), String::new()));

    let data = folder.path().join("data");
    let data = text_of(&data);
    let verified = outrider(&["journal", "verify", "--data", data, "--json"]);
    let counts = json_lines(&verified);
    assert_eq!(
        fields(&counts[0]),
        ["runs", "reads", "pictures", "hits", "events", "deeds", "flagged", "unsent", "uploaded"]
    );
    let why = ["--who", "1234", "--reason", "a test"];
    let export = |more: &[&str]| outrider(&[&["journal", "export", "--data", data], &why[..], more].concat());
    refused(&outrider(&["journal", "search", "--data", data, "AB12CDE"]), 2, &["--who", "--reason"]);
    let exported = export(&[]);
    assert!(exported.status.success(), "{}", said(&exported));
    let lines = json_lines(&exported);
    for part in ["camera front", "receiver", "display", "lists"] {
        let fault = lines.iter().find(|line| line["part"] == part).unwrap_or_else(|| panic!("{part}: {lines:?}"));
        assert_eq!(fields(fault), ["kind", "part", "text", "run", "utc", "utc_trusted"]);
        assert!(fault["kind"] == "fault" && fault["text"].as_str().is_some_and(|text| !text.is_empty()), "{fault}");
    }
    let out = folder.path().join("export");
    let output = export(&["--out", text_of(&out)]);
    assert!(output.status.success() && out.join("reads.jsonl").is_file(), "{}", said(&output));
    refused(&export(&["--out", text_of(&out)]), 2, &["reads.jsonl"]);
    let table = export(&["--csv"]);
    assert!(table.status.success() && printed(&table).starts_with("id,utc,"), "{}", said(&table));
    let bundle = folder.path().join("bundle");
    let bundle = text_of(&bundle);
    assert!(export(&["--bundle", bundle]).status.success());
    refused(&export(&["--bundle", bundle]), 1, &["bundle", "not there yet"]);
    let people = printed(&outrider(&["journal", "verify", "--data", data]));
    let signer = people.trim_end().rsplit(' ').next().expect("the unit's key").to_owned();
    let check = |signer: &str| outrider(&["journal", "verify", "--bundle", bundle, "--signer", signer]);
    assert!(check(&signer).status.success(), "{}", said(&check(&signer)));
    refused(&check("00"), 1, &["signed by another key"]);
    std::fs::write(Path::new(bundle).join("reads.csv"), "").expect("written");
    refused(&check(&signer), 1, &["reads.csv was changed"]);

    let search = |plate: &str| outrider(&[&["journal", "search", "--data", data], &why[..], &[plate]].concat());
    assert!(["AB12CDE", "AB12 CDE"].iter().all(|plate| !said(&search(plate)).contains("on record")));
    assert!(said(&search("ab12cde")).contains("on record"), "the third time");
    let audit = outrider(&["journal", "audit", "--data", data, "--json"]);
    assert!(!printed(&audit).contains("AB12"), "{}", printed(&audit));
    let deeds = json_lines(&audit);
    let acts: Vec<_> = deeds.iter().map(|deed| deed["act"].as_str().expect("a word")).collect();
    assert_eq!(acts[..2], ["started", "set"]);
    assert_eq!(acts[acts.len() - 3..], ["searched"; 3]);
    assert!(deeds.iter().filter(|deed| deed["act"] == "exported").all(|deed| deed["who"] == "1234"), "{deeds:?}");
    assert!(printed(&outrider(&["journal", "audit", "--data", data])).contains("FLAG"));
    let purged = outrider(&["journal", "purge", "--data", data, "--no-office"]);
    assert!(purged.status.success() && printed(&purged).contains("purged 0 passes"), "{}", said(&purged));
    refused(&outrider(&["journal", "purge", "--data", data, "--keep-hits-h", "many"]), 2, &["keep-hits-h"]);
}

/// Runs the unit until it has said something, then asks it to end.
fn short_run(config: &str, passphrase: &str) {
    let mut unit = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["run", "--config", config, "--passphrase-file", passphrase])
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(unit.stderr.take().expect("its log")).lines();
    let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("camera front:"));
    assert!(line.is_some(), "it runs");
    let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", unit.id())]).status().expect("a shell");
    assert!(asked.success() && unit.wait().expect("ended").success());
}

#[test]
fn a_journal_is_locked_with_a_passphrase_then_with_a_token_and_erased() {
    let folder = Folder::new();
    let config = dead_car(&folder);
    let locked = std::fs::read_to_string(&config).expect("read") + "[journal]\nkey = \"passphrase\"\n";
    let config = folder.file("car.toml", locked);
    let (good, wrong) = (folder.file("good", "correct horse battery\n"), folder.file("wrong", "incorrect horse\n"));
    let short = folder.file("short", "horse\n");
    refused(&outrider(&["run", "--config", &config, "--passphrase-file", &short]), 2, &["short", "12 characters"]);
    short_run(&config, &good);
    refused(&outrider(&["run", "--config", &config, "--passphrase-file", &wrong]), 1, &["does not unlock the journal"]);
    short_run(&config, &good);

    let data = folder.path().join("data");
    let data = text_of(&data);
    let verify = |unlock: &[&str]| outrider(&[&["journal", "verify", "--json", "--data", data], unlock].concat());
    assert_eq!(json_lines(&verify(&["--passphrase-file", &good]))[0]["runs"], 2);
    refused(&verify(&["--passphrase-file", &wrong]), 1, &["does not unlock"]);
    let token = folder.path().join("token");
    let token = text_of(&token);
    assert!(outrider(&["journal", "token", token]).status.success());
    refused(&outrider(&["journal", "token", token]), 1, &["token", "Name another file"]);
    refused(&verify(&["--key-file", token]), 2, &["it is locked with a passphrase"]);
    let lock = ["journal", "lock", "--data", data, "--passphrase-file", &good, "--with-key-file", token];
    assert!(outrider(&lock).status.success());
    refused(&verify(&["--passphrase-file", &good]), 2, &["it is locked with a key file"]);
    refused(&verify(&[]), 2, &["--key-file"]);
    assert_eq!(json_lines(&verify(&["--key-file", token]))[0]["runs"], 2);
    refused(&outrider(&["run", "--config", &config, "--passphrase-file", &good]), 2, &["locked with a key file"]);

    refused(&outrider(&["journal", "erase", "--data", data]), 2, &["erased for good", "nothing was erased"]);
    assert_eq!(json_lines(&verify(&["--key-file", token]))[0]["runs"], 2);
    assert!(outrider(&["journal", "erase", "--data", data, "--yes"]).status.success());
    refused(&verify(&["--key-file", token]), 1, &["there is no journal"]);
    assert!(!Path::new(data).join("journal.keys").exists());
}

#[test]
fn without_its_token_a_unit_says_that_it_is_locked_and_starts_as_soon_as_that_is_there() {
    let folder = Folder::new();
    let (token, other) = (folder.path().join("token"), folder.path().join("other"));
    assert!(outrider(&["journal", "token", text_of(&token)]).status.success());
    assert!(outrider(&["journal", "token", text_of(&other)]).status.success());
    let [token, other] = [token, other].map(|path| std::fs::read(path).expect("read"));
    let socket = folder.path().join("socket");
    let locked = format!("[journal]\nkey = {{ file = {socket:?} }}\n");
    let config = folder.file("car.toml", std::fs::read_to_string(dead_car(&folder)).expect("read") + &locked);
    for inserted in [&token, &token] {
        let _ = std::fs::remove_file(&socket);
        let mut unit = Command::new(env!("CARGO_BIN_EXE_outrider"))
            .args(["run", "--config", &config])
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(unit.stderr.take().expect("its log")).lines().map_while(Result::ok);
        let mut said = |what: &str| lines.by_ref().find(|line| line.contains(what));
        let line = said("locked:").expect("it says that it is locked");
        assert!(line.contains("nobody is alerted") && line.contains("Put the token in"), "{line}");
        if folder.path().join("data/journal.keys").exists() {
            // A token of another car's does not end it.
            std::fs::write(&socket, &other).expect("put in");
            assert!(said("is another one").is_some());
        }
        std::fs::write(&socket, inserted).expect("put in");
        assert!(said("camera front:").is_some(), "it runs");
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", unit.id())]).status().expect("a shell");
        assert!(asked.success() && unit.wait().expect("ended").success());
    }
    // Asked to end while it waits, it does.
    std::fs::remove_file(&socket).expect("pulled out");
    let mut unit = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["run", "--config", &config])
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(unit.stderr.take().expect("its log")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("locked:")));
    let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", unit.id())]).status().expect("a shell");
    assert!(asked.success() && unit.wait().expect("ended").success());
}

#[test]
fn people_are_set_up_at_the_car_and_from_then_on_everybody_says_who_they_are_and_does_what_they_may() {
    let folder = Folder::new();
    let journal = outrider::journal::Journal::open(folder.path(), RealClock::shared()).expect("opened");
    let mut read = outrider::hotlist::typed("AB12CDE", Vec::new(), 0.98);
    read.id.pass = 1;
    let when = outrider::tag::When { utc: RealClock::shared().utc(), trusted: false };
    let tagged = outrider::tag::TaggedRead { read, when, place: None, drill: false };
    journal.record(outrider::journal::Record::Read(Box::new(tagged))).expect("taken");
    journal.flush().expect("on disk");
    drop(journal);

    let boss = folder.file("boss", "719302\n");
    let [crew, tech, weak] =
        [("crew", "480615\n"), ("tech", "305927\n"), ("weak", "123456\n")].map(|(name, pin)| folder.file(name, pin));
    let people = |more: &[&str]| outrider(&[&["people", "--data", folder.text()], more].concat());
    let add = |number: &str, role: &str, pin: &str, more: &[&str]| {
        people(&[&["add", "--number", number, "--role", role, "--new-pin-file", pin], more].concat())
    };
    refused(&add("1234", "crew", &crew, &[]), 2, &["no supervisor", "--role supervisor"]);
    refused(&add("PS77", "supervisor", &weak, &[]), 2, &["cannot be a PIN", "follow each other"]);
    refused(&add("PS77", "boss", &boss, &[]), 2, &["boss", "crew, supervisor or technician"]);
    let first = add("ps77", "supervisor", &boss, &[]);
    assert!(first.status.success() && printed(&first).contains("PS77 added as supervisor"), "{}", said(&first));
    refused(&add("1234", "crew", &crew, &[]), 2, &["--who"]);
    let by_boss = ["--who", "PS77", "--pin-file", &boss];
    for (number, role, pin) in [("1234", "crew", &crew), ("T9", "technician", &tech)] {
        let added = add(number, role, pin, &by_boss);
        assert!(added.status.success(), "{}", said(&added));
    }
    refused(&people(&[&by_boss[..], &["remove", "--number", "PS77"]].concat()), 2, &["no supervisor"]);
    let list = json_lines(&people(&[&by_boss[..], &["list", "--json"]].concat()));
    let roles: Vec<_> = list.iter().map(|line| line["role"].as_str().expect("a role")).collect();
    assert_eq!(roles, ["crew", "supervisor", "technician"]);

    // Who may do what.
    let journal = |command: &str, number: &str, pin: &str, more: &[&str]| {
        let who = ["--data", folder.text(), "--who", number, "--pin-file", pin];
        outrider(&[&["journal", command], &who[..], more].concat())
    };
    let why = ["--reason", "a test"];
    let search = |number: &str, pin: &str| journal("search", number, pin, &[&why[..], &["AB12CDE"]].concat());
    let found = search("1234", &crew);
    assert!(printed(&found).contains("AB12CDE"), "{}", said(&found));
    refused(&search("T9", &tech), 1, &["a technician may not see reads"]);
    refused(&search("1234", &tech), 1, &["number or PIN is wrong"]);
    refused(&search("nobody that was named", &crew), 2, &["--who"]);
    refused(&journal("export", "T9", &tech, &why), 1, &["may not export"]);
    assert!(journal("export", "1234", &crew, &why).status.success());
    refused(&outrider(&["journal", "export", "--data", folder.text()]), 2, &["--who"]);
    refused(&journal("audit", "1234", &crew, &[]), 1, &["may not read the audit chain"]);
    let purge = journal("purge", "T9", &tech, &["--no-office"]);
    assert!(purge.status.success(), "{}", said(&purge));
    refused(&journal("purge", "1234", &crew, &[]), 1, &["may not purge"]);
    let hotlist = |arguments: &[&str]| outrider(&[&["hotlist", "--data", folder.text()], arguments].concat());
    let list = folder.file("list.csv", "vrm,reason\nAB12CDE,stolen\n");
    let (by_crew, by_tech) = (["--who", "1234", "--pin-file", &crew], ["--who", "T9", "--pin-file", &tech]);
    refused(&hotlist(&["import", "--list", "pnc", &list]), 2, &["--who"]);
    refused(&hotlist(&[&by_tech[..], &["import", "--list", "pnc", &list]].concat()), 1, &["may not change entries"]);
    let import = hotlist(&[&by_crew[..], &["import", "--list", "pnc", &list]].concat());
    assert!(import.status.success(), "{}", said(&import));
    refused(&hotlist(&[&by_crew[..], &["lookup", "AB12CDE"]].concat()), 2, &["--reason"]);
    let looked = hotlist(&[&by_crew[..], &["lookup", "--reason", "a check", "AB12CDE"]].concat());
    assert!(printed(&looked).contains("stolen"), "{}", said(&looked));
    refused(&hotlist(&[&by_tech[..], &["lookup", "--reason", "x", "AB12CDE"]].concat()), 1, &["may not see reads"]);

    // All of it is on record, and the numbers of the chain go to the office.
    let audit = journal("audit", "PS77", &boss, &["--json"]);
    let deeds = json_lines(&audit);
    let of = |act: &str, who: &str| deeds.iter().filter(|deed| deed["act"] == act && deed["who"] == who).count();
    assert_eq!((of("searched", "1234"), of("exported", "1234"), of("entered", "1234")), (2, 1, 1), "{deeds:?}");
    assert_eq!((of("refused", "T9"), of("refused", "1234"), of("purged", "T9")), (4, 3, 1), "{deeds:?}");
    assert!(!printed(&audit).contains("AB12") && !printed(&audit).contains("480615"));
    let heads = json_lines(&outrider(&["journal", "heads", "--data", folder.text()]));
    assert_eq!(heads.len(), deeds.len() + 1, "the key, then a line a record");
    assert!(outrider(&["journal", "verify", "--data", folder.text()]).status.success(), "needs nobody");

    // A new PIN counts at once.
    let new = folder.file("new", "951357\n");
    let change = ["change", "--number", "1234", "--new-pin-file", &new];
    assert!(people(&[&by_boss[..], &change].concat()).status.success());
    refused(&search("1234", &crew), 1, &["number or PIN is wrong"]);
    assert!(search("1234", &new).status.success());
}

#[test]
fn the_bench_of_the_journal_loses_no_read() {
    let output = outrider(&["bench", "journal", "--seconds", "1", "--rate", "50", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let report = &json_lines(&output)[0];
    assert_eq!(report["reads"], 50);
    assert!(report["commit_ms"]["p99"].as_f64().is_some_and(|ms| ms > 0.0), "{report}");
    assert!(report["bytes_per_read"].as_u64().is_some_and(|bytes| bytes > 1000), "{report}");
}

#[test]
fn a_unit_outlives_its_display() {
    let Ok(mut server) =
        Command::new("Xvfb").args(["-displayfd", "1"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    else {
        eprintln!("not tested: there is no Xvfb here");
        return;
    };
    let mut number = String::new();
    BufReader::new(server.stdout.take().expect("its number")).read_line(&mut number).expect("it starts");
    let folder = Folder::new();
    let mut unit = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["run", "--config", &dead_car(&folder)])
        .env("DISPLAY", format!(":{}", number.trim()))
        .env_remove("WAYLAND_DISPLAY")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(unit.stderr.take().expect("its log")).lines();
    let mut until = |wanted: &str| {
        let mut log = String::new();
        let found = lines.by_ref().map_while(Result::ok).any(|line| {
            log += &line;
            line.contains(wanted)
        });
        assert!(found, "{wanted:?} is not in: {log}");
    };
    until("camera front:");
    server.kill().expect("it goes away");
    server.wait().expect("gone");
    until("display: the display has gone");
    assert!(unit.try_wait().expect("known").is_none(), "it goes on");
    let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", unit.id())]).status().expect("a shell");
    assert!(asked.success() && unit.wait().expect("ended").success());
}

#[test]
fn the_doctor_finds_a_whole_unit_well_and_leaves_its_journal_alone() {
    let folder = Folder::new();
    let drive = drive();
    let car = |journal: &str| {
        format!(
            "unit = \"u\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = {{ file = {:?} }}\n\
             [receiver]\nsource = {{ file = {:?} }}\n[sound]\nenabled = false\n[screen]\nenabled = false\n{journal}",
            drive.video, drive.nmea
        )
    };
    let token = folder.path().join("token");
    assert!(outrider(&["journal", "token", text_of(&token)]).status.success());
    let config = folder.file("car.toml", car("[journal]\nkey = { file = \"token\" }\n"));
    let output = outrider(&["doctor", "--config", &config]);
    assert!(output.status.success(), "{}{}", printed(&output), said(&output));
    let parts: Vec<String> = printed(&output)
        .lines()
        .filter_map(|line| Some(line.strip_prefix("ok     ")?.split_once(':')?.0.to_owned()))
        .collect();
    assert_eq!(
        parts,
        ["networks", "data folder", "journal", "journal key", "people", "hotlist", "camera \"front\"", "receiver"]
    );
    assert!(!folder.path().join("data/journal.redb").exists(), "the doctor makes no journal");
    let open = folder.file("open.toml", car(""));
    let output = outrider(&["doctor", "--config", &open]);
    refused(&output, 1, &["1 parts do not work"]);
    assert!(printed(&output).contains("FAULT  journal key: the journal is unprotected"), "{}", printed(&output));
    assert!(printed(&outrider(&["config", "check", &open])).contains("UNPROTECTED"));
    assert!(printed(&outrider(&["config", "check", &config])).contains("locked with the key file"));
}

#[test]
fn what_metered_networks_carried_is_shown_to_people_and_machines() {
    let folder = Folder::new();
    let car = |metered: &str| {
        format!(
            "unit = \"u\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = {{ device = \"/dev/video0\" }}\n\
             [office]\naddress = \"office:4433\"\nidentity = \"id\"\n{metered}"
        )
    };
    let config = folder.file("car.toml", car("[office.metered]\ninterfaces = [\"wwan0\", \"ppp*\"]\nlists_mb = 7\n"));
    let checked = printed(&outrider(&["config", "check", &config]));
    assert!(
        checked.contains("metered networks wwan0, ppp*: 50 MB of pictures, 200 MB of pictures of hits, 7 MB"),
        "{checked}"
    );
    assert!(printed(&outrider(&["metered", "--config", &config])).contains("nothing has gone by"));
    let free = folder.file("free.toml", car(""));
    refused(&outrider(&["metered", "--config", &free]), 2, &["names no network that costs money", "[office.metered]"]);

    // As a unit keeps it; units that are updated read what they have kept before.
    std::fs::create_dir(folder.path().join("data")).expect("made");
    let day = r#"{"day":"2026-11-26","spent":[50000000,3400000,0],"said":[true,false,false]}"#;
    let cost = |kind: &str, budget: u64, spent: u64, waiting: u64| {
        format!(r#"{{"kind":"{kind}","budget":{budget},"spent":{spent},"waiting":{waiting}}}"#)
    };
    let kinds = [
        cost("pictures", 50_000_000, 50_000_000, 312),
        cost("hit_pictures", 200_000_000, 3_400_000, 0),
        cost("lists", 7_000_000, 0, 0),
    ];
    let costs = format!(r#"{{"interface":"wwan0","kinds":[{}]}}"#, kinds.join(","));
    let keep = |costs: &str| {
        let ledger = format!(r#"{{"kept":"2026-11-26T10:02:00Z","days":[{day}],"costs":{costs}}}"#);
        folder.file("data/metered.json", ledger);
    };
    keep(&costs);
    let people = printed(&outrider(&["metered", "--config", &config]));
    assert!(
        people.contains("2026-11-26: metered link (wwan0): 50 of 50 MB of pictures, 3.4 of 200 MB of pictures of hits")
            && people.contains("; 312 pictures wait for another network\nwritten down 2026-11-26T10:02:00Z"),
        "{people}"
    );
    let lines = json_lines(&outrider(&["metered", "--config", &config, "--json"]));
    assert_eq!(lines.len(), 3);
    assert_eq!(fields(&lines[0]), ["kind", "day", "budget", "spent", "waiting", "interface", "kept"]);
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["spent"], &lines[0]["waiting"]),
        (&"pictures".into(), &50_000_000.into(), &312.into())
    );
    keep("null");
    let people = printed(&outrider(&["metered", "--config", &config]));
    assert!(people.contains("3.4 of 200 MB") && people.contains("a network that costs nothing"), "{people}");
    folder.file("data/metered.json", "{");
    refused(&outrider(&["metered", "--config", &config]), 1, &["metered.json", "counts anew"]);
}

#[test]
fn the_lists_and_their_age_are_shown() {
    let folder = Folder::new();
    let list = folder.file("list.csv", "vrm,reason\nAB12CDE,stolen\nXY34ZZZ,wanted\n");
    assert!(outrider(&["hotlist", "import", "--data", folder.text(), "--list", "pnc", &list]).status.success());
    let output = outrider(&["hotlist", "status", "--data", folder.text(), "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let lists = json_lines(&output);
    assert_eq!((lists.len(), &lists[0]["id"], &lists[0]["count"]), (1, &"pnc".into(), &2.into()));
    assert!(lists[0]["revision"].is_u64() && lists[0]["produced"].is_string(), "{}", lists[0]);
    let people = printed(&outrider(&["hotlist", "status", "--data", folder.text()]));
    assert!(people.contains("pnc") && people.contains("2 entries"), "{people}");

    // In a folder without lists nobody is told that a vehicle is on none.
    let empty = Folder::new();
    for command in [vec!["status"], vec!["lookup", "AB12CDE"]] {
        let output = outrider(&[&["hotlist", "--data", empty.text()], &command[..]].concat());
        refused(&output, 1, &["no lists", "--data"]);
        assert!(printed(&output).is_empty() && !empty.path().join("hotlist.redb").exists());
    }
}

#[test]
fn who_stops_reading_is_no_fault() {
    let folder = Folder::new();
    let config = dead_car(&folder);
    let photo = folder.file("photo.jpg", picture());
    for arguments in [vec!["config", "check", &config], vec!["read", "--json", &photo], vec!["read", &photo]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let unread = Command::new(env!("CARGO_BIN_EXE_outrider"))
            .args(&arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("started");
        assert!(unread.status.success() && said(&unread).is_empty(), "{arguments:?}: {}", said(&unread));
    }
    // A disk that is full is one.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let unwritten = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["config", "check", &config])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("started");
    refused(&unwritten, 1, &["cannot write to standard output"]);
}

#[test]
fn what_the_crew_hears_is_recorded_for_each_grade() {
    let folder = Folder::new();
    let file = folder.path().join("alert.wav").display().to_string();
    let output = outrider(&["sound", "--json", "--reason", "no insurance", "--vrm", "xy50 zzt", "--wav", &file]);
    assert!(output.status.success(), "{}", said(&output));
    let wav = std::fs::read(&file).expect("written");
    assert_eq!(&wav[..4], b"RIFF");
    let samples: Vec<f64> =
        wav[44..].chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect();
    // The power of a pitch in 70 ms, the length of the shortest first pulse.
    let power = |start: usize, pitch: f64| {
        let turn = std::f64::consts::TAU * pitch / 48_000.0;
        let pulse = samples[start..start + 3360].iter().enumerate();
        let (re, im) = pulse.fold((0.0, 0.0), |(re, im), (i, sample)| {
            (re + sample * (turn * i as f64).cos(), im + sample * (turn * i as f64).sin())
        });
        re * re + im * im
    };
    let lines = json_lines(&output);
    let said: Vec<&str> = lines.iter().map(|line| line["spoken"].as_str().expect("words")).collect();
    let of = ["No", "Probable no", "Possible no"].map(|start| format!("{start} insurance. Silver Ford. "));
    assert!(said.len() == 3 && said.iter().zip(&of).all(|(said, start)| said.starts_with(start)), "{said:?}");
    let pitches = [("certain", 1568.0), ("probable", 880.0), ("possible", 494.0)];
    for (line, (grade, pitch)) in lines.iter().zip(pitches) {
        assert_eq!(line["grade"], grade);
        let start = (line["start_s"].as_f64().expect("seconds") * 48_000.0) as usize;
        for (_, other) in pitches.iter().filter(|(_, other)| *other != pitch) {
            assert!(power(start, pitch) > 20.0 * power(start, *other), "{grade} at {other} Hz");
        }
    }
    refused(&outrider(&["sound", "--vrm", "?", "--wav", &file]), 2, &["no VRM"]);
    let nowhere = folder.path().join("none/alert.wav").display().to_string();
    refused(&outrider(&["sound", "--wav", &nowhere]), 1, &["none/alert.wav"]);
    let good = "unit = \"u\"\ndata = \"d\"\n[[camera]]\nname = \"front\"\nsource = { device = \"/dev/video0\" }\n";
    let config = folder.file("car.toml", format!("{good}[sound]\nvoice = \"absent\"\n"));
    refused(&outrider(&["sound", "--config", &config, "--wav", &file]), 1, &["absent", "voice"]);
}

#[test]
fn every_command_has_help_with_an_example() {
    let car = [
        "",
        "run",
        "demo",
        "read",
        "replay",
        "evaluate",
        "enrol",
        "metered",
        "doctor",
        "sound",
        "hotlist",
        "hotlist import",
        "hotlist status",
        "hotlist lookup",
        "hotlist add",
        "hotlist remove",
        "hotlist silenced",
        "hotlist apply",
        "bench",
        "bench pipeline",
        "bench window",
        "bench alerts",
        "bench hotlist",
        "bench confusions",
        "bench kernels",
        "bench journal",
        "journal",
        "journal verify",
        "journal export",
        "journal purge",
        "journal search",
        "journal audit",
        "journal token",
        "journal lock",
        "journal erase",
        "journal heads",
        "people",
        "people add",
        "people change",
        "people remove",
        "people list",
        "config",
        "config check",
    ];
    let depot = [
        "",
        "init",
        "enrol",
        "codes",
        "units",
        "revoke",
        "serve",
        "publish",
        "amend",
        "changes",
        "crews",
        "fleet",
        "people",
        "people add",
        "people list",
        "settings",
        "settings set",
        "settings check",
        "settings keys",
        "settings changes",
        "heads",
        "names",
        "retention",
        "purge",
    ];
    let all = car.map(|command| (env!("CARGO_BIN_EXE_outrider"), command)).into_iter();
    for (program, command) in all.chain(depot.map(|command| (env!("CARGO_BIN_EXE_outrider-office"), command))) {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = run(program, &arguments);
        assert!(output.status.success() && printed(&output).contains("Example"), "{program} {arguments:?}");
    }
}

#[test]
fn pictures_that_cannot_be_opened_are_named_and_the_others_are_read() {
    let folder = Folder::new();
    let good = folder.file("good.jpg", picture());
    let empty = folder.file("empty.jpg", "");
    let text = folder.file("text.jpg", "this is not a picture");
    let missing = folder.path().join("missing.jpg").display().to_string();
    let output = outrider(&["read", "--json", &missing, &empty, &text, &good]);
    refused(&output, 1, &["missing.jpg", "empty.jpg", "text.jpg", "3 of 4"]);
    let lines: Vec<serde_json::Value> =
        printed(&output).lines().map(|line| serde_json::from_str(line).expect("JSON and nothing else")).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["file"], good);
    assert!(lines[0]["plates"].is_array() && lines[0]["ms"].is_number());
}

#[test]
fn videos_that_are_none_are_refused() {
    let folder = Folder::new();
    let empty = folder.file("empty.mp4", "");
    let text = folder.file("text.mp4", "not a video at all\n".repeat(100));
    let missing = folder.path().join("missing.mp4").display().to_string();
    for file in [&empty, &text, &missing] {
        let output = outrider(&["replay", "--json", file]);
        refused(&output, 1, &[Path::new(file).file_name().and_then(|n| n.to_str()).expect("a name")]);
        assert_eq!(printed(&output), "");
    }
    refused(&outrider(&["replay"]), 2, &["SOURCE"]);
}

#[test]
fn configurations_are_explained_or_refused() {
    let folder = Folder::new();
    let good = "unit = \"u\"\ndata = \"d\"\n[[camera]]\nname = \"front\"\nsource = { device = \"/dev/video0\" }\n";
    let output = outrider(&["config", "check", &folder.file("good.toml", good)]);
    assert!(output.status.success() && printed(&output).contains("/dev/video0"), "{}", said(&output));
    assert!(printed(&output).contains("nobody is set up: names are what people say"), "{}", printed(&output));
    let unknown = folder.file("unknown.toml", format!("{good}colour = \"red\"\n"));
    refused(&outrider(&["config", "check", &unknown]), 2, &["unknown.toml", "colour"]);
    refused(&outrider(&["config", "check", &folder.file("latin.toml", b"unit = \"\xe9\"")]), 2, &["latin.toml"]);
    // The table of the driver's symbols is part of what is checked.
    let driver = format!("{good}[driver]\nleft = 1024\ntop = 0\n");
    let output = outrider(&["config", "check", &folder.file("driver.toml", &driver)]);
    assert!(printed(&output).contains("480 x 320 at 1024, 0") && printed(&output).contains("NOT APPROVED"));
    folder.file("symbols.toml", "approval = \"\"\n[ground]\nday = \"#ffffff\"\nnight = \"#000000\"\n");
    let driver = folder.file("bad.toml", format!("{driver}symbols = \"symbols.toml\"\n"));
    refused(&outrider(&["config", "check", &driver]), 2, &["symbols.toml", "no symbol for \"certain\""]);
    let missing = folder.path().join("none.toml").display().to_string();
    refused(&outrider(&["run", "--config", &missing]), 2, &["none.toml"]);
    refused(&outrider(&["frobnicate"]), 2, &["frobnicate"]);
}

#[test]
fn models_that_are_missing_cut_short_or_of_another_shape_are_refused() {
    let folder = Folder::new();
    let photo = folder.file("photo.jpg", picture());
    refused(&outrider(&["read", "--models", folder.text(), &photo]), 1, &["SHA256SUMS"]);

    let models = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models");
    let copy = |name: &str| std::fs::copy(models.join(name), folder.path().join(name)).expect("copied");
    let sums = std::fs::read_to_string(models.join("SHA256SUMS")).expect("the sums are there");
    folder.file("SHA256SUMS", &sums);
    refused(&outrider(&["read", "--models", folder.text(), &photo]), 1, &["finder.safetensors", "cannot read"]);
    for name in ["finder.safetensors", "aligner.safetensors", "reader.safetensors"] {
        copy(name);
    }
    let output = outrider(&["read", "--models", folder.text(), &photo]);
    assert!(output.status.success(), "{}", said(&output));

    let reader = std::fs::read(models.join("reader.safetensors")).expect("readable");
    folder.file("reader.safetensors", &reader[..reader.len() / 2]);
    refused(&outrider(&["read", "--models", folder.text(), &photo]), 1, &["reader.safetensors", "cut short"]);

    // Rightly listed, but another network: told apart by what it says of itself.
    let aligner = std::fs::read(models.join("aligner.safetensors")).expect("readable");
    folder.file("reader.safetensors", &aligner);
    let listed =
        |name: &str| sums.lines().find(|line| line.ends_with(name)).expect("listed").split(' ').next().expect("a sum");
    let swapped = sums.replace(listed("reader.safetensors"), listed("aligner.safetensors"));
    folder.file("SHA256SUMS", swapped);
    refused(&outrider(&["read", "--models", folder.text(), &photo]), 1, &["reader.safetensors", "not a reader"]);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_said() {
    let folder = Folder::new();
    let blocked = folder.file("blocked", "a file where a folder should be");
    let config = folder.file(
        "car.toml",
        format!("unit = \"u\"\ndata = \"{blocked}/data\"\n[[camera]]\nname = \"front\"\nsource = {{ device = \"/dev/video99\" }}\n"),
    );
    refused(&outrider(&["run", "--config", &config]), 1, &["blocked/data", "data folder"]);
    let output = outrider(&["doctor", "--config", &config]);
    refused(&output, 1, &["do not work"]);
    assert!(printed(&output).contains("FAULT  data folder"), "{}", printed(&output));
}

#[test]
fn cameras_and_receivers_that_are_not_there_are_faults_with_their_names() {
    let folder = Folder::new();
    let config = folder.file(
        "car.toml",
        "unit = \"u\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = { device = \"/dev/video99\" }\nsilence_s = 2.0\n\
         [[camera]]\nname = \"rear\"\nsource = { rtsp = \"rtsp://127.0.0.1:9/none\" }\nsilence_s = 2.0\n\
         [receiver]\nsource = { serial = \"/dev/ttyNONE\" }\n[sound]\nenabled = false\n[screen]\nenabled = false\n",
    );
    let output = outrider(&["doctor", "--config", &config]);
    refused(&output, 1, &["4 parts do not work"]);
    let report = printed(&output);
    for name in [
        "FAULT  camera \"front\"",
        "/dev/video99",
        "FAULT  camera \"rear\"",
        "FAULT  receiver",
        "/dev/ttyNONE",
        "ok     networks",
    ] {
        assert!(report.contains(name), "{name:?} is not in:\n{report}");
    }
}

#[test]
fn a_list_with_broken_lines_loads_its_good_ones_and_says_which_are_bad() {
    let folder = Folder::new();
    let list = folder.file("list.csv", "vrm,reason\nAB12CDE,stolen\n,nothing\nTOOLONGFORAPLATE,x\nXY34ZZZ,wanted\n");
    let output = outrider(&["hotlist", "import", "--data", folder.text(), "--list", "pnc", &list]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("line 3") && said(&output).contains("line 4"), "{}", said(&output));
    assert!(printed(&output).contains("2 entries"), "{}", printed(&output));
    let found = outrider(&["hotlist", "lookup", "--data", folder.text(), "--json", "ab12 cde"]);
    assert!(printed(&found).contains("stolen"), "{}{}", printed(&found), said(&found));

    let useless = folder.file("useless.csv", "vrm,reason\n,\n");
    refused(&outrider(&["hotlist", "import", "--data", folder.text(), "--list", "pnc", &useless]), 1, &["useless.csv"]);
    let kept = outrider(&["hotlist", "lookup", "--data", folder.text(), "--json", "XY34ZZZ"]);
    assert!(printed(&kept).contains("wanted"), "a refused list leaves the old one");
    refused(&outrider(&["hotlist", "lookup", "--data", folder.text(), "AB?"]), 2, &["AB?"]);
}

#[test]
fn the_crews_own_entries_and_what_is_known_of_lists() {
    let folder = Folder::new();
    let add = |arguments: &[&str]| {
        outrider(&[&["hotlist", "add", "--data", folder.text(), "--reason", "made off"], arguments].concat())
    };
    refused(&add(&["AB12CDE"]), 2, &["--expires"]);
    refused(&add(&["--expires", "soon", "AB12CDE"]), 2, &["soon"]);
    refused(&add(&["--expires", "8h", "A_1"]), 2, &["A_1"]);
    let added = add(&["--expires", "8h", "AB1? CDE"]);
    assert!(added.status.success() && printed(&added).contains("1 entries"), "{}", said(&added));
    let found = outrider(&["hotlist", "lookup", "--data", folder.text(), "--json", "AB12CDE"]);
    assert!(printed(&found).contains("made off"), "{}", printed(&found));
    let remove =
        |mark: &str| outrider(&["hotlist", "remove", "--data", folder.text(), "--reason", "paid after all", mark]);
    refused(&remove("AB12CDE"), 1, &["no entry AB12CDE"]);
    let removed = remove("ab1?cde");
    assert!(removed.status.success() && printed(&removed).contains("AB1?CDE is taken off"), "{}", said(&removed));
    assert!(printed(&outrider(&["hotlist", "silenced", "--data", folder.text()])).is_empty());

    let settings = folder.file("settings.toml", "owner = \"RPU\"\ncovert = true\n");
    let list = folder.file("list.csv", "vrm;reason\nXY34ZZZ;wanted\n");
    let import = |settings: &str| {
        outrider(&["hotlist", "import", "--data", folder.text(), "--list", "pnc", "--settings", settings, &list])
    };
    refused(&import(&folder.file("bad.toml", "colour = 3\n")), 2, &["bad.toml", "colour"]);
    assert!(import(&settings).status.success());
    let status = outrider(&["hotlist", "status", "--data", folder.text(), "--json"]);
    let lists: Vec<serde_json::Value> =
        printed(&status).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lists[0]["id"].as_str(), lists[1]["owner"].as_str()), (Some("crew"), Some("RPU")));
    assert_eq!(lists[1]["precision"]["true_hits"], 0);
}

#[test]
fn an_entry_of_the_crew_s_is_matched_at_once_against_the_reads_in_the_journal() {
    use outrider::tag::{TaggedRead, When};
    let folder = Folder::new();
    let clock = RealClock::shared();
    let journal = outrider::journal::Journal::open(folder.path(), clock.clone()).expect("opened");
    for (pass, text) in [(1, "AB12CDE"), (2, "CD34EFG"), (3, "AB10CDE")] {
        let mut read = outrider::hotlist::typed(text, Vec::new(), 0.98);
        read.id.pass = pass;
        let tagged = TaggedRead { read, when: When { utc: clock.utc(), trusted: true }, place: None, drill: false };
        journal.record(outrider::journal::Record::Read(Box::new(tagged))).expect("taken");
    }
    journal.flush().expect("on disk");
    drop(journal);
    let add = |mark: &str| {
        let output = outrider(&[
            "hotlist",
            "add",
            "--data",
            folder.text(),
            "--reason",
            "made off",
            "--expires",
            "8h",
            "--json",
            mark,
        ]);
        assert!(output.status.success(), "{}", said(&output));
        let passed: Vec<String> = json_lines(&output)[1..].iter().map(|line| line["text"].to_string()).collect();
        passed
    };
    assert_eq!(add("AB1? CDE"), ["\"AB12CDE\"", "\"AB10CDE\""]);
    // One glyph for 0 and O.
    assert_eq!(add("ab1o cde"), ["\"AB10CDE\""]);
    assert!(add("XY99XYZ").is_empty());
}

#[test]
fn the_journal_of_an_empty_folder_is_missing_not_made() {
    let folder = Folder::new();
    refused(&outrider(&["journal", "verify", "--data", folder.text()]), 1, &["journal"]);
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn codes_are_made_for_a_unit_by_somebody_and_a_slip_is_told_before_anything_is_sent() {
    let folder = Folder::new();
    let data = folder.path().join("office").display().to_string();
    assert!(office(&["init", "--data", &data]).status.success());
    let enrol = |arguments: &[&str]| office(&[&["enrol", "--data", &data, "--unit", "car-01"], arguments].concat());
    refused(&enrol(&[]), 2, &["--by"]);
    refused(&enrol(&["--by", "Sgt Example", "--valid", "15"]), 2, &["15m"]);
    refused(&enrol(&["--by", "Sgt Example", "--valid", "200h"]), 2, &["seven days"]);
    let made = enrol(&["--by", "Sgt Example", "--json"]);
    assert_eq!(fields(&json_lines(&made)[0]), ["unit", "code", "until"]);
    let code = json_lines(&made)[0]["code"].as_str().expect("a code").to_owned();
    let listed = printed(&office(&["codes", "--data", &data]));
    assert!(
        listed.starts_with(&code[..4]) && listed.contains("car-01") && listed.contains("by Sgt Example"),
        "{listed}"
    );
    assert!(!listed.contains(&code[5..9]), "{listed}");

    // In the car. Nobody listens at that address: what is told here is told before anything is sent.
    let identity = folder.path().join("identity").display().to_string();
    let at = ["enrol", "--office", "127.0.0.1:9", "--identity", &identity, "--unit", "car-01"];
    let enrol = |code: &str| outrider(&[&at[..], &[code]].concat());
    let swapped = format!("{}{}{}", &code[1..2], &code[..1], &code[2..]);
    let slip = if code[..1] == code[1..2] { code.replacen(&code[..1], "", 1) } else { swapped };
    refused(&enrol(&slip), 2, &["slip in the code", "nothing was sent"]);
    refused(&enrol(&format!("0{}", &code[1..])), 2, &["no 0, 1, I and O"]);
    refused(&enrol(&code), 1, &["127.0.0.1:9", "cannot be reached"]);
    refused(&outrider(&["enrol", &code]), 2, &["--config"]);
    let config = folder.file(
        "car.toml",
        "unit = \"u\"\ndata = \"d\"\n[[camera]]\nname = \"front\"\nsource = { device = \"/dev/video0\" }\n",
    );
    refused(&outrider(&["enrol", "--config", &config, &code]), 2, &["no back office", "[office]"]);
    assert!(!folder.path().join("identity/cert.pem").exists());

    refused(&office(&["codes", "--data", &data, "--withdraw", &code[..4]]), 2, &["--by"]);
    let withdrawn = office(&["codes", "--data", &data, "--withdraw", &code[..4], "--by", "Sgt Example"]);
    assert!(withdrawn.status.success(), "{}", said(&withdrawn));
    assert!(printed(&office(&["codes", "--data", &data])).is_empty());
    refused(&office(&["revoke", "--data", &data]), 2, &["--unit", "--certificate"]);
    refused(&office(&["revoke", "--data", &data, "--unit", "car-01"]), 1, &["no valid identity", "car-01"]);
    let record = json_lines(&office(&["units", "--data", &data, "--record", "--json"]));
    assert_eq!((record.len(), &record[1]["by"]), (2, &"Sgt Example".into()));
}

#[test]
fn settings_are_checked_set_with_who_and_why_and_taken_back() {
    let folder = Folder::new();
    let data = folder.path().join("office").display().to_string();
    let settings = |arguments: &[&str]| office(&[&["settings", "--data", &data], arguments].concat());
    let good = folder.file("good.toml", "[cars]\nlongest_shift_h = 10\n[units.car-01]\nnotice = \"Bridge closed\"\n");
    let set = |file: &str| settings(&["set", "--by", "Insp Example", "--why", "shorter nights", file]);
    refused(&set(&good), 1, &["there is no office here", "init"]);
    assert!(office(&["init", "--data", &data]).status.success());
    assert!(printed(&settings(&[])).contains("Nothing is set"));
    refused(&settings(&["set", &good]), 2, &["--by", "--why"]);
    refused(&settings(&["set", "--by", " ", "--why", "x", &good]), 2, &["--by"]);
    for (text, why) in [
        ("[cars]\nlongest_shift_h = 48\n", "longest_shift_h is 48, must be 1 to 24"),
        ("[cars]\nkeep_reads_h = 1\n", "\"keep_reads_h\" cannot be set"),
        ("[cars]\nvolume = 0.0\n", "\"volume\" cannot be set"),
    ] {
        let bad = folder.file("bad.toml", text);
        refused(&set(&bad), 2, &["bad.toml", why, "settings keys"]);
        refused(&settings(&["check", &bad]), 2, &["bad.toml", why]);
    }
    refused(&settings(&["check", &folder.file("long.toml", " ".repeat(300 << 10))]), 2, &["more than"]);
    assert!(printed(&settings(&["keys"])).contains("longest_shift_h  1 to 24: hours after which"));
    let checked = printed(&settings(&["check", &good]));
    assert!(
        checked.contains("car-01           longest_shift_h 10, notice of 13 characters: \"Bridge closed\""),
        "{checked}"
    );

    let output = set(&good);
    assert!(
        output.status.success() && said(&output).contains("No unit is enrolled as \"car-01\""),
        "{}",
        said(&output)
    );
    let stands = printed(&settings(&[]));
    assert!(stands.contains("Insp Example: shorter nights") && stands.contains("every car        longest_shift_h 10"));
    assert!(set(&folder.file("none.toml", "")).status.success(), "taken back");
    let shown = json_lines(&settings(&["--json"])).remove(0);
    assert_eq!(fields(&shown), ["stands", "held"]);
    assert_eq!(fields(&shown["stands"]), ["revision", "utc", "by", "why", "text"]);
    assert_eq!(shown["stands"]["text"], "");
    let changes = json_lines(&settings(&["--json", "changes"]));
    assert_eq!(changes.len(), 2);
    assert!(changes[0]["text"].as_str().is_some_and(|text| text.contains("Bridge closed")));
}

#[test]
fn an_office_is_made_enrols_and_publishes() {
    let folder = Folder::new();
    let data = folder.path().join("office").display().to_string();
    let out = folder.path().join("identity").display().to_string();
    let list = folder.file("list.csv", "vrm,reason\nAB12CDE,stolen\n");
    refused(&office(&["publish", "--data", &data, "--list", "pnc", &list]), 1, &["office", "init"]);
    for arguments in [
        vec!["init", "--data", &data, "--name", "localhost"],
        vec!["enrol", "--data", &data, "--unit", "car-01", "--folder", &out],
        vec!["publish", "--data", &data, "--list", "pnc", &list],
    ] {
        let output = office(&arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    assert!(Path::new(&out).join("key.pem").exists());

    // What waits for the service is what a car takes, if the signature is that of its office.
    let published: Vec<PathBuf> = std::fs::read_dir(folder.path().join("office/inbox"))
        .expect("an inbox")
        .map(|file| file.expect("a file").path())
        .collect();
    let [revision] = &published[..] else { panic!("{published:?}") };
    let (car, revision) = (folder.path().join("car").display().to_string(), revision.display().to_string());
    let apply =
        |identity: &str, file: &str| outrider(&["hotlist", "apply", "--data", &car, "--identity", identity, file]);
    refused(&apply(folder.text(), &revision), 1, &["lists.pub", "enrol"]);
    let mut bytes = std::fs::read(&revision).expect("readable");
    bytes[30] ^= 1;
    refused(&apply(&out, &folder.file("forged.list", &bytes)), 1, &["forged.list", "signature"]);
    let applied = apply(&out, &revision);
    assert!(applied.status.success() && printed(&applied).contains("1 entries"), "{}", said(&applied));
    refused(&office(&["enrol", "--data", &data, "--unit", "../x", "--folder", &out]), 2, &["../x"]);

    // A small change: who and why are wanted, and on record.
    let amend = |arguments: &[&str]| office(&[&["amend", "--data", &data, "--list", "pnc"], arguments].concat());
    refused(&amend(&["--remove", "AB12CDE"]), 2, &["--by"]);
    let who = ["--by", "Sgt Example", "--why", "recovered 14:02"];
    refused(&amend(&[&who[..], &["--set", "CD34EFG"]].concat()), 2, &["CD34EFG", "--reason"]);
    refused(&amend(&[&who[..], &["--remove", "XX99XXX"]].concat()), 1, &["XX99XXX is not on it"]);
    let bad = folder.file("bad.csv", "vrm,reason\nEF56GHI,x\n!,y\n");
    refused(&amend(&[&who[..], &["--sheet", &bad]].concat()), 1, &["bad.csv:3", "nothing was changed"]);
    let done =
        amend(&[&who[..], &["--remove", "AB12CDE", "--set", "CD34EFG", "--reason", "stolen", "--json"]].concat());
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(json_lines(&done)[0]["count"], 1);
    let waiting = std::fs::read_dir(folder.path().join("office/inbox")).expect("an inbox");
    let change = waiting.map(|file| file.expect("a file").path().display().to_string());
    let change = change.filter(|name| name.matches('@').count() == 2).collect::<Vec<_>>().remove(0);
    let applied = apply(&out, &change);
    assert!(printed(&applied).contains("changed in 2 places"), "{}{}", printed(&applied), said(&applied));
    let record = json_lines(&office(&["changes", "--data", &data, "--list", "pnc", "--json"]));
    assert_eq!((record.len(), &record[1]["by"], &record[1]["why"]), (2, &"Sgt Example".into(), &who[3].into()));
    assert_eq!((&record[1]["removed"][0], &record[1]["set"][0]), (&"AB12CDE".into(), &"CD34EFG".into()));
    let people = printed(&office(&["changes", "--data", &data]));
    assert!(people.contains("Sgt Example: recovered 14:02  set CD34EFG  removed AB12CDE"), "{people}");
    refused(&office(&["crews", "--data", &data]), 1, &["statements.json", "serve"]);

    // Another name of the office's.
    let names = |arguments: &[&str]| office(&[&["names", "--data", &data], arguments].concat());
    refused(&names(&["--add", "b.example.org"]), 2, &["--by"]);
    refused(
        &names(&["--add", "b.example.org:4433", "--by", "x", "--why", "y"]),
        2,
        &["b.example.org:4433", "without a port"],
    );
    let added = names(&["--add", "b.example.org", "--by", "Sgt Example", "--why", "moved"]);
    assert!(printed(&added).contains("by b.example.org too"), "{}", said(&added));
    assert!(json_lines(&names(&["--json"]))[0].as_array().is_some_and(|names| names.contains(&"b.example.org".into())));

    // How long that is kept: set by who says who and why, and on record without a vehicle.
    let keep = |arguments: &[&str]| office(&[&["retention", "--data", &data], arguments].concat());
    assert_eq!(json_lines(&keep(&["--json"]))[0]["keep_changes_h"], 17_520);
    refused(&keep(&["--keep-changes-h", "24"]), 2, &["--by"]);
    let policy = ["--by", "Insp Example", "--why", "policy 4.2"];
    refused(&keep(&[&policy[..], &["--keep-changes-h", "0"]].concat()), 2, &["must be 1 to 87600 hours"]);
    let set = keep(&[&policy[..], &["--keep-changes-h", "24"]].concat());
    assert!(printed(&set).contains("24 hours; 0 were older"), "{}{}", printed(&set), said(&set));
    let purged = office(&[&["purge", "--data", &data], &policy[..]].concat());
    assert!(printed(&purged).contains("0 changes of lists are deleted"), "{}", said(&purged));
    let record = json_lines(&keep(&["--record", "--json"]));
    assert_eq!((record.len(), &record[0]["by"], &record[0]["why"]), (1, &"Insp Example".into(), &policy[3].into()));

    // People, without a PIN on any command line.
    let pin = folder.file("pin", "480615\n");
    let people = |arguments: &[&str]| office(&[&["people", "--data", &data], arguments].concat());
    let add = ["add", "--number", "4512", "--name", "A. Example", "--role", "crew", "--new-pin-file", &pin];
    refused(&people(&add), 2, &["--by"]);
    assert!(said(&people(&["list"])).contains("Nobody is set up"));
    let added = people(&[&["--by", "Sgt Example"], &add[..]].concat());
    assert!(printed(&added).contains("4512 added as crew"), "{}", said(&added));
    refused(&people(&[&["--by", "Sgt Example"], &add[..]].concat()), 2, &["4512 is on it already"]);
    refused(&people(&["--by", "Sgt Example", "remove", "--number", "4512"]), 2, &["nobody would be left"]);
    assert_eq!(json_lines(&people(&["list", "--json"]))[0]["name"], "A. Example");
    assert!(printed(&office(&["heads", "--data", &data])).is_empty());
    let chain = folder.file("chain.jsonl", "{\"vault\":\"1\",\"signer\":\"2\"}\n");
    let check = office(&["heads", "--data", &data, "--unit", "car-01", "--check", &chain]);
    refused(&check, 1, &["is not the one that was sent"]);
    assert!(printed(&check).contains("no head of this car's chain"), "{}", printed(&check));
}
