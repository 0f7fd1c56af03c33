//! A model's graph worked out for inputs of one size: which map each step reads and writes, and where in memory it lies.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::kernels::{self, Conv, Scratch, Shape};
use super::model::{Model, Op, Pad};

/// The graph with every shape worked out.
pub(super) struct Plan {
    maps: Vec<Map>,
    steps: Vec<Step>,
    output: usize,
    /// Borrowed only while the plan runs, which it does on one thread.
    buffers: RefCell<Buffers>,
}

struct Map {
    shape: Shape,
    /// The buffer it lies in, with others before and after it; none: it is the input itself.
    buffer: Option<usize>,
}

/// What a plan computes in.
#[derive(Default)]
struct Buffers {
    /// Each holds one map at a time, for all inputs one behind the other. A map that is needed no more makes room for the next
    /// one while its memory is still in the processor's caches.
    maps: Vec<Vec<f32>>,
    scratch: Scratch,
}

struct Step {
    what: What,
    src: usize,
    dst: usize,
    name: String,
    flops: u64,
}

impl Step {
    fn read_instead(&mut self, map: usize, other: usize) {
        let with = match &mut self.what {
            What::Conv { sum, .. } => sum.as_mut(),
            What::Add { with, .. } => Some(with),
            _ => None,
        };
        for read in with.into_iter().chain([&mut self.src]).filter(|read| **read == map) {
            *read = other;
        }
    }

    fn reads(&self, map: usize) -> bool {
        self.src == map || self.what.other() == Some(map)
    }
}

enum What {
    S2d(usize),
    Conv {
        conv: Arc<Conv>,
        sum: Option<usize>,
    },
    Pool {
        kh: usize,
        kw: usize,
    },
    Up2,
    /// `doubled`: the source is doubled on the way, a map that nothing else reads spared.
    Add {
        with: usize,
        relu: bool,
        doubled: bool,
    },
}

impl What {
    /// The map that is read beside the source.
    fn other(&self) -> Option<usize> {
        match self {
            Self::Conv { sum, .. } => *sum,
            Self::Add { with, .. } => Some(*with),
            _ => None,
        }
    }
}

