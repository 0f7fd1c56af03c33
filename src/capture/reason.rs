//! What GStreamer says on the bus, in words that somebody can act on.

use std::path::Path;

use gstreamer as gst;
use gstreamer::glib;

use crate::config::{Source, without_secrets};
use crate::fault::{Fault, Kind, Result};

/// What to install when an element is not there.
const PLUGINS: &str = "Install the Debian packages gstreamer1.0-plugins-base, -good, -bad and gstreamer1.0-libav";

/// Starts GStreamer, once for the whole program.
pub(super) fn start_gstreamer() -> Result<()> {
    use std::sync::OnceLock;
    static STARTED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        // Libraries below GStreamer complain on standard error; that belongs in the log.
        glib::log_set_default_handler(|domain, _level, text| {
            tracing::debug!(domain = domain.unwrap_or("glib"), "{}", without_secrets(text));
        });
        gst::init().map_err(|error| error.to_string())
    });
    started.clone().map_err(|why| {
        Fault::new(Kind::Internal, "GStreamer does not start")
            .because(why)
            .remedy("Reinstall the package libgstreamer1.0-0")
    })
}

/// An element of GStreamer by name.
pub(super) fn element(name: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(name).build().map_err(|_| missing_element(name))
}

pub(super) fn missing_element(name: &str) -> Fault {
    Fault::new(Kind::Missing, format!("GStreamer has no element {name}")).remedy(PLUGINS)
}

/// An elementary failure while a pipeline is put together: not the input's fault.
pub(super) fn wiring(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(Kind::Internal, "cannot put the pipeline together").because(error)
}

/// Checks what the file system knows about a file before GStreamer sees it.
pub(super) fn check_file(path: &Path, what: &str) -> Result<()> {
    let cannot = format!("cannot open the {what}");
    let about = std::fs::metadata(path).map_err(|error| {
        Fault::io(cannot.clone(), path, error)
            .remedy("Check the name; paths in a configuration are relative to its folder")
    })?;
    let fault = |kind, why: &str, remedy: String| {
        Err(Fault::new(kind, cannot.clone()).at(path.display()).because(why).remedy(remedy))
    };
    if about.is_dir() {
        return fault(Kind::Missing, "it is a folder", format!("Name a {what} file in it"));
    }
    if about.is_file() && about.len() == 0 {
        return fault(Kind::Damaged, "the file is empty", "Copy or record it again".to_owned());
    }
    std::fs::File::open(path)
        .map(drop)
        .map_err(|error| Fault::io(cannot.clone(), path, error).remedy("Give this user the right to read it"))
}

/// Where a source is, as may be shown and logged: an address without its password.
pub(super) fn place(source: &Source) -> String {
    match source {
        Source::File(path) | Source::Device(path) => path.display().to_string(),
        Source::Rtsp(url) => without_secrets(url),
    }
}

/// The fault that an error message on the bus amounts to. `lacking` names a decoder that was asked for in vain;
/// `has_video` says whether any video came out of the container.
pub(super) fn of_error(
    source: &Source,
    error: &glib::Error,
    detail: Option<&str>,
    lacking: Option<&str>,
    has_video: bool,
) -> Fault {
    use gst::{CoreError, ResourceError as R, StreamError as S};
    let why = explain(error, detail);
    let resource = error.kind::<R>();
    let stream = error.kind::<S>();
    if lacking.is_some() || error.matches(CoreError::MissingPlugin) || stream == Some(S::CodecNotFound) {
        let what = match lacking {
            Some(name) => format!("cannot decode this video: no {name} is installed"),
            None => "cannot decode this video: no decoder for it is installed".to_owned(),
        };
        return Fault::new(Kind::Missing, what).at(place(source)).because(why).remedy(PLUGINS);
    }
    let (kind, what, remedy) = match source {
        Source::File(path) => {
            if let Some(cut) = super::whole::cut_short(path) {
                return Fault::new(Kind::Damaged, "cannot play the video to its end")
                    .at(path.display())
                    .because(cut)
                    .remedy("Copy or record it again");
            }
            match stream {
                Some(S::TypeNotFound | S::WrongType) => {
                    (Kind::Damaged, "not a video or picture", "Name an MP4, MKV, JPEG or PNG file")
                }
                Some(S::Decrypt | S::DecryptNokey) => {
                    (Kind::Denied, "the video is encrypted", "Export it without encryption")
                }
                _ if !has_video && resource.is_none() => (
                    Kind::Damaged,
                    "there is no video in the file that can be played",
                    "Name an MP4, MKV, JPEG or PNG file",
                ),
                _ => (Kind::Damaged, "cannot play the video", "Copy or record it again"),
            }
        }
        Source::Device(_) => match resource {
            Some(R::NotFound) => (
                Kind::Missing,
                "the camera is not there",
                "Plug it in, or name the device that `v4l2-ctl --list-devices` shows",
            ),
            Some(R::Busy) => (Kind::Unavailable, "the camera is in use by another program", "Close that program"),
            Some(R::OpenRead | R::OpenWrite | R::OpenReadWrite | R::NotAuthorized) => {
                (Kind::Denied, "the camera cannot be opened", "Add this user to the group video")
            }
            Some(R::Settings) => {
                (Kind::Unavailable, "the device gives no pictures in any format", "Name a camera's capture device")
            }
            _ => (Kind::Unavailable, "the camera has failed", "Check its cable"),
        },
        Source::Rtsp(_) => match resource {
            Some(R::NotFound) => {
                (Kind::Missing, "the camera has no stream of that name", "Check the path of the address")
            }
            Some(R::NotAuthorized) => (
                Kind::Denied,
                "the camera refuses user name and password",
                "Put them in the address: rtsp://USER:PASSWORD@HOST/PATH",
            ),
            _ if stream.is_some() && !has_video => {
                (Kind::Damaged, "the camera's stream cannot be decoded", "Set the camera to H.264 or H.265")
            }
            _ => (Kind::Unavailable, "the camera does not answer", "Check its power, cable and address"),
        },
    };
    Fault::new(kind, what).at(place(source)).because(why).remedy(remedy)
}

/// The human sentence of an error and the last line of its detail, which names the system's own reason.
fn explain(error: &glib::Error, detail: Option<&str>) -> String {
    let sentence = error.message().trim().trim_end_matches('.').to_owned();
    let last = detail.and_then(|detail| detail.lines().last()).map(str::trim).unwrap_or_default().trim_end_matches('.');
    // A last line that starts with a source file is only where in GStreamer it happened.
    let text = if last.is_empty() || last.starts_with("../") || last.ends_with(':') {
        sentence
    } else {
        format!("{sentence} ({last})")
    };
    without_secrets(&text)
}
