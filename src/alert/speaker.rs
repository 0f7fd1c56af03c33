//! The speaker: one thread owns the sound device. To sound an alert is to send on a channel; nothing ever waits for the
//! card. A device that is missing or goes away is a state with a name, and is tried again every few seconds.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rodio::cpal::ErrorKind;
use rodio::{ChannelCount, DeviceSinkBuilder, MixerDeviceSink, SampleRate, Source, nz};

use super::{Alert, AlertId, Grade, tone};
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

/// Samples on their way to a device: one channel at [`tone::RATE`]. Ends early when something more urgent cuts it.
pub struct Playback {
    samples: Arc<[f32]>,
    volume: f32,
    next: usize,
    cut: Arc<AtomicBool>,
    clock: Shared,
    on_first: Option<Box<dyn FnOnce(Moment) + Send>>,
    on_end: Option<Box<dyn FnOnce() + Send>>,
}

impl Iterator for Playback {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        if let Some(first) = self.on_first.take() {
            first(self.clock.now());
        }
        let sample = self.samples.get(self.next).copied().filter(|_| !self.cut.load(Ordering::Relaxed));
        self.next += 1;
        if sample.is_none() {
            self.end();
        }
        sample.map(|sample| sample * self.volume)
    }
}

impl Playback {
    fn end(&mut self) {
        if let Some(end) = self.on_end.take() {
            end();
        }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.end();
    }
}

impl Source for Playback {
    fn current_span_len(&self) -> Option<usize> {
        None
    }
    fn channels(&self) -> ChannelCount {
        nz!(1)
    }
    fn sample_rate(&self) -> SampleRate {
        const { SampleRate::new(tone::RATE).expect("a tone has a sample rate") }
    }
    fn total_duration(&self) -> Option<Duration> {
        None
    }
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
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Sound(AlertId, Grade, Tone),
    Ended(u64),
    Lost(u64, String),
    Stop,
}

impl Speaker {
    /// Starts the thread. `heard` is told, for each alert, the instant at which the first sample of its tone was handed to
    /// the device; it is called on the device's own thread and must return at once.
    ///
    /// # Errors
    /// If no thread can be started. A missing device is a [`SoundState`], not an error.
    pub fn start(
        settings: &config::Sound,
        clock: Shared,
        sounder: Box<dyn Sounder>,
        heard: impl Fn(AlertId, Moment) + Send + Sync + 'static,
    ) -> Result<Self> {
        if !settings.enabled {
            return Ok(Self { orders: None, state: Arc::new(Mutex::new(SoundState::Off)), thread: None });
        }
        let (orders, inbox) = channel();
        let state = Arc::new(Mutex::new(SoundState::Opening));
        let (own, shown) = (orders.clone(), Arc::clone(&state));
        let volume = settings.volume;
        // The deck is made on its thread: a device need not be one that can change threads.
        let thread = std::thread::Builder::new()
            .name("speaker".to_owned())
            .spawn(move || Deck::new(volume, clock, sounder, own, shown, Arc::new(heard)).run(&inbox))
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the speaker's thread").because(error))?;
        Ok(Self { orders: Some(orders), state, thread: Some(thread) })
    }

