//! `outrider config`: checks a configuration.

use std::path::PathBuf;

use super::doctor::set_up;
use crate::alert::Chart;
use crate::config::{self, Budgets, ReceiverSource, Source};
use crate::fault::Result;

/// Check a configuration file.
///
/// Example: outrider config check vehicle-config/usb-camera.toml
///
/// Says what the unit would do with the file, or what is wrong with it (exit code 2). Devices and addresses are not
/// tried: that is what `outrider doctor` does.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Explain a file or refuse it
    ///
    /// Example: outrider config check vehicle-config/usb-camera.toml
    #[command(verbatim_doc_comment)]
    Check {
        /// The configuration, TOML
        file: PathBuf,
    },
}

impl Config {
    pub(super) fn run(self) -> Result<()> {
        let Command::Check { file } = self.command;
        let config = config::Config::load(&file)?;
        let chart = config.driver.as_ref().map(Chart::load).transpose()?;
        println!("{}: valid", file.display());
        println!("  unit {}, data in {}", config.unit, config.data.display());
        for camera in &config.cameras {
            let source = match &camera.source {
                Source::File(path) => {
                    format!("the file {}{}", path.display(), if camera.repeat { ", over and over" } else { "" })
                }
                Source::Device(path) => format!("the device {}", path.display()),
                Source::Rtsp(url) => format!("the network camera {}", config::without_secrets(url)),
            };
            println!("  camera {:?}: {source}; lost after {} s without a picture", camera.name, camera.silence_s);
        }
        match &config.receiver {
            None => println!("  no satellite receiver: reads carry no position"),
            Some(receiver) => {
                let source = match &receiver.source {
                    ReceiverSource::File(path) => format!("the log {}", path.display()),
                    ReceiverSource::Serial(path) => format!("{} at {} bits a second", path.display(), receiver.baud),
                };
                println!(
                    "  position from {source}; stale after {} s, absent after {} s",
                    receiver.stale_s, receiver.absent_s
                );
            }
        }
        match config.sound.enabled {
            true => println!("  sound at {:.0} % volume", config.sound.volume * 100.0),
            false => println!("  no sound"),
        }
        if let Some(voice) = &config.sound.voice {
            println!("  a voice of its own in {}", voice.display());
        }
        if let Some(map) = &config.screen.map {
            println!("  map tiles from {}", map.display());
        }
        match config.screen.enabled {
            true => println!(
                "  a screen of {} x {}{}",
                config.screen.width,
                config.screen.height,
                if config.screen.fullscreen { ", filling the display" } else { "" }
            ),
            false => println!("  no screen"),
        }
        if let Some((driver, chart)) = config.driver.as_ref().zip(chart) {
            let approval = match chart.approval() {
                "" => "NOT APPROVED by anybody".to_owned(),
                approval => format!("approved: {approval}"),
            };
            let symbols =
                driver.symbols.as_ref().map_or("the program's own".to_owned(), |path| path.display().to_string());
            println!(
                "  a driver's window of {} x {} at {}, {}; symbols: {symbols}, {approval}",
                driver.width, driver.height, driver.left, driver.top
            );
        }
        println!(
            "  reads are kept {} h, hits {} h, faults and verdicts {} h{}",
            config.journal.keep_reads_h,
            config.journal.keep_hits_h,
            config.journal.keep_events_h,
            match &config.office {
                None => String::new(),
                Some(_) => format!("; what the office does not have yet {} h", config.journal.keep_unsent_h),
            }
        );
        println!(
            "  a disk with less than {} MB free is said; below {} MB pictures of reads without a hit go",
            config.journal.announce_free_mb, config.journal.keep_free_mb
        );
        match &config.crew.roles[..] {
            [] => println!("  no roles on board: lists that name an audience are covert"),
            roles => println!("  on board: {}", roles.join(", ")),
        }
        println!("  {}; a shift ends after {} h", set_up(&config), config.crew.longest_shift_h);
        match &config.journal.key {
            config::Key::Unprotected => println!(
                "  UNPROTECTED: the journal's key lies beside it, and whoever has the disk can read it; set `key` under [journal]"
            ),
            config::Key::Passphrase => println!("  the journal is locked with a passphrase, asked for at the start"),
            config::Key::File(path) => println!("  the journal is locked with the key file {}", path.display()),
            config::Key::Tpm => println!("  the journal is locked with this computer's TPM"),
        }
        match &config.office {
            None => println!("  no back office: the unit works alone"),
            Some(office) => println!("  back office {}, identity in {}", office.address, office.identity.display()),
        }
        if let Some(metered) = config.office.as_ref().and_then(|office| office.metered.as_ref()) {
            let Budgets { pictures_mb, hit_pictures_mb, lists_mb } = metered.budgets();
            println!(
                "  metered networks {}: {pictures_mb} MB of pictures, {hit_pictures_mb} MB of pictures of hits, {lists_mb} MB of whole \
                 lists a day",
                metered.interfaces().join(", ")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_loads() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vehicle-config");
        let mut examples = 0;
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|e| e == "toml") {
                let config = config::Config::load(&path).unwrap_or_else(|fault| panic!("{fault}"));
                config.driver.as_ref().map(Chart::load).transpose().unwrap_or_else(|fault| panic!("{fault}"));
                examples += 1;
            }
        }
        assert!(examples >= 4);
    }
}
