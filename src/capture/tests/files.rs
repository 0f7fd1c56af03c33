//! Video files, made here by GStreamer itself.

use super::*;
use crate::capture::feed::{Step, Stream};
use crate::capture::{Pace, pipeline, probe};
use crate::fault::Kind;

const X264: &str = "x264enc speed-preset=ultrafast key-int-max=10";

fn video(count: usize, size: (usize, usize), then: &str, path: &Path) {
    let (width, height) = size;
    make(&format!(
        "videotestsrc num-buffers={count} ! video/x-raw,width={width},height={height},framerate=30/1 ! {then} ! filesink location={}",
        path.display()
    ));
}

#[test]
fn every_frame_of_every_container_arrives_once_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut kinds = vec![
        ("a.mp4", format!("{X264} ! mp4mux")),
        ("b.mkv", format!("{X264} bframes=2 ! matroskamux")),
        ("c.mov", format!("{X264} ! qtmux faststart=true")),
        ("d.avi", "jpegenc ! avimux".to_owned()),
    ];
    if has("x265enc") {
        kinds.push(("e.mp4", "x265enc speed-preset=ultrafast log-level=none ! h265parse ! mp4mux".to_owned()));
        kinds.push(("f.mkv", "x265enc speed-preset=ultrafast log-level=none ! h265parse ! matroskamux".to_owned()));
    }
    for (name, encode) in kinds {
        let path = folder.path().join(name);
        video(45, (854, 480), &encode, &path);
        let mut feed = open_file(&path, Pace::AsFast).expect(name);
        let counters = feed.counters();
        let (frames, fault) = play(&mut feed);
        assert!(fault.is_none(), "{name}: {fault:?}");
        assert_eq!(frames.len(), 45, "{name}");
        for (number, frame) in frames.iter().enumerate() {
            assert_eq!(frame.number, number as u64, "{name}");
            let due = Duration::from_secs_f64(number as f64 / 30.0);
            // Matroska counts whole milliseconds, and may start with the encoder's delay.
            let from_start = frame.time - frames[0].time;
            assert!(from_start.abs_diff(due) <= Duration::from_millis(1), "{name}: {:?} for {due:?}", frame.time);
            assert_eq!((frame.picture.width(), frame.picture.height()), (854, 480));
        }
        assert_eq!((counters.delivered(), counters.dropped(), counters.restarts()), (45, 0, 0), "{name}");
        assert!(matches!(feed.next(Duration::ZERO), Event::End), "an end stays an end");
    }
}

#[test]
fn samples_are_the_files_own_whatever_the_stride() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (width, height) in [(854, 480), (321, 243), (64, 48), (1280, 720)] {
        let source = folder.path().join("in.y4m");
        write_y4m(&source, width, height, 3);
        let from = format!("filesrc location={} ! y4mdec", source.display());
        // The file's planes as they are, without loss.
        let mut kinds = vec![("i420.mkv", "matroskamux")];
        if width % 2 == 0 && height % 2 == 0 {
            kinds.push(("h264.mp4", "x264enc pass=quant quantizer=0 speed-preset=ultrafast ! mp4mux"));
        }
        for (name, then) in kinds {
            let path = folder.path().join(name);
            make(&format!("{from} ! {then} ! filesink location={}", path.display()));
            let (frames, fault) = play(&mut open_file(&path, Pace::AsFast).expect(name));
            assert!(fault.is_none(), "{name}: {fault:?}");
            assert_eq!(frames.len(), 3, "{name}");
            for (number, frame) in frames.iter().enumerate() {
                assert_samples(&frame.picture, number);
            }
        }
    }
}

