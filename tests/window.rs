//! The whole program in real windows, touched by a real pointer: an alert is raised from a film, answered on the screen, and
//! the verdict is found in the journal; a drill goes from the touch to the office's store. Runs where Xvfb and xdotool are,
//! and says so where they are not.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outrider::drive::{DriveFiles, Plan, render};
use outrider::office::{RedbStore, Store};
use outrider::sync::Kind;
use prost::Message;
use serde_json::Value;

/// One unit at a time: two would share the processors, and neither be in time.
static ROAD: Mutex<()> = Mutex::new(());

/// Ends the process when the test does, however that is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok_and(|mut child| {
        let _ = child.kill();
        let _ = child.wait();
        true
    })
}

/// A display that is memory, and its number.
fn display() -> (Running, String) {
    let server = Command::new("Xvfb")
        // The crew's display, and the driver's to the right of it.
        .args(["-displayfd", "1", "-screen", "0", "1504x600x24", "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb starts");
    let mut server = Running(server);
    let mut number = String::new();
    BufReader::new(server.0.stdout.take().expect("piped")).read_line(&mut number).expect("Xvfb says its number");
    (server, format!(":{}", number.trim()))
}

fn outrider(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_outrider")).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A unit with its window on `display`, and what it says.
fn running(config: &str, display: &str, environment: &[(&str, String)]) -> (Running, Receiver<String>) {
    let unit = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["run", "--config", config])
        .env("DISPLAY", display)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env_remove("WAYLAND_DISPLAY")
        .env("OUTRIDER_LOG", "outrider=info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut unit = Running(unit);
    let lines = lines_of(unit.0.stderr.take().expect("piped"));
    (unit, lines)
}

/// Presses the left button at a place of the display.
fn touch(display: &str, x: u32, y: u32) {
    let (x, y) = (x.to_string(), y.to_string());
    let status = Command::new("xdotool")
        .args(["mousemove", &x, &y, "mousedown", "1", "sleep", "0.05", "mouseup", "1"])
        .env("DISPLAY", display)
        .status()
        .expect("xdotool starts");
    assert!(status.success());
}

/// How long an alert of the film is waited for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Whether a line with these words comes in time.
fn heard(lines: &Receiver<String>, words: &str, patience: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) if line.contains(words) => return true,
            Ok(_) | Err(_) => {}
        }
    }
    false
}

/// Waits for a line with these words.
fn wait_for(lines: &Receiver<String>, words: &str, patience: Duration) {
    assert!(heard(lines, words, patience), "{words:?} was not said within {patience:?}");
}

/// Waits for a line with each of these words, in whatever order they come.
fn wait_for_all(lines: &Receiver<String>, mut words: Vec<&str>, patience: Duration) {
    let start = Instant::now();
    while !words.is_empty() {
        assert!(start.elapsed() < patience, "{words:?} were not said within {patience:?}");
        if let Ok(line) = lines.recv_timeout(Duration::from_millis(200)) {
            words.retain(|words| !line.contains(words));
        }
    }
}

