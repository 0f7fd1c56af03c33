//! The whole program in a real window, touched by a real pointer: an alert is raised from a film, answered on the screen,
//! and the verdict is found in the journal. Runs where Xvfb and xdotool are, and says so where they are not.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use outrider::drive::{Plan, render};
use serde_json::Value;

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
        .args(["-displayfd", "1", "-screen", "0", "1024x600x24", "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb starts");
    let mut server = Running(server);
    let mut number = String::new();
    BufReader::new(server.0.stdout.take().expect("piped")).read_line(&mut number).expect("Xvfb says its number");
    (server, format!(":{}", number.trim()))
}

fn outrider(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_outrider")).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
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

#[test]
fn an_alert_in_a_real_window_is_answered_by_a_real_pointer_and_the_verdict_is_kept() {
    for program in ["Xvfb", "xdotool"] {
        if !is_there(program) {
            eprintln!("NOT TESTED: {program} is not there; `./x test` installs it");
            return;
        }
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outrider");
    std::fs::create_dir_all(&cache).expect("a cache");
    // The film that the test of the demo plays, too.
    let film = render(&Plan::sized(1, 960, 540), &cache, &mut |_, _| ()).expect("painted");
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
    let unit = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["run", "--config", &path("car.toml")])
        .env("DISPLAY", &display)
        .env_remove("WAYLAND_DISPLAY")
        .env("OUTRIDER_LOG", "outrider=info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut unit = Running(unit);
    let (said, lines) = channel();
    let errors = unit.0.stderr.take().expect("piped");
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });

    // An alert may be corrected or withdrawn while the pointer is on its way, and a newer one takes the place of the question
    // for a reason, as on the road; then the next one is answered.
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "no alert was answered within {PATIENCE:?}");
        wait_for(&lines, "alert drawn", PATIENCE);
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
    let ended = Command::new("kill").args(["-TERM", &unit.0.id().to_string()]).status().expect("kill starts");
    assert!(ended.success());
    let mut left = Vec::new();
    let status = unit.0.wait().expect("it ends");
    lines.try_iter().for_each(|line| left.push(line));
    assert!(status.success(), "{status}: {}", left.join("\n"));

    outrider(&["journal", "export", "--data", &path("data"), "--out", &path("export")]);
    let mut text = String::new();
    std::fs::File::open(path("export/reads.jsonl")).expect("exported").read_to_string(&mut text).expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
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
