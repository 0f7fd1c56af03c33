//! The administrator's guide, as somebody new follows it: the shell blocks of `docs/guide/office.md` are run as they stand,
//! with the real programs, in an empty folder.
//!
//! Only what must differ from machine to machine is put in its place: the office's name and port, the code that was read out,
//! the names of a certificate and of an open code, a PIN for who has no terminal.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const GUIDE: &str = include_str!("../docs/guide/office.md");
/// The code, the code's name and the certificate that the guide shows.
const SHOWN_CODE: &str = "K7QM-3PXD-WVAB-CDEF-GHJK-LMNP";
const SHOWN_NAME: &str = "--withdraw K7QM";
const SHOWN_CERTIFICATE: &str = "5f0c2a9be1d34477";

/// The shell blocks, in order.
fn blocks() -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in GUIDE.lines() {
        match (&mut open, line) {
            (None, "```sh") => open = Some(Vec::new()),
            (Some(lines), "```") => {
                blocks.push(lines.join("\n"));
                open = None;
            }
            (Some(lines), line) => lines.push(line),
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// A program that runs while others are typed; it ends with the test.
struct Running(Child);

impl Running {
    /// Asks it to end, as a service manager does.
    fn end(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().expect("kill starts");
        assert!(asked.success() && self.0.wait().expect("it ends").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Desk {
    folder: tempfile::TempDir,
    port: u16,
    /// What `outrider-office enrol` printed last.
    code: String,
}

impl Desk {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn shell(&self, script: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_outrider")).parent().expect("a folder");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command
            .args(["-euc", script])
            .current_dir(self.path())
            .env("PATH", path)
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str) -> Output {
        let output = self.shell(script).output().expect("bash starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{}{said}", String::from_utf8_lossy(&output.stdout));
        assert!(!said.contains("panicked"), "{said}");
        output
    }

    /// Starts what does not end by itself.
    fn start(&self, script: &str) -> Running {
        Running(self.shell(&format!("exec {script}")).stdout(Stdio::piped()).spawn().expect("bash starts"))
    }

    fn serve(&self, script: &str) -> Running {
        let mut service = self.start(script);
        let mut line = String::new();
        BufReader::new(service.0.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it serves");
        assert!(line.contains("serving on"), "{line}");
        service
    }

    /// Whether the car is connected, as the office says.
    fn connected(&self) -> bool {
        let fleet = self.run("outrider-office fleet --data office --json").stdout;
        let fleet: serde_json::Value = serde_json::from_slice(&fleet).expect("JSON");
        fleet["units"]["car-01"]["connected"] == true
    }

    fn wait(&self, what: &str, wanted: impl Fn() -> bool) -> Duration {
        let start = Instant::now();
        while !wanted() {
            assert!(start.elapsed() < Duration::from_secs(60), "{what} did not happen");
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    }

    /// The lines of a block as they are typed here.
    fn here(&self, block: &str) -> String {
        let certificate = || {
            let units = self.run("outrider-office units --data office --unit car-03 --json").stdout;
            let unit: serde_json::Value = serde_json::from_slice(&units).expect("one line");
            unit["certificate"].as_str().expect("a name").to_owned()
        };
        let mut block = block
            .replace("0.0.0.0:4433", &format!("127.0.0.1:{}", self.port))
            .replace("office.example.org", "localhost")
            .replace(SHOWN_CODE, &self.code);
        if block.contains(SHOWN_NAME) {
            // Asked for where it is typed: the block makes the code itself.
            let name = "$(outrider-office codes --data office --json | sed 's/.*\"name\":\"\\([^\"]*\\)\".*/\\1/')";
            block = block.replace(SHOWN_NAME, &format!("--withdraw {name}"));
        }
        if block.contains(SHOWN_CERTIFICATE) {
            block = block.replace(SHOWN_CERTIFICATE, &certificate());
        }
        if block.contains(" people ") {
            block = block.replace("--role crew", "--role crew --new-pin-file pin");
        }
        block
    }
}

#[test]
fn whoever_follows_the_guide_has_an_office_and_a_car_that_is_enrolled_renewed_and_cut_off() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let mut desk = Desk { folder: tempfile::tempdir().expect("a folder"), port, code: String::new() };
    std::fs::write(desk.path().join("pin"), "480615\n").expect("written");
    image::RgbImage::from_pixel(640, 480, image::Rgb([90, 90, 90]))
        .save(desk.path().join("camera.png"))
        .expect("written");
    // A whole car, with the lines that the guide has of it.
    let toml = GUIDE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    let (unit, office) = toml.split_once("\n\n").expect("two parts");
    let car = format!(
        "{unit}\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = {{ file = \"camera.png\" }}\nrepeat = true\n\
         [sound]\nenabled = false\n[screen]\nenabled = false\n[journal]\nkey = {{ file = \"token\" }}\n{office}"
    );
    let car = desk.here(&car).replace("localhost:4433", &format!("localhost:{port}")).replace("/var/lib/outrider/", "");
    std::fs::write(desk.path().join("car.toml"), car).expect("written");
    desk.run("outrider journal token token");

    let (mut service, mut running) = (None, None);
    let (mut enrolled, mut cut_off, mut restored) = (0, 0, false);
    for block in blocks() {
        let typed = desk.here(&block);
        if typed.starts_with("outrider-office serve") {
            service = Some((desk.serve(&typed), typed));
            continue;
        }
        if typed.starts_with("outrider run") {
            running = Some(desk.start(&typed));
            desk.wait("the connection", || desk.connected());
            desk.wait("what is set in the car", || {
                let said = desk.run("outrider-office settings --data office").stdout;
                String::from_utf8_lossy(&said).contains("holds this revision")
            });
            continue;
        }
        if typed.starts_with("tar -czf")
            && let Some((service, _)) = &mut service
        {
            service.end();
        }
        let output = String::from_utf8(desk.run(&typed).stdout).expect("text");
        if block.contains("outrider-office enrol") && !block.contains("--folder") {
            let code = output.lines().next().unwrap_or_default();
            assert!(code.len() == SHOWN_CODE.len() && code.matches('-').count() == 5, "{output}");
            desk.code = code.to_owned();
        }
        if block.contains("outrider enrol") {
            assert!(output.contains("car-01 is enrolled"), "{output}");
            enrolled += 1;
        }
        if block.contains("outrider doctor") {
            for part in ["ok     identity: the certificate counts until", "ok     office: it welcomes this car"] {
                assert!(output.contains(part), "{output}");
            }
        }
        if block.contains("names --data office --add") {
            assert!(output.lines().any(|line| line == "anpr.example.org"), "{output}");
            assert!(desk.connected(), "the car stays connected");
        }
        if block.contains("revoke --data office --unit") {
            assert!(output.contains("car-01 is cut off"), "{output}");
            let took = desk.wait("the end of the connection", || !desk.connected());
            println!("the office says that the car is gone after {took:?}");
            cut_off += 1;
        }
        if block.contains("tar -xzf") {
            let (_, typed) = service.take().expect("it ran");
            service = Some((desk.serve(&typed), typed));
            restored = true;
        }
    }
    assert_eq!((enrolled, cut_off, restored), (2, 1, true));
    let record = desk.run("outrider-office units --data office --record").stdout;
    let record = String::from_utf8(record).expect("text");
    for line in ["car-01 enrolled by code", "car-03 enrolled by folder", "for car-02 withdrawn", "car-01 revoked"] {
        assert!(record.contains(line), "{line:?} is not in:\n{record}");
    }
    if let Some(unit) = &mut running {
        unit.end();
    }
    if let Some((service, _)) = &mut service {
        service.end();
    }
}
