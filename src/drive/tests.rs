//! The drive as a whole: painted, encoded, decoded again, and true.

use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::scene::Scene;
use super::space::hull;
use super::*;

fn small(frames: u64) -> Plan {
    Plan { frames, ..Plan::sized(7, 640, 360) }
}

/// Frames and size that decoding gives.
fn decoded(video: &Path) -> (u64, i32, i32) {
    gst::init().expect("GStreamer starts");
    let text = "filesrc name=file ! decodebin ! videoconvert ! video/x-raw,format=I420 ! appsink name=out sync=false";
    let pipeline =
        gst::parse::launch(text).expect("the elements are there").downcast::<gst::Pipeline>().expect("a pipeline");
    pipeline.by_name("file").expect("named").set_property("location", video);
    let sink = pipeline.by_name("out").expect("named").downcast::<gstreamer_app::AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let (mut frames, mut size) = (0, (0, 0));
    while let Ok(sample) = sink.pull_sample() {
        let caps = sample.caps().expect("caps").structure(0).expect("a structure").to_owned();
        size = (caps.get("width").expect("a width"), caps.get("height").expect("a height"));
        frames += 1;
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    (frames, size.0, size.1)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_drive_is_rendered_once_and_decodes_to_its_frames() {
    let cache = tempfile::tempdir().expect("a folder");
    let plan = small(64);
    let mut heard = Vec::new();
    let files = render(&plan, cache.path(), &mut |done, total| heard.push((done, total))).expect("it renders");
    assert_eq!(heard.len(), 64);
    assert_eq!(heard.last(), Some(&(64, 64)));
    assert_eq!(decoded(&files.video), (64, 640, 360));
    let truth = Truth::parse(&std::fs::read_to_string(&files.truth).expect("it is there")).expect("it parses");
    assert_eq!(truth.seconds, 2.56);
    assert_eq!(names(&files.folder), ["drive.mp4", "drive.nmea", "hotlist.csv", "truth.jsonl"]);
    assert_eq!(names(cache.path()).len(), 1);

    let again = render(&plan, cache.path(), &mut |_, _| panic!("it is there already")).expect("it is found");
    assert_eq!(again, files);
    let other = Plan { seed: 8, ..Plan::sized(8, 640, 360) };
    assert_ne!(render_key(&other, cache.path()), files.folder);
}

/// The folder of a plan, without rendering it.
fn render_key(plan: &Plan, cache: &Path) -> PathBuf {
    cache.join(format!("drive-{}", film::key(plan)))
}

#[test]
fn a_killed_or_failed_rendering_leaves_nothing_behind() {
    let cache = tempfile::tempdir().expect("a folder");
    // What a killed process leaves: its number is above any that the system gives out.
    std::fs::create_dir(cache.path().join(".unfinished-abc-4194999")).expect("a folder");
    std::fs::write(cache.path().join(".unfinished-abc-4194999/drive.mp4"), b"half").expect("a file");
    let plan = small(12);
    let thrown = std::panic::catch_unwind(|| {
        render(&plan, cache.path(), &mut |done, _| assert!(done < 5, "the caller gives up"))
    });
    assert!(thrown.is_err());
    assert_eq!(names(cache.path()), Vec::<String>::new());

    let file = cache.path().join("file");
    std::fs::write(&file, b"").expect("a file");
    assert!(render(&plan, &file.join("below"), &mut |_, _| {}).is_err());
    let odd = Plan { width: 641, ..small(3) };
    assert_eq!(render(&odd, cache.path(), &mut |_, _| {}).expect_err("odd").kind(), crate::fault::Kind::Usage);
    assert_eq!(names(cache.path()), ["file"]);
}

#[test]
fn the_same_seed_gives_the_same_drive_and_another_seed_another() {
    let (a, b, c) = (small(3), small(3), Plan { frames: 3, ..Plan::sized(9, 640, 360) });
    let planes = |plan: &Plan| {
        let scene = Scene::new(plan).expect("a scene");
        (scene.film(&scene.paint(2).expect("a picture"), 2), papers::truth(&Plan::sized(plan.seed, 640, 360), &scene))
    };
    assert_eq!(planes(&a), planes(&b));
    assert_ne!(planes(&a).0, planes(&c).0);
    assert_eq!((papers::nmea(&a), papers::hotlist(&a).ok()), (papers::nmea(&b), papers::hotlist(&b).ok()));
}

/// The ground of a plate shows at the corners that the truth gives, and other paint just outside them.
#[test]
fn plates_are_painted_where_the_truth_has_them() {
    let plan = Plan::sized(7, 1280, 720);
    let scene = Scene::new(&plan).expect("a scene");
    let mut checked = vec![false; plan.passes.len()];
    for frame in (0..plan.frames).step_by(5) {
        let seen: Vec<_> = scene
            .plates(frame)
            .into_iter()
            .filter(|p| p.clear && !checked[p.pass] && hull(&p.corners)[2] > 52.0)
            .collect();
        if seen.is_empty() {
            continue;
        }
        let picture = scene.paint(frame).expect("a picture");
        let at = |x: f32, y: f32| {
            let p = picture.pixel(x as u32, y as u32).expect("inside");
            [p.red(), p.green(), p.blue()].map(i32::from)
        };
        for plate in seen {
            checked[plate.pass] = true;
            let c = plate.corners;
            let pass = &plan.passes[plate.pass];
            let middle = [(c[0][0] + c[2][0]) / 2.0, (c[0][1] + c[2][1]) / 2.0];
            // From the right-hand corners, where no badge is, towards the middle and away from it.
            for corner in [c[1], c[2]] {
                let (dx, dy) = (corner[0] - middle[0], corner[1] - middle[1]);
                let inner = at(middle[0] + dx * 0.94, middle[1] + dy * 0.80);
                let outer = at(corner[0] + dx.signum() * 2.5, corner[1] - dy.signum() * 3.0);
                let bright = inner[0].max(inner[1]);
                if pass.plate.material == Material::BlackAndSilver {
                    assert!(bright < 90, "frame {frame} pass {}: {inner:?}", plate.pass);
                } else {
                    assert!(
                        bright > outer[0].max(outer[1]) / 2 && bright > 60,
                        "frame {frame} pass {}: {inner:?} {outer:?}",
                        plate.pass
                    );
                    if pass.plate.material == Material::Yellow {
                        assert!(inner[0] > inner[2] * 2, "frame {frame} pass {}: {inner:?} is not yellow", plate.pass);
                    }
                }
                assert!(
                    (0..3).any(|i| (inner[i] - outer[i]).abs() > 10),
                    "frame {frame} pass {}: inside and outside look alike, {inner:?} {outer:?}",
                    plate.pass
                );
            }
        }
    }
    assert!(checked.iter().all(|c| *c), "{checked:?}");
}

/// What makes the demo worth watching: each plate is large enough for long enough to be read, and all fit their
/// vehicles' script.
#[test]
fn every_plate_is_readable_for_a_while() {
    let plan = Plan::demo(7);
    let scene = Scene::new(&plan).expect("a scene");
    let mut wide = vec![(0_u32, 0.0_f32); plan.passes.len()];
    for frame in 0..plan.frames {
        for plate in scene.plates(frame).iter().filter(|p| p.clear) {
            let w = hull(&plate.corners)[2];
            let entry = &mut wide[plate.pass];
            entry.0 += u32::from(w >= 90.0);
            entry.1 = entry.1.max(w);
        }
    }
    for (pass, (frames, largest)) in wide.iter().enumerate() {
        let seconds = f64::from(*frames) / f64::from(plan.fps);
        assert!(seconds >= 0.64, "pass {pass}: {seconds} s, at most {largest} px");
        assert!((90.0..265.0).contains(largest), "pass {pass}: {largest} px");
    }
}

/// Writes pictures to look at: `OUTRIDER_FRAMES=folder cargo test --release --lib drive:: -- --ignored`.
#[test]
#[ignore = "for people who want to look at frames"]
fn frames_to_look_at() {
    let Some(folder) = std::env::var_os("OUTRIDER_FRAMES").map(PathBuf::from) else { return };
    let plan = Plan::demo(7);
    let scene = Scene::new(&plan).expect("a scene");
    let list = std::env::var("OUTRIDER_SECONDS").unwrap_or_else(|_| "1,5,9,11,16,25,38,41,44,48,52,57".into());
    for t in list.split(',').filter_map(|t| t.parse::<f32>().ok()) {
        let frame = (t * plan.fps as f32) as u64;
        let picture = scene.paint(frame).expect("a picture");
        let rgb: Vec<u8> = picture.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
        image::save_buffer(folder.join(format!("{t:05.1}.png")), &rgb, plan.width, plan.height, image::ColorType::Rgb8)
            .expect("it can be written");
    }
}