#[test]
fn interleaved_chroma_is_taken_as_it_is() {
    reason::start_gstreamer().expect("GStreamer starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("in.y4m");
    for (width, height) in [(854, 480), (321, 243)] {
        write_y4m(&path, width, height, 5);
        let description =
            format!("filesrc location={} ! y4mdec ! videoconvert ! video/x-raw,format=NV12 ! identity", path.display());
        let from = gst::parse::bin_from_description(&description, true).expect("a valid bin");
        let mut pipeline =
            pipeline::live(Source::Device("/dev/video-test".into()), from.upcast_ref()).expect("it starts");
        let mut next = 0;
        loop {
            match pipeline.poll(LONG) {
                Step::Picture(shot) => {
                    let number = next + shot.skipped;
                    assert_samples(&shot.picture, number as usize);
                    assert_eq!(shot.picture.chroma().map(|(blue, red)| (blue.step, red.step)), Some((2, 2)));
                    next = number + 1;
                }
                Step::Ended => break,
                Step::Nothing => panic!("stalled"),
                Step::Failed(fault) => panic!("{fault}"),
            }
        }
        assert_eq!(next, 5, "the newest picture is never the one that is dropped");
    }
}

#[test]
fn a_stream_may_change_its_size() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bytes = Vec::new();
    for size in [(320, 240), (640, 360), (320, 240)] {
        let path = folder.path().join("part.h264");
        let encode = format!("{X264} ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream");
        video(10, size, &encode, &path);
        bytes.extend(std::fs::read(&path).expect("just written"));
    }
    let path = folder.path().join("changing.h264");
    std::fs::write(&path, bytes).expect("writable");
    let (frames, fault) = play(&mut open_file(&path, Pace::AsFast).expect("a video"));
    assert!(fault.is_none(), "{fault:?}");
    let widths: Vec<_> = frames.iter().map(|frame| frame.picture.width()).collect();
    assert_eq!(widths, [[320; 10], [640; 10], [320; 10]].concat());
    for frame in &frames {
        let luma = frame.picture.luma();
        assert_eq!(luma.row(luma.height - 1).len(), luma.width);
    }
}

#[test]
fn sound_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let both = folder.path().join("both.mkv");
    make(&format!(
        "matroskamux name=m ! filesink location={} \
         videotestsrc num-buffers=30 ! video/x-raw,width=320,height=240,framerate=30/1 ! {X264} ! queue ! m. \
         audiotestsrc num-buffers=40 ! opusenc ! queue ! m.",
        both.display()
    ));
    let (frames, fault) = play(&mut open_file(&both, Pace::AsFast).expect("a video"));
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(frames.len(), 30);

    let sound = folder.path().join("sound.mkv");
    make(&format!("audiotestsrc num-buffers=40 ! opusenc ! matroskamux ! filesink location={}", sound.display()));
    let fault = open_file(&sound, Pace::AsFast).err().expect("there is no video in it");
    assert_eq!(fault.kind(), Kind::Damaged);
    assert!(fault.to_string().contains("no video"), "{fault}");
}

#[test]
fn what_is_no_video_is_refused_with_reason_and_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writable");
        path
    };
    let noise: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (path, kind, says) in [
        (folder.path().join("absent.mp4"), Kind::Missing, "Check the name"),
        (folder.path().to_owned(), Kind::Missing, "it is a folder"),
        (file("empty.mp4", b""), Kind::Damaged, "the file is empty"),
        (file("text.mp4", b"A text file, and no video at all.\n"), Kind::Damaged, "not a video"),
        (file("noise.mp4", &noise), Kind::Damaged, "not a video"),
    ] {
        for pace in [Pace::AsFast, Pace::Realtime] {
            let fault = open_file(&path, pace).err().unwrap_or_else(|| panic!("{} is no video", path.display()));
            assert_eq!(fault.kind(), kind, "{fault}");
            let text = fault.to_string();
            assert!(text.contains(says) && text.starts_with(&path.display().to_string()), "{text}");
            assert!(text.ends_with('.'), "{text}");
        }
    }
}

#[test]
fn a_recording_without_its_index_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cut.mp4");
    video(40, (320, 240), &format!("{X264} ! mp4mux"), &path);
    cut(&path, 0.6);
    let fault = open_file(&path, Pace::AsFast).err().expect("the index comes last and is gone");
    assert_eq!(fault.kind(), Kind::Damaged, "{fault}");
    assert!(fault.to_string().contains("cut short"), "{fault}");
}

#[test]
fn a_recording_cut_in_the_middle_gives_what_is_there_and_then_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, mux) in [("cut.mkv", "matroskamux"), ("cut.mp4", "mp4mux faststart=true")] {
        let path = folder.path().join(name);
        video(60, (320, 240), &format!("{X264} ! {mux}"), &path);
        cut(&path, 0.5);
        let (frames, fault) = play(&mut open_file(&path, Pace::AsFast).expect(name));
        assert!((15..60).contains(&frames.len()), "{name}: {} frames", frames.len());
        let fault = fault.unwrap_or_else(|| panic!("{name}: the cut goes unnoticed"));
        assert_eq!(fault.kind(), Kind::Damaged, "{fault}");
        let text = fault.to_string();
        assert!(text.contains("cut short") && text.contains(&format!("{} pictures", frames.len())), "{text}");
    }
}

