//! Runs a model file's graph on maps of one size, as a candle operation that writes its result in place.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use candle_core::{CpuStorage, DType, Device, InplaceOp1, InplaceOp2, Layout, Storage, Tensor};

use super::kernels::{self, Conv, Scratch, Shape};
use super::model::{Model, Op, Pad};
use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};

/// A network ready for inputs of one size, one or several at once. Everything it needs is allocated when it is made.
pub struct Network {
    plan: Plan,
    /// All inputs, one behind the other.
    input: Tensor,
    /// All results, likewise.
    output: Tensor,
    size: (usize, usize),
    most: usize,
}

/// One layer's cost, for `bench kernels`.
#[derive(Debug, Clone)]
pub struct LayerCost {
    /// What it computes: "conv 3x3 16->24 at 160x96".
    pub name: String,
    /// Multiplications and additions of its definition; 0 for layers that only move data. Winograd's filtering does with fewer.
    pub flops: u64,
    /// Time of one run.
    pub time: Duration,
}

impl Network {
    /// The network of `model` at the size that it was made for, for `most` inputs at once.
    pub fn new(model: &Model, most: usize) -> Result<Self> {
        Self::sized(model, model.input.width, model.input.height, most)
    }

    /// The network of `model` for inputs of `width` x `height`, both multiples of the model's stride, `most` at once.
    pub fn sized(model: &Model, width: usize, height: usize, most: usize) -> Result<Self> {
        let plan = Plan::new(model, width, height, most).map_err(|why| {
            Fault::new(Kind::Damaged, "the model's graph does not work out").at(&model.place).because(why)
        })?;
        let result = plan.maps[plan.output].shape;
        let zeros = |dims: &[usize]| {
            Tensor::zeros(dims, DType::F32, &Device::Cpu)
                .map_err(|error| Fault::new(Kind::Internal, "candle cannot hold a map").because(error))
        };
        Ok(Self {
            plan,
            input: zeros(&[most, height, width])?,
            output: zeros(&[most, result.h, result.w, result.c])?,
            size: (width, height),
            most,
        })
    }

    /// Width and height of an input, pixels.
    pub fn input_size(&self) -> (usize, usize) {
        self.size
    }

    /// How many inputs it takes at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Height, width and channels of a result.
    pub fn output_shape(&self) -> (usize, usize, usize) {
        let shape = self.plan.maps[self.plan.output].shape;
        (shape.h, shape.w, shape.c)
    }

    /// Runs once for `count` inputs, at most [`most`](Self::most): `fill` writes each (rows of `width` values), `use_result` reads
    /// each result (height x width x channels, channels last). They share what is fetched of the weights. Nothing is allocated.
    pub fn run(
        &mut self,
        count: usize,
        mut fill: impl FnMut(usize, &mut [f32]),
        mut use_result: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        assert!(count <= self.most, "{count} inputs at once, of {} at most", self.most);
        let failed =
            |error: candle_core::Error| Fault::new(Kind::Internal, "candle failed to run a network").because(error);
        let fill_all = |values: &mut [f32]| {
            for (index, values) in values.chunks_exact_mut(self.size.0 * self.size.1).take(count).enumerate() {
                fill(index, values);
            }
        };
        self.input.inplace_op1(&Fill(RefCell::new(Some(fill_all)))).map_err(failed)?;
        self.output.inplace_op2(&self.input, &Run { plan: &self.plan, count }).map_err(failed)?;
        let (storage, layout) = self.output.storage_and_layout();
        let Storage::Cpu(cpu) = &*storage else {
            return Err(Fault::new(Kind::Internal, "the result is not in the processor's memory"));
        };
        let (h, w, c) = self.output_shape();
        for (index, result) in tight(cpu, layout).map_err(failed)?.chunks_exact(h * w * c).take(count).enumerate() {
            use_result(index, result);
        }
        Ok(())
    }

    /// Multiplications and additions for one input.
    pub fn flops(&self) -> u64 {
        self.plan.steps.iter().map(|step| step.flops).sum()
    }

    /// Runs every layer `times` times for one input on whatever the maps hold and tells the fastest time of each.
    pub fn layer_costs(&self, times: usize, clock: &dyn Clock) -> Vec<LayerCost> {
        let mut buffers = self.plan.buffers.borrow_mut();
        self.plan
            .steps
            .iter()
            .map(|step| {
                let mut best = Duration::MAX;
                for _ in 0..times.max(1) {
                    let start = clock.now();
                    self.plan.step(step, 1, &mut buffers);
                    best = best.min(clock.now().since(start));
                }
                LayerCost { name: step.name.clone(), flops: step.flops, time: best }
            })
            .collect()
    }
}

