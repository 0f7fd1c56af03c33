//! Picture files.

use super::*;
use crate::capture::{region_rgb, still};
use crate::fault::Kind;

#[test]
fn grey_pictures_keep_their_samples() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("grey.png");
    image::GrayImage::from_fn(37, 21, |x, y| image::Luma([sample(x as usize, y as usize, 0)]))
        .save(&path)
        .expect("written");
    let picture = still(&path).expect("a picture");
    assert!(picture.chroma().is_none());
    for y in 0..21 {
        let wanted: Vec<u8> = (0..37).map(|x| sample(x, y, 0)).collect();
        assert_eq!(picture.luma().row(y), wanted, "row {y}");
    }
}

#[test]
fn colours_survive_from_file_to_patch() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, (width, height)) in
        [("a.jpg", (321, 243)), ("b.png", (321, 243)), ("c.jpg", (64, 800)), ("d.png", (64, 800))]
    {
        for rgb in [[200, 30, 40], [20, 160, 60], [240, 240, 240], [230, 190, 20]] {
            let path = folder.path().join(name);
            image::RgbImage::from_pixel(width, height, image::Rgb(rgb)).save(&path).expect("written");
            let picture = still(&path).expect("a picture");
            let patch = region_rgb(&picture, 10, 10, 40, 40, 8, 8);
            assert_eq!(patch.len(), 8 * 8 * 3);
            for pixel in patch.chunks(3) {
                for (got, wanted) in pixel.iter().zip(rgb) {
                    assert!(got.abs_diff(wanted) <= 5, "{name}: {pixel:?} for {rgb:?}, {:?}", picture.colours());
                }
            }
        }
    }
}

#[test]
fn what_is_no_picture_is_refused_with_reason_and_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writable");
        path
    };
    let noise: Vec<u8> = (0..9_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let coloured = |name: &str| {
        let path = folder.path().join(name);
        image::RgbImage::from_fn(400, 300, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]))
            .save(&path)
            .expect("written");
        path
    };
    let cut_at = |name: &str, share: f64| {
        let path = coloured(name);
        cut(&path, share);
        path
    };
    let video = folder.path().join("video.mp4");
    make(&format!("videotestsrc num-buffers=3 ! x264enc ! mp4mux ! filesink location={}", video.display()));
    for (path, kind, says) in [
        (folder.path().join("absent.jpg"), Kind::Missing, "Check the name"),
        (folder.path().to_owned(), Kind::Missing, "it is a folder"),
        (file("empty.jpg", b""), Kind::Damaged, "empty"),
        (file("text.jpg", b"No picture, just words.\n"), Kind::Damaged, "not a video or picture"),
        (file("noise.jpg", &noise), Kind::Damaged, "not a video or picture"),
        (file("head.jpg", &[0xff, 0xd8, 0xff, 0xe0]), Kind::Damaged, "cut short"),
        (cut_at("cut.jpg", 0.5), Kind::Damaged, "cut short"),
        (cut_at("nearly.jpg", 0.999), Kind::Damaged, "cut short"),
        (cut_at("cut.png", 0.5), Kind::Damaged, "cut short"),
        (video, Kind::Damaged, "outrider replay"),
    ] {
        let fault = still(&path).err().unwrap_or_else(|| panic!("{} is no picture", path.display()));
        assert_eq!(fault.kind(), kind, "{fault}");
        let text = fault.to_string();
        assert!(text.contains(says) && text.starts_with(&path.display().to_string()) && text.ends_with('.'), "{text}");
    }
    still(&coloured("whole.jpg")).expect("whole");
    still(&coloured("whole.png")).expect("whole");
}

#[test]
fn a_thumbnail_inside_a_picture_is_not_its_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.jpg");
    image::RgbImage::from_pixel(64, 64, image::Rgb([90, 90, 90])).save(&path).expect("written");
    let whole = std::fs::read(&path).expect("just written");
    // An application segment that holds a whole small picture, as cameras write it.
    let mut bytes = whole[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(((whole.len() + 2) as u16).to_be_bytes());
    bytes.extend(&whole);
    bytes.extend(&whole[2..]);
    std::fs::write(&path, &bytes).expect("writable");
    still(&path).expect("whole");
    cut(&path, 0.9);
    assert_eq!(still(&path).err().map(|fault| fault.kind()), Some(Kind::Damaged));
}
