//! Model files: safetensors with the graph that runs them in the metadata (`docs/design/models.md`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use candle_core::Device;
use safetensors::SafeTensors;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::kernels::Conv;
use crate::fault::{Fault, Kind, Result};

/// What a network is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Finds plates in a whole picture.
    Finder,
    /// Finds the corners of one plate.
    Aligner,
    /// Reads one rectified plate.
    Reader,
}

impl Role {
    /// The role's name in metadata, and the stem of its file.
    pub fn name(self) -> &'static str {
        match self {
            Role::Finder => "finder",
            Role::Aligner => "aligner",
            Role::Reader => "reader",
        }
    }

    fn bundled(self) -> &'static [u8] {
        match self {
            Role::Finder => include_bytes!("../../models/finder.safetensors"),
            Role::Aligner => include_bytes!("../../models/aligner.safetensors"),
            Role::Reader => include_bytes!("../../models/reader.safetensors"),
        }
    }
}

/// The digests of the weights that belong to this version, in the format of `sha256sum`.
const BUNDLED_SUMS: &str = include_str!("../../models/SHA256SUMS");
/// The only version of the file layout so far.
const VERSION: &str = "1";

/// One operation of a graph. Names refer to maps; `x` is the input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Op {
    /// Space to depth.
    S2d { out: String, r#in: String, k: usize },
    /// Convolution with bias, an optional sum and an optional rectifier.
    Conv {
        out: String,
        r#in: String,
        w: String,
        #[serde(default = "one")]
        stride: usize,
        pad: Pad,
        relu: bool,
        add: Option<String>,
    },
    /// Maximum over windows that do not overlap.
    Pool { out: String, r#in: String, kh: usize, kw: usize },
    /// Every pixel doubled in both directions.
    Up2 { out: String, r#in: String },
    /// Sum of two maps.
    Add { out: String, r#in: String, with: String, relu: bool },
}

impl Op {
    /// Whether it reads a map of that name.
    pub(super) fn reads(&self, name: &str) -> bool {
        match self {
            Self::S2d { r#in, .. } | Self::Pool { r#in, .. } | Self::Up2 { r#in, .. } => r#in == name,
            Self::Conv { r#in, add, .. } => r#in == name || add.as_deref() == Some(name),
            Self::Add { r#in, with, .. } => r#in == name || with == name,
        }
    }
}

fn one() -> usize {
    1
}

/// Zeros around a map before a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pad {
    /// Half the kernel on each side.
    Same,
    /// None.
    None,
}

/// The input's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Input {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) stride: usize,
}

/// The weights of one convolution.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// Output channels, input channels, kernel height, kernel width.
    pub(super) shape: [usize; 4],
    /// In the order of `shape`.
    pub(super) weight: Vec<f32>,
    /// One an output channel.
    pub(super) bias: Vec<f32>,
    /// How they were laid out first.
    laid: OnceLock<Arc<Conv>>,
}

impl Weights {
    /// In the order of `shape`; one bias an output channel.
    pub(super) fn new(shape: [usize; 4], weight: Vec<f32>, bias: Vec<f32>) -> Self {
        Self { shape, weight, bias, laid: OnceLock::new() }
    }

    /// The weights laid out for a convolution with this stride, this many zeros on each side (rows and columns) and a rectifier or
    /// none. Networks of all sizes, and of several cameras, share them.
    pub(super) fn conv(&self, stride: usize, pad: (usize, usize), relu: bool) -> Arc<Conv> {
        let lay = || Arc::new(Conv::new(self.shape, &self.weight, &self.bias, stride, pad, relu));
        let laid = self.laid.get_or_init(lay);
        if (laid.stride, laid.pad, laid.relu) == (stride, pad, relu) { laid.clone() } else { lay() }
    }
}

/// A model file, checked as far as it can be without a picture size.
#[derive(Debug, Clone)]
pub struct Model {
    /// Where it came from, for messages.
    pub(super) place: String,
    pub(super) input: Input,
    pub(super) graph: Vec<Op>,
    pub(super) outputs: Vec<String>,
    pub(super) weights: HashMap<String, Weights>,
    calibration: serde_json::Value,
    digest: String,
}

impl Model {
    /// The network that is part of this program, or the one of the same name in `folder`, whose `SHA256SUMS`
    /// must list it.
    pub fn load(role: Role, folder: Option<&Path>) -> Result<Self> {
        let file = format!("{}.safetensors", role.name());
        match folder {
            None => Self::parse(role, &format!("{file} (part of the program)"), role.bundled(), BUNDLED_SUMS),
            Some(folder) => {
                let read = |name: &str| {
                    let path = folder.join(name);
                    std::fs::read(&path).map_err(|error| {
                        Fault::io("cannot read a part of the models", &path, error)
                            .remedy("Name a folder with finder, aligner and reader .safetensors and their SHA256SUMS, or leave `models` out")
                    })
                };
                let sums = read("SHA256SUMS")?;
                let place = folder.join(&file);
                Self::parse(role, &place.display().to_string(), &read(&file)?, &String::from_utf8_lossy(&sums))
            }
        }
    }

    /// Parses a model file's bytes; `sums` lists the digest it must have.
    pub fn parse(role: Role, place: &str, bytes: &[u8], sums: &str) -> Result<Self> {
        let damaged = |what: &str| {
            Fault::new(Kind::Damaged, what)
                .at(place)
                .remedy("Copy the model files again from the version that they belong to")
        };
        let digest = hex::encode(Sha256::digest(bytes));
        let file = format!("{}.safetensors", role.name());
        let listed = sums.lines().find_map(|line| {
            let (sum, name) = line.split_once(char::is_whitespace)?;
            (name.trim_start_matches([' ', '*']) == file).then_some(sum)
        });
        match listed {
            None => return Err(damaged("SHA256SUMS does not list this model")),
            Some(sum) if !sum.eq_ignore_ascii_case(&digest) => {
                return Err(damaged("the model is not the one that SHA256SUMS lists: it was cut short or changed"));
            }
            Some(_) => {}
        }
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| damaged("not a safetensors file").because(error))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| {
            metadata.get(key).map(String::as_str).ok_or_else(|| damaged(&format!("the metadata has no {key:?}")))
        };
        let json = |key: &str| {
            serde_json::from_str::<serde_json::Value>(text(key)?)
                .map_err(|error| damaged(&format!("the metadata's {key:?} is not JSON")).because(error))
        };
        if text("outrider")? != role.name() {
            return Err(damaged(&format!("this is a {}, not a {}", text("outrider")?, role.name())));
        }
        if text("version")? != VERSION {
            return Err(damaged(&format!(
                "the model file is version {}, this program knows {VERSION}",
                text("version")?
            )));
        }
        let shape = |key: &str, error: serde_json::Error| {
            damaged(&format!("the metadata's {key:?} has another shape than expected")).because(error)
        };
        Ok(Self {
            place: place.to_owned(),
            input: serde_json::from_value(json("input")?).map_err(|error| shape("input", error))?,
            graph: serde_json::from_value(json("graph")?).map_err(|error| shape("graph", error))?,
            outputs: serde_json::from_value(json("outputs")?).map_err(|error| shape("outputs", error))?,
            calibration: if metadata.contains_key("calibration") {
                json("calibration")?
            } else {
                serde_json::Value::Null
            },
            weights: weights(bytes).map_err(|why| damaged("a tensor is unusable").because(why))?,
            digest,
        })
    }

    /// A number that was fitted in training, if the file has it.
    pub fn calibration(&self, name: &str) -> Option<f32> {
        self.calibration.get(name)?.as_f64().map(|value| value as f32)
    }

    /// SHA-256 of the file, hexadecimal: names the weights in the journal.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// The convolutions' weights by name, loaded by candle.
fn weights(bytes: &[u8]) -> Result<HashMap<String, Weights>, String> {
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|error| error.to_string())?;
    let mut found = HashMap::new();
    for (key, tensor) in &tensors {
        let Some(name) = key.strip_suffix(".weight") else { continue };
        let shape: [usize; 4] =
            tensor.dims().try_into().map_err(|_| format!("{key} has {} dimensions, not 4", tensor.rank()))?;
        let values = |tensor: &candle_core::Tensor, key: &str| {
            tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(|error| format!("{key}: {error}"))
        };
        let bias_key = format!("{name}.bias");
        let bias = values(tensors.get(&bias_key).ok_or_else(|| format!("{bias_key} is missing"))?, &bias_key)?;
        if bias.len() != shape[0] {
            return Err(format!("{bias_key} has {} values, not {}", bias.len(), shape[0]));
        }
        let weight = values(tensor, key)?;
        if !weight.iter().chain(&bias).all(|value| value.is_finite()) {
            return Err(format!("{key} holds a value that is not a number"));
        }
        found.insert(name.to_owned(), Weights::new(shape, weight, bias));
    }
    Ok(found)
}
