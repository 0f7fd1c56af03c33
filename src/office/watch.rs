//! Wakes the service at once when a command has put something into the office's folders. The service looks there anyway, from
//! time to time: what wakes it decides nothing, and a file system that tells nobody of its changes only costs that time.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::files;

/// Room for events that are read at once, bytes.
const EVENTS: usize = 4096;

/// Hears of files that come into an office's folders.
pub(crate) struct Watch(Option<AsyncFd<OwnedFd>>);

impl Watch {
    /// Watches the office in `data`. Called within the runtime.
    pub(crate) fn of(data: &Path) -> Self {
        let watched: std::io::Result<_> = (|| {
            let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            for folder in [files::inbox(data), files::units(data)] {
                files::make_folder(&folder).map_err(|_| rustix::io::Errno::NOENT)?;
                let what = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
                inotify::add_watch(&events, folder, what)?;
            }
            // Here also lies what the service itself writes: its own files are passed over below.
            inotify::add_watch(&events, data, WatchFlags::MOVED_TO)?;
            // Deprecated for types that may lie about their descriptor; an `OwnedFd` is one, for as long as it lives.
            #[allow(deprecated)]
            AsyncFd::new(events)
        })();
        if let Err(error) = &watched {
            tracing::warn!("the office's folders cannot be watched, and are looked at twice a second: {error}");
        }
        Self(watched.ok())
    }

    /// Is over when something has come.
    pub(crate) async fn changed(&mut self) {
        let Some(events) = &mut self.0 else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = events.readable().await else { return std::future::pending().await };
            let come = ready.try_io(|events| {
                let mut room = [MaybeUninit::uninit(); EVENTS];
                let mut reader = Reader::new(events, &mut room);
                let mut of_others = false;
                loop {
                    match reader.next() {
                        Ok(event) => of_others |= event.file_name().is_none_or(|name| !is_own(&name.to_string_lossy())),
                        Err(rustix::io::Errno::AGAIN) if of_others => return Ok(true),
                        Err(error) => return Err(std::io::Error::from(error)),
                    }
                }
            });
            match come {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => {
                    tracing::warn!("the office's folders cannot be watched any more: {error}");
                    self.0 = None;
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// Whether the service writes the file itself, or it is not whole yet.
fn is_own(name: &str) -> bool {
    name.starts_with('.') || ["status.json", "statements.jsonl", "heads.jsonl"].contains(&name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_command_puts_there_is_heard_of_and_what_the_service_writes_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut watch = Watch::of(data);
            let heard =
                async |watch: &mut Watch| tokio::time::timeout(Duration::from_millis(200), watch.changed()).await;
            files::replace(&files::status(data), b"own").expect("written");
            assert!(heard(&mut watch).await.is_err(), "its own file");
            files::replace(&files::inbox(data).join("pnc@1.list"), b"list").expect("written");
            assert!(heard(&mut watch).await.is_ok());
            files::replace(&files::people(data), b"roll").expect("written");
            assert!(heard(&mut watch).await.is_ok());
            assert!(heard(&mut watch).await.is_err(), "once");
        });
    }
}
