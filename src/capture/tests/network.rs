//! Live sources over real sockets and device names.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::capture::{Pace, probe};
use crate::fault::Kind;

#[test]
fn a_device_that_is_not_there_is_lost_not_an_error() {
    let camera = camera(Source::Device("/dev/video99".into()));
    let mut feed = open(&camera, Pace::Realtime, RealClock::shared()).expect("a unit comes up with a dead camera");
    let Event::Lost(fault) = feed.next(LONG) else { panic!("not lost") };
    assert_eq!(fault.kind(), Kind::Missing, "{fault}");
    assert!(fault.to_string().starts_with("/dev/video99: the camera is not there"), "{fault}");
    assert!(matches!(feed.next(Duration::ZERO), Event::Quiet));
    assert_eq!(probe(&camera, RealClock::shared()).err().map(|fault| fault.kind()), Some(Kind::Missing));
    let fault = open(&camera, Pace::AsFast, RealClock::shared()).err().expect("a camera cannot be hurried");
    assert_eq!(fault.kind(), Kind::Usage);
}

#[test]
fn a_network_camera_that_does_not_answer_is_lost_without_showing_its_password() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let camera = camera(Source::Rtsp(format!("rtsp://admin:secret@127.0.0.1:{port}/live")));
    let mut feed = open(&camera, Pace::Realtime, RealClock::shared()).expect("no error yet");
    let Event::Lost(fault) = feed.next(LONG) else { panic!("not lost") };
    let text = fault.to_string();
    assert_eq!(fault.kind(), Kind::Unavailable, "{text}");
    assert!(text.starts_with(&format!("rtsp://127.0.0.1:{port}/live: ")), "{text}");
    assert!(!text.contains("secret") && !text.contains("admin"), "{text}");
}

/// What the stand-in for a network camera sends: how it describes itself, and its RTP packets.
struct Recording {
    sdp: String,
    packets: Vec<Vec<u8>>,
}

fn record() -> Recording {
    reason::start_gstreamer().expect("GStreamer starts");
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=30 ! video/x-raw,width=320,height=240,framerate=30/1 ! \
         x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 ! video/x-h264,profile=baseline ! \
         rtph264pay config-interval=-1 mtu=1400 pt=96 ! appsink name=out sync=false",
    )
    .expect("a valid pipeline")
    .downcast::<gst::Pipeline>()
    .expect("a pipeline");
    let sink = pipeline.by_name("out").expect("named").downcast::<gstreamer_app::AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let (mut packets, mut sets) = (Vec::new(), String::new());
    while let Ok(sample) = sink.pull_sample() {
        let caps = sample.caps().and_then(|caps| caps.structure(0)).expect("it has caps");
        sets = caps.get("sprop-parameter-sets").unwrap_or(sets);
        let buffers = sample
            .buffer_list_owned()
            .map(|list| list.iter_owned().collect())
            .unwrap_or_else(|| sample.buffer_owned().into_iter().collect::<Vec<_>>());
        packets.extend(buffers.iter().map(|buffer| buffer.map_readable().expect("readable").to_vec()));
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=stand-in\r\nt=0 0\r\n\
         m=audio 0 RTP/AVP 0\r\na=control:sound\r\n\
         m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:video\r\n\
         a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
    );
    Recording { sdp, packets }
}

/// Answers one client until it hangs up or `hang_up` says so; `refuse` answers every question with that status.
fn serve(stream: TcpStream, recording: &Recording, refuse: Option<&str>, hang_up: &mpsc::Receiver<()>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let method = lines.first()?.split(' ').next()?.to_owned();
        let number = lines.iter().find_map(|line| line.strip_prefix("CSeq: "))?.to_owned();
        assert!(!lines[0].contains("/sound"), "sound is asked for: {}", lines[0]);
        let answer = match (refuse, method.as_str()) {
            (Some(status), "DESCRIBE") => {
                format!("RTSP/1.0 {status}\r\nCSeq: {number}\r\nWWW-Authenticate: Basic realm=\"camera\"\r\n\r\n")
            }
            (_, "OPTIONS") => {
                format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n")
            }
            (_, "DESCRIBE") => format!(
                "RTSP/1.0 200 OK\r\nCSeq: {number}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}",
                recording.sdp.len(),
                recording.sdp
            ),
            (_, "SETUP") => format!(
                "RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 42\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
            ),
            _ => format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 42\r\n\r\n"),
        };
        writer.write_all(answer.as_bytes()).ok()?;
        if method == "PLAY" {
            for packet in &recording.packets {
                let [high, low] = (packet.len() as u16).to_be_bytes();
                writer.write_all(&[b'$', 0, high, low]).ok()?;
                writer.write_all(packet).ok()?;
            }
            let _ = hang_up.recv();
            let _ = writer.shutdown(std::net::Shutdown::Both);
            return Some(());
        }
    }
}

#[test]
fn a_network_camera_that_dies_comes_back_by_itself() {
    let recording = record();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("bound").port();
    let (hang_up, hung_up) = mpsc::channel();
    let server = thread::spawn(move || {
        let mut played = 0;
        while played < 2 {
            let (stream, _) = socket.accept().expect("a client");
            played += usize::from(serve(stream, &recording, None, &hung_up).is_some());
        }
    });
    let camera = camera(Source::Rtsp(format!("rtsp://127.0.0.1:{port}/live")));
    let mut feed = open(&camera, Pace::Realtime, RealClock::shared()).expect("no error");
    let first = |feed: &mut Feed, wanted: &str| match feed.next(LONG) {
        Event::Frame(frame) => {
            assert_eq!((frame.picture.width(), frame.picture.height()), (320, 240));
            "frame"
        }
        Event::Lost(_) => "lost",
        Event::Back => "back",
        Event::Quiet => panic!("nothing instead of {wanted}"),
        Event::End => panic!("a live source has no end"),
    };
    assert_eq!(first(&mut feed, "frame"), "frame");
    hang_up.send(()).expect("the camera is there");
    // Frames that were under way may still come.
    while first(&mut feed, "lost") == "frame" {}
    assert_eq!(first(&mut feed, "back"), "back");
    assert_eq!(first(&mut feed, "frame"), "frame");
    assert_eq!(feed.counters().restarts(), 1);
    hang_up.send(()).expect("the camera is there");
    drop(feed);
    server.join().expect("the stand-in has not failed");
}

#[test]
fn what_a_network_camera_refuses_is_named() {
    for (status, kind, says) in [
        ("401 Unauthorized", Kind::Denied, "user name and password"),
        ("404 Not Found", Kind::Missing, "no stream of that name"),
        ("503 Service Unavailable", Kind::Unavailable, "Check its power"),
    ] {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let (_keep, hung_up) = mpsc::channel();
        thread::spawn(move || {
            let nothing = Recording { sdp: String::new(), packets: Vec::new() };
            while let Ok((stream, _)) = socket.accept() {
                serve(stream, &nothing, Some(status), &hung_up);
            }
        });
        let camera = camera(Source::Rtsp(format!("rtsp://admin:secret@127.0.0.1:{port}/live")));
        let fault = probe(&camera, RealClock::shared()).err().expect("it refuses");
        assert_eq!(fault.kind(), kind, "{fault}");
        assert!(fault.to_string().contains(says) && !fault.to_string().contains("secret"), "{fault}");
    }
}
