//! Runs a model file's graph on maps of one size, as a candle operation that writes its result in place.

use std::cell::RefCell;
use std::time::Duration;

use candle_core::{CpuStorage, DType, Device, InplaceOp1, InplaceOp2, Layout, Storage, Tensor};

use super::model::Model;
use super::plan::Plan;
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
        let result = plan.result();
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

    /// Height, width and channels of a result.
    pub fn output_shape(&self) -> (usize, usize, usize) {
        let shape = self.plan.result();
        (shape.h, shape.w, shape.c)
    }

    /// Runs once for `count` inputs, at most as many as it was made for: `fill` writes each (rows of `width` values), `use_result` reads
    /// each result (height x width x channels, channels last). They share what is fetched of the weights. Nothing is allocated.
    pub fn run(
        &mut self,
        count: usize,
        mut fill: impl FnMut(usize, &mut [f32]),
        mut use_result: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        assert!(count <= self.most, "{count} inputs at once, of {} at most", self.most);
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
        self.plan.steps().map(|(_, flops)| flops).sum()
    }

    /// Runs once for one input `times` times and tells the fastest time of each layer.
    pub fn layer_costs(&self, times: usize, clock: &dyn Clock) -> Result<Vec<LayerCost>> {
        let (storage, layout) = self.input.storage_and_layout();
        let Storage::Cpu(cpu) = &*storage else {
            return Err(Fault::new(Kind::Internal, "the input is not in the processor's memory"));
        };
        let input = &tight(cpu, layout).map_err(failed)?[..self.size.0 * self.size.1];
        let costs = |(name, flops): (&str, u64)| LayerCost { name: name.to_owned(), flops, time: Duration::MAX };
        let mut costs: Vec<LayerCost> = self.plan.steps().map(costs).collect();
        for _ in 0..times.max(1) {
            let mut start = clock.now();
            self.plan.steps_of(1, input, |index| {
                let end = clock.now();
                costs[index].time = costs[index].time.min(end.since(start));
                start = end;
            });
        }
        Ok(costs)
    }
}

fn failed(error: candle_core::Error) -> Fault {
    Fault::new(Kind::Internal, "candle failed to run a network").because(error)
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

#[cfg(test)]
mod tests {
    use super::super::model::{Role, Weights};
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

    /// The input has no margin of its own.
    #[test]
    fn the_first_operation_may_reach_beyond_the_edge_of_the_input() {
        let mut model = Model::load(Role::Reader, None).expect("part of the program");
        let sum_of_nine = Weights::new([1, 1, 3, 3], vec![1.0; 9], vec![0.0]);
        model.weights = [("w".to_owned(), sum_of_nine)].into();
        let conv = r#"[{"op": "conv", "in": "x", "out": "y", "w": "w", "pad": "same", "relu": false, "add": "x"}]"#;
        model.graph = serde_json::from_str(conv).expect("a graph");
        model.outputs = vec!["y".to_owned()];
        let mut network = Network::sized(&model, 3, 2, 2).expect("it works out");
        for _ in 0..2 {
            let input = |index: usize, values: &mut [f32]| values.fill((index + 1) as f32);
            let check = |index: usize, got: &[f32]| {
                let want = [5.0, 7.0, 5.0, 5.0, 7.0, 5.0].map(|value| value * (index + 1) as f32);
                assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-4), "{got:?} is not {want:?}");
            };
            network.run(2, input, check).expect("it runs");
        }
    }

    /// Doubling and adding are one step where nothing else reads what is doubled, and only there.
    #[test]
    fn what_is_doubled_may_be_added_to_another_map_and_to_itself() {
        let mut model = Model::load(Role::Reader, None).expect("part of the program");
        model.outputs = vec!["sum".to_owned()];
        for (with, want) in [("twice", 2.0), ("more", 4.0)] {
            model.graph = serde_json::from_str(&format!(
                r#"[{{"op": "s2d", "in": "x", "out": "small", "k": 1}}, {{"op": "up2", "in": "small", "out": "other"}},
                    {{"op": "add", "in": "other", "out": "another", "with": "other", "relu": false}},
                    {{"op": "add", "in": "another", "out": "more", "with": "other", "relu": false}},
                    {{"op": "up2", "in": "small", "out": "twice"}},
                    {{"op": "add", "in": "twice", "out": "sum", "with": "{with}", "relu": false}}]"#
            ))
            .expect("a graph");
            let mut network = Network::sized(&model, 3, 2, 1).expect("it works out");
            let input = |_: usize, values: &mut [f32]| values.copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let doubled = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0];
            let check = |_: usize, got: &[f32]| {
                assert_eq!(got.len(), 24);
                assert!(got.iter().zip(doubled).all(|(a, b)| *a == want * b), "{with}: {got:?}");
            };
            network.run(1, input, check).expect("it runs");
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
        let mut empty = good.clone();
        empty.outputs = vec!["x".to_owned()];
        for (model, reason) in
            [(cut, "the output"), (twice, "two maps"), (unweighed, "no weights"), (empty, "the input itself")]
        {
            let fault = Network::new(&model, 1).err().expect("refused").to_string();
            assert!(fault.contains(reason), "{fault}");
        }
    }
}
