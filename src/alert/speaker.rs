//! The speaker: one thread owns the sound device. To sound an alert is to send on a channel; nothing ever waits for the
//! card. A device that is missing or goes away is a state with a name, and is tried again every few seconds.
//!
//! An alert is a tone, then words. A surer one breaks in at once, one of the same grade at the end of the sentence that is
//! being said; words that would come too late are left out, a tone never is.

mod playback;
mod tape;
#[cfg(test)]
mod tests;
mod utterance;
mod volume;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rodio::cpal::ErrorKind;
use rodio::{DeviceSinkBuilder, MixerDeviceSink};

pub use self::playback::Playback;
use self::playback::{AT_A_PAUSE, NOW, TO_THE_END};
pub use self::tape::{CardOfMemory, record, wav};
use self::utterance::{Tones, utterance};
pub use self::volume::Volume;
use super::voice::Voice;
use super::{Alert, AlertId, Grade, Standing, tone};
use crate::clock::{Moment, Shared};
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::Tone;

/// How long after a failure the device is tried again.
const RETRY: Duration = Duration::from_secs(3);
/// How often orders are looked at while there is no device to wait with.
const POLL: Duration = Duration::from_millis(100);
/// An alert that could not be sounded for this long is no news any more.
const STALE: Duration = Duration::from_secs(10);

/// What the crew should know of the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoundState {
    /// Switched off in the configuration.
    Off,
    /// The device is being opened for the first time.
    Opening,
    /// Alerts are heard.
    Ready,
    /// There is no device, or it refuses; why.
    Absent(String),
    /// The device was there and is gone; why.
    Lost(String),
}

impl SoundState {
    /// Whether alerts cannot be heard although they should be.
    pub fn is_fault(&self) -> bool {
        matches!(self, SoundState::Absent(_) | SoundState::Lost(_))
    }
}

impl fmt::Display for SoundState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SoundState::Off => f.write_str("switched off"),
            SoundState::Opening => f.write_str("opening"),
            SoundState::Ready => f.write_str("ready"),
            SoundState::Absent(why) => f.write_str(why),
            SoundState::Lost(why) => write!(f, "sound device lost: {why}"),
        }
    }
}

/// The edge to the sound system; tests put their own here.
pub trait Sounder: Send {
    /// Opens the device. `lost` is to be called when it goes away, with the reason.
    fn open(&mut self, lost: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>>;
}

/// An open device. Dropping it closes it.
pub trait Output {
    /// Starts playing; returns at once.
    fn play(&mut self, playback: Playback);
}

/// The system's default sound device.
#[derive(Debug, Default)]
pub struct DeviceSounder;

impl Sounder for DeviceSounder {
    fn open(&mut self, lost: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        let lost: Arc<dyn Fn(String) + Send + Sync> = lost.into();
        let on_error = move |error: rodio::cpal::Error| match error.kind() {
            // The stream goes on after these.
            ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
            _ => lost(error.to_string()),
        };
        // alsa-lib remarks on every device that it does not find; on this thread the remarks go to a buffer, which each
        // try replaces. The fault says what matters.
        #[cfg(target_os = "linux")]
        let _ = alsa::Output::local_error_handler();
        DeviceSinkBuilder::from_default_device()
            .and_then(|builder| builder.with_error_callback(on_error).open_sink_or_fallback())
            .map(|mut sink| {
                sink.log_on_drop(false);
                Box::new(Device(sink)) as Box<dyn Output>
            })
            .map_err(|error| {
                // The deepest cause is the one that says something; what wraps it names steps of the library.
                let mut cause: &dyn std::error::Error = &error;
                while let Some(deeper) = cause.source() {
                    cause = deeper;
                }
                Fault::new(Kind::Unavailable, "the sound device does not open")
                    .because(cause.to_string().trim_end_matches('.'))
                    .remedy("Plug in a loudspeaker, or set enabled = false under [sound]")
            })
    }
}

struct Device(MixerDeviceSink);

impl Output for Device {
    fn play(&mut self, playback: Playback) {
        self.0.mixer().add(playback);
    }
}

/// Sounds alerts.
pub struct Speaker {
    orders: Option<Sender<Order>>,
    state: Arc<Mutex<SoundState>>,
    volume: Arc<Volume>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Sound(Pending),
    Ended(u64),
    Lost(u64, String),
    Stop,
}

/// An alert that is to be heard.
struct Pending {
    alert: AlertId,
    grade: Grade,
    tone: Tone,
    spoken: String,
    /// It no longer stands: whatever else is to be said of it is not, and it has no tone.
    withdrawn: bool,
    since: Moment,
}

impl Pending {
    fn of(alert: &Alert, tone: Tone, now: Moment) -> Self {
        Self {
            alert: alert.id,
            grade: alert.grade,
            tone,
            spoken: alert.spoken.clone(),
            withdrawn: alert.standing != Standing::Open,
            since: now,
        }
    }
}

impl Speaker {
    /// Starts the thread. `heard` is told, for each alert, the instant at which the first sample of its tone was handed to
    /// the device; it is called on the device's own thread and must return at once.
    ///
    /// # Errors
    /// If no thread can be started. A missing device is a [`SoundState`], not an error, and neither is a clip that is bad.
    pub fn start(
        settings: &config::Sound,
        clock: Shared,
        sounder: Box<dyn Sounder>,
        heard: impl Fn(AlertId, Moment) + Send + Sync + 'static,
    ) -> Result<Self> {
        let volume = Arc::new(Volume::new(settings.volume));
        if !settings.enabled {
            return Ok(Self { orders: None, state: Arc::new(Mutex::new(SoundState::Off)), volume, thread: None });
        }
        let (orders, inbox) = channel();
        let state = Arc::new(Mutex::new(SoundState::Opening));
        let desk = Desk { orders: orders.clone(), state: Arc::clone(&state), volume: Arc::clone(&volume), clock };
        let folder = settings.voice.clone();
        // The deck is made on its thread: a device need not be one that can change threads.
        let thread = std::thread::Builder::new()
            .name("speaker".to_owned())
            .spawn(move || {
                let (voice, faults) = Voice::load(folder.as_deref());
                faults.iter().for_each(|fault| tracing::warn!("{fault}"));
                Deck::new(desk, voice, sounder, Arc::new(heard)).run(&inbox);
            })
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the speaker's thread").because(error))?;
        Ok(Self { orders: Some(orders), state, volume, thread: Some(thread) })
    }