/// The lock of the road, where everything is there that this needs.
fn on_the_road() -> Option<MutexGuard<'static, ()>> {
    for program in ["Xvfb", "xdotool"] {
        if !is_there(program) {
            eprintln!("NOT TESTED: {program} is not there; `./x test` installs it");
            return None;
        }
    }
    Some(ROAD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The film that the test of the demo plays, too.
fn film() -> DriveFiles {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outrider");
    std::fs::create_dir_all(&cache).expect("a cache");
    render(&Plan::sized(1, 960, 540), &cache, &mut |_, _| ()).expect("painted")
}

/// The lines of a program's log as they come.
fn lines_of(errors: ChildStderr) -> Receiver<String> {
    let (said, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Asks a program to end, as a service manager does, and waits for it.
fn end(program: &mut Running) -> ExitStatus {
    let asked = Command::new("kill").args(["-TERM", &program.0.id().to_string()]).status().expect("kill starts");
    assert!(asked.success());
    program.0.wait().expect("it ends")
}

/// What the journal of a data folder has, exported into `folder`.
fn exported(data: &str, folder: &str) -> Vec<Value> {
    outrider(&["journal", "export", "--data", data, "--out", folder]);
    let mut text = String::new();
    let path = Path::new(folder).join("reads.jsonl");
    std::fs::File::open(path).expect("exported").read_to_string(&mut text).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn an_alert_in_a_real_window_is_answered_by_a_real_pointer_and_the_verdict_is_kept() {
    let Some(_road) = on_the_road() else { return };
    let film = film();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
    let config = format!(
        "unit = \"window-test\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = {{ file = {:?} }}\nrepeat = true\n\
         [receiver]\nsource = {{ file = {:?} }}\n[screen]\nwidth = 1024\nheight = 600\n",
        film.video, film.nmea
    );
    std::fs::write(path("car.toml"), config).expect("written");
    let hotlist = film.hotlist.to_str().expect("a plain path");
    std::fs::create_dir_all(path("data")).expect("a data folder");
    outrider(&["hotlist", "import", "--data", &path("data"), "--list", "demo", hotlist]);

    let (_server, display) = display();
    let (mut unit, lines) = running(&path("car.toml"), &display, &[]);

    // An alert may be corrected or withdrawn while the pointer is on its way, and a newer one takes the place of the question
    // for a reason, as on the road; then the next one is answered.
    // Where a touch comes to nothing, an alert is still there or follows.
    wait_for(&lines, "alert drawn", PATIENCE);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "no alert was answered within {PATIENCE:?}");
        // A touch at once would be taken for one that was meant for what was there before.
        std::thread::sleep(Duration::from_millis(800));
        // "Misread", the second of six.
        touch(&display, 260, 540);
        if !heard(&lines, "alert answered", Duration::from_secs(5)) {
            continue;
        }
        // "Several", the second of four.
        touch(&display, 385, 540);
        if heard(&lines, "reason of an answer noted", Duration::from_secs(3)) {
            break;
        }
    }
    let status = end(&mut unit);
    let left: Vec<String> = lines.try_iter().collect();
    assert!(status.success(), "{status}: {}", left.join("\n"));

    let lines = exported(&path("data"), &path("export"));
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let verdicts = of("verdict");
    assert!(verdicts.iter().any(|line| line["verdict"] == "Misread" && line["reason"] == ""), "{verdicts:?}");
    assert!(verdicts.iter().any(|line| line["verdict"] == "Misread" && line["reason"] == "several"), "{verdicts:?}");
    // The answer is of a read that was a hit.
    let id = &verdicts[0]["id"];
    let read = of("read").into_iter().find(|line| line["id"] == *id).expect("its read");
    assert!(!read["hits"].as_array().expect("hits").is_empty(), "{read}");
    // How long it took until it was drawn is on record, and it is measured, not made up.
    let timing = of("timing").into_iter().find(|line| line["id"] == *id).expect("its timing");
    let drawn = timing["to_screen_ms"].as_f64().expect("it was drawn");
    assert!(drawn > timing["to_desk_ms"].as_f64().expect("it left the desk") && drawn < 5000.0, "{timing}");
}

/// What the office's store has of a read and of a hit, as far as this test asks.
#[derive(Clone, PartialEq, Message)]
struct StoredRead {
    #[prost(string, tag = "5")]
    text: String,
    #[prost(bool, tag = "18")]
    drill: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StoredHit {
    #[prost(message, optional, tag = "1")]
    read: Option<StoredRead>,
    #[prost(string, tag = "6")]
    reason: String,
}

#[test]
fn a_drill_proves_every_step_from_the_camera_to_the_office_and_is_marked_at_both_ends() {
    let Some(_road) = on_the_road() else { return };
    let film = film();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();

    // A real office, and its car.
    let depot = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_outrider-office")).args(arguments).output().expect("it starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    depot(&["init", "--data", &path("office"), "--name", "127.0.0.1"]);
    depot(&["enrol", "--data", &path("office"), "--unit", "window-test", "--folder", &path("identity")]);
    let office = Command::new(env!("CARGO_BIN_EXE_outrider-office"))
        .args(["serve", "--data", &path("office"), "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut office = Running(office);
    let mut serving = String::new();
    BufReader::new(office.0.stdout.take().expect("piped")).read_line(&mut serving).expect("it says where it serves");
    let address = serving.split_whitespace().find(|word| word.contains(':')).expect("an address");

    let config = format!(
        "unit = \"window-test\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = {{ file = {:?} }}\nrepeat = true\n\
         [receiver]\nsource = {{ file = {:?} }}\n[office]\naddress = {address:?}\nidentity = \"identity\"\n\
         [driver]\nleft = 1024\ntop = 0\n",
        film.video, film.nmea
    );
    std::fs::write(path("car.toml"), config).expect("written");
    // A sound device that takes everything and plays nothing.
    std::fs::write(path("sound.conf"), "pcm.!default { type null }\nctl.!default { type null }\n").expect("written");
    let (_server, display) = display();
    let sound = ("ALSA_CONFIG_PATH", path("sound.conf"));
    let (mut unit, lines) = running(&path("car.toml"), &display, &[sound]);
    wait_for(&lines, "sound device open", PATIENCE);

    // Both windows are there, each on its display.
    let place = |name: &str| {
        let output = Command::new("xdotool")
            .args(["search", "--sync", "--name", name, "getwindowgeometry"])
            .env("DISPLAY", &display)
            .output()
            .expect("xdotool starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let driver = place("driver's side");
    assert!(driver.contains("Position: 1024,0") && driver.contains("Geometry: 480x320"), "{driver}");
    assert!(place("^Outrider$").contains("Geometry: 1024x600"));

    // Menu; Shift and drill; Sign on: 4512; Start drill. Each page is drawn before it is touched.
    for (x, y) in
        [(962, 538), (385, 446), (858, 198), (360, 183), (461, 183), (57, 183), (158, 183), (886, 62), (858, 334)]
    {
        std::thread::sleep(Duration::from_millis(600));
        touch(&display, x, y);
    }
    wait_for(&lines, "alert drawn", Duration::from_secs(30));
    std::thread::sleep(Duration::from_millis(800));
    // "Confirmed", the first of six.
    touch(&display, 100, 540);
    // Either may come first: the drill is over once the office has the hit, whether the crew has answered or not.
    wait_for_all(&lines, vec!["alert answered", "the drill is over"], Duration::from_secs(60));
    let status = end(&mut unit);
    assert!(status.success(), "{status}");
    assert!(end(&mut office).success());

    let lines = exported(&path("data"), &path("export"));
    let notes: Vec<&str> =
        lines.iter().filter(|line| line["kind"] == "note").filter_map(|line| line["text"].as_str()).collect();
    assert!(notes.contains(&"drill started; by 4512"), "{notes:?}");
    let audit = outrider(&["journal", "audit", "--data", &path("data"), "--who", "77", "--json"]);
    let signed_on = audit.lines().filter(|line| line.contains("signed on") && line.contains("\"4512\"")).count();
    assert_eq!(signed_on, 1, "{audit}");
    let drill = notes.iter().find(|note| note.starts_with("drill: ")).expect("the drill is on record");
    for step in ["camera", "matching", "speaker", "screen", "uplink"] {
        assert!(drill.contains(&format!("{step} proved (")), "{drill}");
    }
    let read = lines.iter().find(|line| line["kind"] == "read" && line["drill"] == true).expect("the test read");
    let verdict = lines.iter().find(|line| line["kind"] == "verdict" && line["id"] == read["id"]).expect("the answer");
    assert!(verdict["verdict"] == "Confirmed" && verdict["by"] == "4512", "{verdict}");

    // At the office it is a drill, too, and nothing else is.
    let store = RedbStore::open(&folder.path().join("office/office.redb")).expect("the office's store");
    // Each without the byte in front that tells the version of its format.
    let stored = |kind: Kind| -> Vec<Vec<u8>> {
        let keys = store.keys("window-test", kind).expect("read");
        keys.iter()
            .map(|key| store.get("window-test", kind, key).expect("read").expect("there"))
            .map(|payload| payload.strip_prefix(&[1]).expect("version 1").to_vec())
            .collect()
    };
    let reads = stored(Kind::Read);
    let reads: Vec<StoredRead> = reads.iter().map(|read| StoredRead::decode(&read[..]).expect("a read")).collect();
    let drills: Vec<&StoredRead> = reads.iter().filter(|read| read.drill).collect();
    assert!(matches!(drills[..], [read] if read.text == "DR01LLL"), "{drills:?} of {}", reads.len());
    let hits = stored(Kind::Hit);
    let hits: Vec<StoredHit> = hits.iter().map(|hit| StoredHit::decode(&hit[..]).expect("a hit")).collect();
    assert!(
        matches!(&hits[..], [StoredHit { read: Some(read), reason }] if read.drill && reason == "TEST"),
        "{hits:?}"
    );
}