/// Writes a tensor in place.
struct Fill<F>(RefCell<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for Fill<F> {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        if let Some(fill) = self.0.borrow_mut().take() {
            fill(tight_mut(storage, layout)?);
        }
        Ok(())
    }
}

/// A plan to be run for so many inputs.
struct Run<'a> {
    plan: &'a Plan,
    count: usize,
}

impl InplaceOp2 for Run<'_> {
    fn name(&self) -> &'static str {
        "outrider network"
    }

    fn cpu_fwd(
        &self,
        result: &mut CpuStorage,
        result_layout: &Layout,
        input: &CpuStorage,
        input_layout: &Layout,
    ) -> candle_core::Result<()> {
        self.plan.forward(self.count, tight(input, input_layout)?, tight_mut(result, result_layout)?);
        Ok(())
    }
}

fn tight<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| candle_core::Error::msg("not contiguous"))?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

fn tight_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| candle_core::Error::msg("not contiguous"))?;
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        _ => Err(candle_core::Error::msg("not 32-bit floating point")),
    }
}

/// The graph with every shape worked out.
struct Plan {
    maps: Vec<Map>,
    steps: Vec<Step>,
    output: usize,
    /// Borrowed only while the plan runs, which it does on one thread.
    buffers: RefCell<Buffers>,
}

struct Map {
    shape: Shape,
}