    /// Sounds the tone of `alert` in the voice of `tone` and says its words; of one that is withdrawn, that it is. Never
    /// waits.
    pub fn sound(&self, alert: &Alert, tone: Tone, now: Moment) {
        if let Some(orders) = &self.orders {
            // The thread is gone only while the unit is being taken down.
            let _ = orders.send(Order::Sound(Pending::of(alert, tone, now)));
        }
    }

    /// How loud it is; can be turned.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// What the crew should know of the sound now.
    pub fn state(&self) -> SoundState {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if let Some(orders) = self.orders.take() {
            let _ = orders.send(Order::Stop);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread shares with others.
struct Desk {
    orders: Sender<Order>,
    state: Arc<Mutex<SoundState>>,
    volume: Arc<Volume>,
    clock: Shared,
}

/// What the thread works with.
struct Deck {
    desk: Desk,
    voice: Voice,
    sounder: Box<dyn Sounder>,
    heard: Arc<dyn Fn(AlertId, Moment) + Send + Sync>,
    /// Every voice of every grade.
    tones: Tones,
    output: Option<Box<dyn Output>>,
    /// Counts the devices opened, so that late news of an earlier one is known for what it is.
    opened: u64,
    next_try: Moment,
    playing: Option<Playing>,
    played: u64,
    pending: Vec<Pending>,
}

struct Playing {
    number: u64,
    grade: Grade,
    /// Whose words it says.
    alert: AlertId,
    cut: Arc<AtomicU8>,
}

impl Deck {
    fn new(
        desk: Desk,
        voice: Voice,
        sounder: Box<dyn Sounder>,
        heard: Arc<dyn Fn(AlertId, Moment) + Send + Sync>,
    ) -> Self {
        let next_try = desk.clock.now();
        Self {
            desk,
            voice,
            sounder,
            heard,
            tones: Grade::ALL
                .into_iter()
                .flat_map(|grade| Tone::ALL.map(|voice| ((grade, voice), tone::tone(voice, grade))))
                .collect(),
            output: None,
            opened: 0,
            next_try,
            playing: None,
            played: 0,
            pending: Vec::new(),
        }
    }

    fn run(&mut self, inbox: &Receiver<Order>) {
        loop {
            self.open_if_due();
            let order = if self.output.is_some() {
                inbox.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                inbox.try_recv()
            };
            match order {
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return,
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => self.desk.clock.sleep(POLL),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Sound(news) => self.take(news),
            Order::Ended(number) => {
                if self.playing.as_ref().is_some_and(|playing| playing.number == number) {
                    self.playing = None;
                }
            }
            Order::Lost(device, why) if device == self.opened && self.output.is_some() => {
                tracing::warn!(why, "sound device lost");
                self.output = None;
                self.playing = None;
                self.next_try = self.desk.clock.now().plus(RETRY);
                self.set_state(SoundState::Lost(why));
            }
            Order::Lost(..) | Order::Stop => {}
        }
        self.play_next();
    }

    fn open_if_due(&mut self) {
        if self.output.is_some() || self.desk.clock.now() < self.next_try {
            return;
        }
        self.opened += 1;
        let (orders, device) = (Mutex::new(self.desk.orders.clone()), self.opened);
        let lost = Box::new(move |why| {
            let orders = orders.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let _ = orders.send(Order::Lost(device, why));
        });
        match self.sounder.open(lost) {
            Ok(output) => {
                tracing::info!("sound device open");
                self.output = Some(output);
                self.set_state(SoundState::Ready);
                self.play_next();
            }
            Err(fault) => {
                self.next_try = self.desk.clock.now().plus(RETRY);
                // A device that was lost stays lost until it is back: that is what the crew wants to know.
                if !matches!(*self.state(), SoundState::Lost(_) | SoundState::Absent(_)) {
                    tracing::warn!(%fault, "no sound");
                    self.set_state(SoundState::Absent(fault.to_string().trim_end_matches('.').to_owned()));
                }
            }
        }
    }

    /// Notes what is to be heard. What was to be said of an alert that is withdrawn never is, and is broken off.
    fn take(&mut self, news: Pending) {
        if self.desk.volume.muted().is_some_and(|muted| news.grade <= muted) {
            return;
        }
        if news.withdrawn {
            self.pending.retain(|other| other.alert != news.alert);
            if let Some(playing) = self.playing.take_if(|playing| playing.alert == news.alert) {
                playing.cut.store(NOW, Ordering::Relaxed);
            }
        }
        self.pending.push(news);
    }

    /// Plays the most trusted alert that waits, once nothing more trusted is playing and what is as trusted has come to the
    /// end of a sentence. Of all that wait with one grade, one tone tells and the newest is said, so that sound never lags.
    fn play_next(&mut self) {
        let now = self.desk.clock.now();
        self.pending.retain(|pending| now.since(pending.since) < STALE);
        let Some(grade) = self.pending.iter().map(|pending| pending.grade).max() else { return };
        match &self.playing {
            Some(playing) if playing.grade > grade => return,
            Some(playing) if playing.grade == grade => {
                playing.cut.store(AT_A_PAUSE, Ordering::Relaxed);
                return;
            }
            _ => {}
        }
        let Some(output) = &mut self.output else { return };
        if let Some(interrupted) = self.playing.take() {
            interrupted.cut.store(NOW, Ordering::Relaxed);
        }
        let told: Vec<Pending> = self.pending.extract_if(.., |pending| pending.grade == grade).collect();
        let Some(newest) = told.last() else { return };
        let (samples, pauses) = utterance(&self.tones, &self.voice, grade, &told, now);
        self.played += 1;
        let (number, orders, heard) = (self.played, self.desk.orders.clone(), Arc::clone(&self.heard));
        let (cut, alert) = (Arc::new(AtomicU8::new(TO_THE_END)), newest.alert);
        let alerts: Vec<AlertId> = told.iter().map(|pending| pending.alert).collect();
        output.play(Playback {
            samples: samples.into(),
            pauses,
            grade,
            volume: Arc::clone(&self.desk.volume),
            next: 0,
            cut: Arc::clone(&cut),
            clock: Arc::clone(&self.desk.clock),
            on_first: Some(Box::new(move |at| alerts.into_iter().for_each(|alert| heard(alert, at)))),
            on_end: Some(Box::new(move || {
                let _ = orders.send(Order::Ended(number));
            })),
        });
        self.playing = Some(Playing { number, grade, alert, cut });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SoundState> {
        self.desk.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn set_state(&self, state: SoundState) {
        *self.state() = state;
    }
}
