//! The film of the made-up drive, for the demo and the benchmarks.

use std::path::PathBuf;

use crate::drive::{self, DriveFiles, Plan};
use crate::fault::{Fault, Result};

/// The seed of the drive that everybody sees.
const SEED: u64 = 1;

/// The made-up drive, painted if the cache does not have it.
pub(super) fn drive(small: bool) -> Result<DriveFiles> {
    let plan = if small { Plan::sized(SEED, 960, 540) } else { Plan::demo(SEED) };
    let bar = indicatif::ProgressBar::hidden();
    bar.set_style(
        indicatif::ProgressStyle::with_template("painting the drive {bar:40} {pos}/{len} frames, {eta} left")
            .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
    );
    let files = drive::render(&plan, &cache()?, &mut |done, total| {
        if bar.is_hidden() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    files
}

/// Where painted drives are kept.
fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CACHE_HOME")
        .or_else(|| Some(set("HOME")?.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("outrider");
    std::fs::create_dir_all(&folder).map_err(|error| {
        Fault::io("cannot make the cache for the drive", &folder, error)
            .remedy("Set XDG_CACHE_HOME to a folder that can be written")
    })?;
    Ok(folder)
}