/// What a plan computes in.
struct Buffers {
    /// One a map, room for those of all inputs one behind the other.
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

impl Plan {
    fn new(model: &Model, width: usize, height: usize, most: usize) -> Result<Self, String> {
        let stride = model.input.stride.max(1);
        if width == 0 || height == 0 || !width.is_multiple_of(stride) || !height.is_multiple_of(stride) {
            return Err(format!("an input of {width}x{height} is not a multiple of {stride}"));
        }
        let mut named = HashMap::from([("x".to_owned(), 0)]);
        let mut maps = vec![Map { shape: Shape { h: height, w: width, c: 1, py: 0, px: 0 } }];
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
            let other = match &what {
                What::Conv { sum, .. } => *sum,
                What::Add { with, .. } => Some(*with),
                _ => None,
            };
            if let Some(other) = other
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
            if let (What::Add { doubled, .. }, Op::Add { r#in, .. }) = (&mut what, op)
                && let Some(Step { what: What::Up2, src, dst, .. }) = steps.last()
                && *dst == source
                && model.graph.iter().filter(|op| op.reads(r#in)).count() == 1
                && !model.outputs.contains(r#in)
            {
                (*doubled, source) = (true, *src);
                steps.pop();
            }
            maps.push(Map { shape: Shape { h, w, c, py: 0, px: 0 } });
            steps.push(Step { what, src: source, dst: maps.len() - 1, name, flops });
            if named.insert(out.clone(), maps.len() - 1).is_some() {
                return Err(format!("two maps are named {out:?}"));
            }
        }
        let [output] = model.outputs.as_slice() else {
            return Err(format!("there are {} outputs, one is expected", model.outputs.len()));
        };
        let output = named.get(output).copied().ok_or_else(|| format!("no map is named {output:?}, the output"))?;
        // Maps of one width share the margin, so that a convolution finds equal pitches on both sides.
        let mut margins = HashMap::new();
        for map in &maps {
            let margin = margins.entry(map.shape.w).or_insert(0);
            *margin = (*margin).max(map.shape.px);
        }
        for map in &mut maps {
            map.shape.px = margins[&map.shape.w];
        }
        let mut buffers = Buffers {
            maps: maps.iter().map(|map| vec![0.0; most * map.shape.len()]).collect(),
            scratch: Scratch::default(),
        };
        for step in &steps {
            if let What::Conv { conv, .. } = &step.what {
                // What a few need is not always less than what more do: they are done in blocks of about one size.
                (1..=most).for_each(|count| conv.reserve(count, maps[step.dst].shape, &mut buffers.scratch));
            }
        }
        Ok(Self { maps, steps, output, buffers: RefCell::new(buffers) })
    }

    fn forward(&self, count: usize, inputs: &[f32], results: &mut [f32]) {
        let mut buffers = self.buffers.borrow_mut();
        let (first, last) = (self.maps[0].shape, self.maps[self.output].shape);
        let inputs = inputs.chunks_exact(first.h * first.w * first.c).take(count);
        for (input, map) in inputs.zip(buffers.maps[0].chunks_exact_mut(first.len())) {
            kernels::fill(input, map, first);
        }
        for step in &self.steps {
            self.step(step, count, &mut buffers);
        }
        let results = results.chunks_exact_mut(last.h * last.w * last.c).take(count);
        for (result, map) in results.zip(buffers.maps[self.output].chunks_exact(last.len())) {
            kernels::take(map, last, result);
        }
    }

    /// One step for `count` inputs.
    fn step(&self, step: &Step, count: usize, buffers: &mut Buffers) {
        let Buffers { maps, scratch } = buffers;
        // A step writes the map made for it, which comes after all that it reads.
        let (before, after) = maps.split_at_mut(step.dst);
        let (s, d) = (self.maps[step.src].shape, self.maps[step.dst].shape);
        let all = |index: usize| {
            let shape = self.maps[index].shape;
            (&before[index][..count * shape.len()], shape)
        };
        let (src, _) = all(step.src);
        let dst = &mut after[0][..count * d.len()];
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

#[cfg(test)]
mod tests {
    use super::super::model::Role;
    use super::*;

    /// What PyTorch made of an input, stored when the weights were exported: input and output, both in its order
    /// (1 x channels x height x width).
    fn vectors(role: Role) -> (Vec<f32>, (usize, usize), Vec<f32>, [usize; 3]) {
        let path = format!("{}/tests/data/{}_vectors.safetensors", env!("CARGO_MANIFEST_DIR"), role.name());
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).expect("the vectors are part of the project");
        let tensor = |names: [&str; 2]| {
            names.iter().find_map(|name| tensors.get(*name)).unwrap_or_else(|| panic!("{names:?} are missing"))
        };
        let (input, output) = (tensor(["x", "input"]), tensor(["heat", "output"]));
        let values = |tensor: &Tensor| tensor.flatten_all().and_then(|t| t.to_vec1()).expect("32-bit floats");
        let (_, _, h, w) = input.dims4().expect("four dimensions");
        let (_, c, oh, ow) = output.dims4().expect("four dimensions");
        (values(input), (w, h), values(output), [c, oh, ow])
    }

    #[test]
    fn every_network_gives_what_pytorch_gives() {
        for role in [Role::Finder, Role::Aligner, Role::Reader] {
            let (input, (width, height), want, [c, h, w]) = vectors(role);
            let model = Model::load(role, None).expect("part of the program");
            let mut network = Network::sized(&model, width, height, 3).expect("the size fits");
            assert_eq!(network.output_shape(), (h, w, c));
            // Several times: nothing of the run before may be left over in the margins, and none of the inputs that are run at once
            // may have a part in the results of another.
            for run in [1, 3, 2, 3] {
                let the_last = |index: usize| index + 1 == run;
                network
                    .run(
                        run,
                        |index, values| match the_last(index) {
                            true => values.copy_from_slice(&input),
                            false => values.fill(index as f32 - 0.5),
                        },
                        |index, got| {
                            if !the_last(index) {
                                return;
                            }
                            for y in 0..h {
                                for x in 0..w {
                                    for channel in 0..c {
                                        let (a, b) = (got[(y * w + x) * c + channel], want[(channel * h + y) * w + x]);
                                        assert!(
                                            (a - b).abs() < 1e-3,
                                            "{} {run} at once at {x},{y} channel {channel}: {a} is not {b}",
                                            role.name()
                                        );
                                    }
                                }
                            }
                        },
                    )
                    .expect("it runs");
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let model = Model::load(Role::Finder, None).expect("part of the program");
        for (width, height) in [(0, 32), (33, 32), (640, 0)] {
            assert!(Network::sized(&model, width, height, 1).is_err(), "{width}x{height}");
        }
    }

    #[test]
    fn a_graph_that_does_not_work_out_is_refused_with_its_reason() {
        let good = Model::load(Role::Aligner, None).expect("part of the program");
        let mut cut = good.clone();
        cut.graph.truncate(2);
        let mut twice = good.clone();
        let first = twice.graph[0].clone();
        twice.graph.push(first);
        let mut unweighed = good.clone();
        unweighed.weights.clear();
        for (model, reason) in [(cut, "the output"), (twice, "two maps"), (unweighed, "no weights")] {
            let fault = Network::new(&model, 1).err().expect("refused").to_string();
            assert!(fault.contains(reason), "{fault}");
        }
    }
}