#[test]
fn realtime_takes_the_files_time_and_loses_nothing_to_a_quick_consumer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.mp4");
    video(20, (320, 240), &format!("{X264} ! mp4mux"), &path);
    let mut feed = open_file(&path, Pace::Realtime).expect("a video");
    let counters = feed.counters();
    let (frames, fault) = play(&mut feed);
    assert!(fault.is_none(), "{fault:?}");
    let (first, last) = (&frames[0], &frames[frames.len() - 1]);
    // On a loaded machine this consumer may be the slow one; whatever happens is counted.
    assert_eq!(counters.delivered() + counters.dropped(), 20);
    assert_eq!(counters.delivered(), frames.len() as u64);
    assert!(last.at.since(first.at) + Duration::from_millis(150) >= last.time - first.time, "it ran ahead of time");
}

#[test]
fn a_slow_consumer_gets_the_newest_frame_and_every_other_is_counted() {
    reason::start_gstreamer().expect("GStreamer starts");
    let from = gst::parse::bin_from_description(
        "videotestsrc is-live=true num-buffers=50 ! video/x-raw,format=I420,width=320,height=240,framerate=100/1 ! identity",
        true,
    )
    .expect("a valid bin");
    let source = Source::Device("/dev/video-test".into());
    let mut pipeline = pipeline::live(source, from.upcast_ref()).expect("it starts");
    let (mut delivered, mut dropped, mut last) = (0, 0, Duration::ZERO);
    loop {
        match pipeline.poll(LONG) {
            Step::Picture(shot) => {
                delivered += 1;
                dropped += shot.skipped;
                last = shot.time;
                // Busy with the first picture until the camera has given its last.
                pipeline.wait_for_end();
            }
            Step::Ended => break,
            Step::Nothing => panic!("stalled"),
            Step::Failed(fault) => panic!("{fault}"),
        }
    }
    dropped += pipeline.left_over();
    assert_eq!(delivered + dropped, 50);
    assert!((2..=4).contains(&delivered), "{delivered} delivered");
    assert!(last >= Duration::from_millis(480), "the last picture handed out is of {last:?}");
}

#[test]
fn a_repeated_file_goes_on_with_increasing_time_and_number() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.mp4");
    video(8, (320, 240), &format!("{X264} ! mp4mux"), &path);
    let camera = Camera { repeat: true, ..camera(Source::File(path)) };
    let mut feed = open(&camera, Pace::AsFast, RealClock::shared()).expect("a video");
    let mut frames = Vec::new();
    while frames.len() < 24 {
        match feed.next(LONG) {
            Event::Frame(frame) => frames.push((frame.number, frame.time)),
            Event::Lost(fault) => panic!("{fault}"),
            _ => panic!("a repeated file gives frames and nothing else"),
        }
    }
    for (number, (got, time)) in frames.iter().enumerate() {
        assert_eq!(*got, number as u64);
        let due = Duration::from_secs_f64(number as f64 / 30.0);
        assert!(time.abs_diff(due) <= Duration::from_millis(1), "{time:?} for {due:?}");
    }
    assert_eq!(feed.counters().restarts(), 0);
}

#[test]
fn a_file_may_have_a_name_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (plain, odd) = (folder.path().join("a.mp4"), folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.mp4")));
    video(5, (320, 240), &format!("{X264} ! mp4mux"), &plain);
    std::fs::rename(&plain, &odd).expect("renamed");
    let (frames, fault) = play(&mut open_file(&odd, Pace::AsFast).expect("a video"));
    assert_eq!((frames.len(), fault.is_none()), (5, true));
}

#[test]
fn a_picture_file_is_a_video_of_one_frame() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.jpg");
    video(1, (321, 243), "jpegenc", &path);
    for pace in [Pace::AsFast, Pace::Realtime] {
        let (frames, fault) = play(&mut open_file(&path, pace).expect("a picture"));
        assert!(fault.is_none(), "{fault:?}");
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].picture.width(), frames[0].picture.height()), (321, 243));
    }
    let frame = probe(&camera(Source::File(path)), RealClock::shared()).expect("a picture");
    assert_eq!((frame.number, &*frame.camera), (0, "front"));
}

#[test]
fn a_missing_decoder_is_named() {
    // A codec that no Debian package decodes stands in for one whose package is not installed.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("odd.mkv");
    video(5, (320, 240), &format!("{X264} ! matroskamux"), &path);
    let mut bytes = std::fs::read(&path).expect("just written");
    let codec = b"V_MPEG4/ISO/AVC";
    let at = bytes.windows(codec.len()).position(|window| window == codec).expect("the codec's name");
    bytes[at..at + codec.len()].copy_from_slice(b"V_UNHEARD/OF/XY");
    std::fs::write(&path, bytes).expect("writable");
    let fault = open_file(&path, Pace::AsFast).err().expect("nothing decodes it");
    assert_eq!(fault.kind(), Kind::Missing, "{fault}");
    assert!(fault.to_string().contains("gstreamer1.0-libav"), "{fault}");
}