    /// Sounds the tone of `alert`. Never waits.
    pub fn sound(&self, alert: &Alert) {
        if let Some(orders) = &self.orders {
            // The thread is gone only while the unit is being taken down.
            let _ = orders.send(Order::Sound(alert.id, alert.grade, alert.tone));
        }
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

/// What the thread works with.
struct Deck {
    volume: f32,
    clock: Shared,
    sounder: Box<dyn Sounder>,
    orders: Sender<Order>,
    state: Arc<Mutex<SoundState>>,
    heard: Arc<dyn Fn(AlertId, Moment) + Send + Sync>,
    /// Every voice of every grade.
    tones: HashMap<(Grade, Tone), Arc<[f32]>>,
    output: Option<Box<dyn Output>>,
    /// Counts the devices opened, so that late news of an earlier one is known for what it is.
    opened: u64,
    next_try: Moment,
    playing: Option<Playing>,
    played: u64,
    pending: Vec<(AlertId, Grade, Tone, Moment)>,
}

struct Playing {
    number: u64,
    grade: Grade,
    cut: Arc<AtomicBool>,
}

impl Deck {
    fn new(
        volume: f32,
        clock: Shared,
        sounder: Box<dyn Sounder>,
        orders: Sender<Order>,
        state: Arc<Mutex<SoundState>>,
        heard: Arc<dyn Fn(AlertId, Moment) + Send + Sync>,
    ) -> Self {
        let next_try = clock.now();
        Self {
            volume,
            clock,
            sounder,
            orders,
            state,
            heard,
            tones: Grade::ALL
                .into_iter()
                .flat_map(|grade| Tone::ALL.map(|voice| ((grade, voice), tone::tone(voice, grade).into())))
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
                Err(TryRecvError::Empty) => self.clock.sleep(POLL),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Sound(alert, grade, voice) => self.pending.push((alert, grade, voice, self.clock.now())),
            Order::Ended(number) => {
                if self.playing.as_ref().is_some_and(|playing| playing.number == number) {
                    self.playing = None;
                }
            }
            Order::Lost(device, why) if device == self.opened && self.output.is_some() => {
                tracing::warn!(why, "sound device lost");
                self.output = None;
                self.playing = None;
                self.next_try = self.clock.now().plus(RETRY);
                self.set_state(SoundState::Lost(why));
            }
            Order::Lost(..) | Order::Stop => {}
        }
        self.play_next();
    }

    fn open_if_due(&mut self) {
        if self.output.is_some() || self.clock.now() < self.next_try {
            return;
        }
        self.opened += 1;
        let (orders, device) = (Mutex::new(self.orders.clone()), self.opened);
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
                self.next_try = self.clock.now().plus(RETRY);
                // A device that was lost stays lost until it is back: that is what the crew wants to know.
                if !matches!(*self.state(), SoundState::Lost(_) | SoundState::Absent(_)) {
                    tracing::warn!(%fault, "no sound");
                    self.set_state(SoundState::Absent(fault.to_string().trim_end_matches('.').to_owned()));
                }
            }
        }
    }

    /// Plays the most trusted alert that waits, once nothing at least as trusted is playing. All that wait with the same
    /// grade share one tone, that of the first, so that sound never lags behind.
    fn play_next(&mut self) {
        let now = self.clock.now();
        self.pending.retain(|(.., since)| now.since(*since) < STALE);
        let Some(grade) = self.pending.iter().map(|(_, grade, ..)| *grade).max() else { return };
        let voice = self.pending.iter().find(|(_, of, ..)| *of == grade).map_or(Tone::Horn, |(_, _, voice, _)| *voice);
        if self.playing.as_ref().is_some_and(|playing| playing.grade >= grade) {
            return;
        }
        let Some(output) = &mut self.output else { return };
        if let Some(interrupted) = self.playing.take() {
            interrupted.cut.store(true, Ordering::Relaxed);
        }
        let Some(samples) = self.tones.get(&(grade, voice)) else { return };
        let alerts: Vec<AlertId> =
            self.pending.extract_if(.., |(_, of, ..)| *of == grade).map(|(alert, ..)| alert).collect();
        self.played += 1;
        let (number, orders, heard) = (self.played, self.orders.clone(), Arc::clone(&self.heard));
        let cut = Arc::new(AtomicBool::new(false));
        output.play(Playback {
            samples: Arc::clone(samples),
            volume: self.volume,
            next: 0,
            cut: Arc::clone(&cut),
            clock: Arc::clone(&self.clock),
            on_first: Some(Box::new(move |at| alerts.into_iter().for_each(|alert| heard(alert, at)))),
            on_end: Some(Box::new(move || {
                let _ = orders.send(Order::Ended(number));
            })),
        });
        self.playing = Some(Playing { number, grade, cut });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SoundState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn set_state(&self, state: SoundState) {
        *self.state() = state;
    }
}

#[cfg(test)]
mod tests;