impl Plan {
    /// For `most` inputs of `width` x `height` at once; says what is wrong with a graph that does not work out.
    pub(super) fn new(model: &Model, width: usize, height: usize, most: usize) -> Result<Self, String> {
        let stride = model.input.stride.max(1);
        if width == 0 || height == 0 || !width.is_multiple_of(stride) || !height.is_multiple_of(stride) {
            return Err(format!("an input of {width}x{height} is not a multiple of {stride}"));
        }
        let mut named = HashMap::from([("x".to_owned(), 0)]);
        let without_margin = |h, w, c| Map { shape: Shape { h, w, c, py: 0, px: 0 }, buffer: None };
        let mut maps = vec![without_margin(height, width, 1)];
        let mut steps = Vec::new();
        for op in &model.graph {
            let find = |name: &String| named.get(name).copied().ok_or_else(|| format!("no map is named {name:?}"));
            let (source, out) = match op {
                Op::S2d { out, r#in, .. }
                | Op::Conv { out, r#in, .. }
                | Op::Pool { out, r#in, .. }
                | Op::Up2 { out, r#in }
                | Op::Add { out, r#in, .. } => (find(r#in)?, out),
            };
            let from = maps[source].shape;
            let (what, h, w, c) = match op {
                Op::S2d { k, .. } => (What::S2d(*k), divide(from.h, *k)?, divide(from.w, *k)?, from.c * k * k),
                Op::Pool { kh, kw, .. } => {
                    (What::Pool { kh: *kh, kw: *kw }, divide(from.h, *kh)?, divide(from.w, *kw)?, from.c)
                }
                Op::Up2 { .. } => (What::Up2, from.h * 2, from.w * 2, from.c),
                Op::Add { with, relu, .. } => {
                    (What::Add { with: find(with)?, relu: *relu, doubled: false }, from.h, from.w, from.c)
                }
                Op::Conv { w: name, stride, pad, relu, add, .. } => {
                    let weights = model.weights.get(name).ok_or_else(|| format!("there are no weights {name:?}"))?;
                    let [co, ci, kh, kw] = weights.shape;
                    if ci != from.c {
                        return Err(format!("{name:?} takes {ci} channels but {out:?} is made from {}", from.c));
                    }
                    if !(1..=2).contains(stride) || kh * kw == 0 || (*pad == Pad::Same && kh * kw % 2 == 0) {
                        return Err(format!(
                            "{name:?} is a kernel of {kh}x{kw} with stride {stride}, which is not supported"
                        ));
                    }
                    let pad = if *pad == Pad::Same { (kh / 2, kw / 2) } else { (0, 0) };
                    let conv = weights.conv(*stride, pad, *relu);
                    let (h, w) = conv
                        .result(from.h, from.w)
                        .ok_or_else(|| format!("{name:?} is larger than the map {}x{}", from.w, from.h))?;
                    (What::Conv { conv, sum: add.as_ref().map(find).transpose()? }, h, w, co)
                }
            };
            if let Some(other) = what.other()
                && (maps[other].shape.h, maps[other].shape.w, maps[other].shape.c) != (h, w, c)
            {
                return Err(format!("{out:?} is the sum of maps of different shapes"));
            }
            if let What::Conv { conv, .. } = &what {
                let shape = &mut maps[source].shape;
                (shape.py, shape.px) = (shape.py.max(conv.pad.0), shape.px.max(conv.pad.1));
            }
            let (name, flops) = match &what {
                What::Conv { conv, .. } => (
                    format!("conv {}x{}/{} {}->{} at {w}x{h}", conv.kh, conv.kw, conv.stride, conv.ci, conv.co),
                    conv.flops(h, w),
                ),
                What::S2d(k) => (format!("space to depth {k}"), 0),
                What::Pool { kh, kw } => (format!("pool {kh}x{kw}"), 0),
                What::Up2 => ("double".into(), 0),
                What::Add { .. } => ("add".into(), 0),
            };
            let (mut what, mut source) = (what, source);
            if let (What::Add { doubled, with, .. }, Op::Add { r#in, .. }) = (&mut what, op)
                && *with != source
                && let Some(Step { what: What::Up2, src, dst, .. }) = steps.last()
                && *dst == source
                && model.graph.iter().filter(|op| op.reads(r#in)).count() == 1
                && !model.outputs.contains(r#in)
            {
                (*doubled, source) = (true, *src);
                steps.pop();
            }
            maps.push(without_margin(h, w, c));
            steps.push(Step { what, src: source, dst: maps.len() - 1, name, flops });
            if named.insert(out.clone(), maps.len() - 1).is_some() {
                return Err(format!("two maps are named {out:?}"));
            }
        }
        let [output] = model.outputs.as_slice() else {
            return Err(format!("there are {} outputs, one is expected", model.outputs.len()));
        };
        let output = named.get(output).copied().ok_or_else(|| format!("no map is named {output:?}, the output"))?;
        if output == 0 {
            return Err("the output is the input itself".into());
        }
        let (py, px) = (maps[0].shape.py, maps[0].shape.px);
        if (py, px) != (0, 0) {
            // What reaches beyond the edge of the input needs a copy with a margin.
            let copy = maps.len();
            maps.push(Map { shape: maps[0].shape, buffer: None });
            maps[0] = without_margin(height, width, 1);
            steps.iter_mut().for_each(|step| step.read_instead(0, copy));
            steps.insert(0, Step { what: What::S2d(1), src: 0, dst: copy, name: "margin".into(), flops: 0 });
        }
        let mut buffers = Buffers::default();
        lay_out(&mut maps, &steps, output, most, &mut buffers);
        for step in &steps {
            if let What::Conv { conv, .. } = &step.what {
                // What a few need is not always less than what more do: they are done in blocks of about one size.
                (1..=most).for_each(|count| conv.reserve(count, maps[step.dst].shape, &mut buffers.scratch));
            }
        }
        Ok(Self { maps, steps, output, buffers: RefCell::new(buffers) })
    }

    /// The shape of a result.
    pub(super) fn result(&self) -> Shape {
        self.maps[self.output].shape
    }

    /// Name, and multiplications and additions for one input, of each step.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&str, u64)> {
        self.steps.iter().map(|step| (step.name.as_str(), step.flops))
    }

    /// From `count` inputs to as many results, one behind the other.
    pub(super) fn forward(&self, count: usize, inputs: &[f32], results: &mut [f32]) {
        let shape = self.result();
        self.steps_of(count, &inputs[..count * self.maps[0].shape.len()], |_| ());
        let buffers = self.buffers.borrow();
        let results = results.chunks_exact_mut(shape.h * shape.w * shape.c).take(count);
        if let Some(buffer) = self.maps[self.output].buffer {
            for (result, map) in results.zip(buffers.maps[buffer].chunks_exact(shape.len())) {
                kernels::take(map, shape, result);
            }
        }
    }

    /// All steps for `count` inputs; tells of each when it is done.
    pub(super) fn steps_of(&self, count: usize, inputs: &[f32], mut done: impl FnMut(usize)) {
        let mut buffers = self.buffers.borrow_mut();
        for (index, step) in self.steps.iter().enumerate() {
            self.step(step, count, inputs, &mut buffers);
            done(index);
        }
    }

    fn step(&self, step: &Step, count: usize, inputs: &[f32], Buffers { maps, scratch }: &mut Buffers) {
        let Map { shape: d, buffer: Some(buffer) } = self.maps[step.dst] else { return };
        let mut result = std::mem::take(&mut maps[buffer]);
        let all = |index: usize| {
            let Map { shape, buffer } = self.maps[index];
            (&buffer.map_or(inputs, |buffer| &maps[buffer])[..count * shape.len()], shape)
        };
        let (src, s) = all(step.src);
        let dst = &mut result[..count * d.len()];
        dst.chunks_exact_mut(d.len()).for_each(|map| kernels::clear_margin(map, d));
        match &step.what {
            What::Conv { conv, sum } => kernels::conv(conv, count, (src, s), sum.map(all), (dst, d), scratch),
            What::S2d(k) => each(src, s, dst, d, |_, src, dst| kernels::space_to_depth(*k, src, s, dst, d)),
            What::Pool { kh, kw } => each(src, s, dst, d, |_, src, dst| kernels::pool(*kh, *kw, src, s, dst, d)),
            What::Up2 => each(src, s, dst, d, |_, src, dst| kernels::up2(src, s, dst, d)),
            What::Add { with, relu, doubled } => {
                let (with, shape) = all(*with);
                let add = if *doubled { kernels::add_doubled } else { kernels::add };
                each(src, s, dst, d, |index, src, dst| {
                    add(*relu, (src, s), (&with[index * shape.len()..][..shape.len()], shape), dst, d);
                });
            }
        }
        maps[buffer] = result;
    }
}

/// Gives every map its buffer: the one that was left last of those that no map which is still to be read lies in.
fn lay_out(maps: &mut [Map], steps: &[Step], output: usize, most: usize, buffers: &mut Buffers) {
    let mut free = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let buffer = free.pop().unwrap_or_else(|| {
            buffers.maps.push(Vec::new());
            buffers.maps.len() - 1
        });
        maps[step.dst].buffer = Some(buffer);
        let room = most * maps[step.dst].shape.len();
        let values = &mut buffers.maps[buffer];
        values.resize(room.max(values.len()), 0.0);
        let is_read = |map: usize| map == output || steps[index + 1..].iter().any(|step| step.reads(map));
        let read: Vec<usize> = (0..maps.len()).filter(|map| step.reads(*map) || *map == step.dst).collect();
        free.extend(read.into_iter().filter(|map| !is_read(*map)).filter_map(|map| maps[map].buffer));
    }
}

/// Does `work` with every source and its result.
fn each(src: &[f32], s: Shape, dst: &mut [f32], d: Shape, work: impl Fn(usize, &[f32], &mut [f32])) {
    for (index, (src, dst)) in src.chunks_exact(s.len()).zip(dst.chunks_exact_mut(d.len())).enumerate() {
        work(index, src, dst);
    }
}

fn divide(size: usize, by: usize) -> Result<usize, String> {
    if by == 0 || size < by {
        return Err(format!("{size} cells cannot be divided by {by}"));
    }
    Ok(size / by)
}
