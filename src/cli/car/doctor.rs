//! `outrider doctor`: tries every part that a configuration names.

use std::path::PathBuf;

use crate::alert::{DeviceSounder, Sounder};
use crate::capture;
use crate::clock::RealClock;
use crate::config::{Config, ReceiverSource};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::Hotlist;
use crate::recognise::{Models, Stills};
use crate::sync::identity::Identity;

/// Try every part of the unit once: networks, data folder, cameras, receiver, sound, display, identity.
///
/// Example: outrider doctor --config /etc/outrider/car.toml
///
/// Run it while the unit is stopped. Ends with 1 if something does not work.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Doctor {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Doctor {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(&self.config)?;
        let clock = RealClock::shared();
        let mut ill = 0;
        let mut tell = |part: &str, found: Result<String>| match found {
            Ok(detail) => println!("ok     {part}: {detail}"),
            Err(fault) => {
                ill += 1;
                println!("FAULT  {part}: {fault}");
            }
        };
        tell(
            "networks",
            Models::load(config.models.as_deref()).and_then(|models| {
                Stills::new(models.clone())?;
                let short = |digest: &str| digest.chars().take(12).collect::<String>();
                Ok(format!(
                    "finder {}, aligner {}, reader {}",
                    short(models.finder.digest()),
                    short(models.aligner.digest()),
                    short(models.reader.digest())
                ))
            }),
        );
        let data = &config.data;
        tell(
            "data folder",
            std::fs::create_dir_all(data)
                .and_then(|()| tempfile::tempfile_in(data))
                .map(|_| format!("{} can be written", data.display()))
                .map_err(|error| Fault::io("cannot write the data folder", data, error)),
        );
        tell(
            "hotlist",
            Hotlist::open(&data.join("hotlist.redb"), clock.clone()).map(|lists| {
                let status = lists.status();
                format!("{} lists, {} entries", status.len(), status.iter().map(|list| list.count).sum::<u64>())
            }),
        );
        for camera in &config.cameras {
            tell(
                &format!("camera {:?}", camera.name),
                capture::probe(camera, clock.clone())
                    .map(|frame| format!("{} x {} pixels", frame.picture.width(), frame.picture.height())),
            );
        }
        if let Some(receiver) = &config.receiver {
            let found = match &receiver.source {
                ReceiverSource::File(path) => std::fs::metadata(path)
                    .map(|_| "the log is there".to_owned())
                    .map_err(|error| Fault::io("cannot read the log", path, error)),
                ReceiverSource::Serial(path) => serialport::new(path.display().to_string(), receiver.baud)
                    .open()
                    .map(|_| "the port opens".to_owned())
                    .map_err(|error| {
                        Fault::new(Kind::Unavailable, "cannot open the serial port")
                            .at(path.display())
                            .because(error)
                            .remedy("Check the plug, and that the unit's user is in the group dialout")
                    }),
            };
            tell("receiver", found);
        }
        if config.sound.enabled {
            tell(
                "sound",
                DeviceSounder
                    .open(Box::new(|_| {}))
                    .map(|_| "the device opens".to_owned())
                    .map_err(|why| Fault::new(Kind::Unavailable, "no sound device").because(why)),
            );
        }
        if config.screen.enabled {
            let display = ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().find_map(|name| std::env::var(name).ok());
            tell(
                "display",
                display.map(|name| format!("display {name}")).ok_or_else(|| {
                    Fault::new(Kind::Unavailable, "no display: neither DISPLAY nor WAYLAND_DISPLAY is set")
                }),
            );
        }
        if let Some(office) = &config.office {
            tell(
                "identity",
                Identity::load(&office.identity).map(|_| "certificate, key and authority are there".to_owned()),
            );
        }
        match ill {
            0 => Ok(()),
            n => Err(Fault::new(Kind::Unavailable, format!("{n} parts do not work"))),
        }
    }
}
