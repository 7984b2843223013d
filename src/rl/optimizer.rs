//! Adam on a flat buffer, and gradient clipping by global norm.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::parameters::Layout;
use crate::compute::simd_dispatch::wide;
use crate::compute::threads::run_parallel;

/// The error of a gradient that is not finite: training has diverged.
#[derive(Clone, Debug, Error, PartialEq)]
#[error(
    "the gradient of {parameter}, element {element}, is {value}: training diverged; \
     lower the learning rate or max_grad_norm"
)]
pub struct NonFiniteGradient {
    /// Name in the state dict.
    pub parameter: String,
    /// Index in the row-major parameter.
    pub element: usize,
    /// NaN or infinite.
    pub value: f32,
}

/// Number of elements per task.
const SLICE: usize = 1 << 14;

/// The factor for `gradient`: `scale`, or less if its Euclidean norm would exceed `max_norm`.
/// Pascanu, Mikolov and Bengio (2013), algorithm 1. Errors: the gradient is not finite; the
/// parameter is named from `layout`.
pub fn clipped_scale(
    gradient: &[f32],
    scale: f64,
    max_norm: f64,
    layout: &Layout,
) -> Result<f32, NonFiniteGradient> {
    assert_eq!(gradient.len(), layout.len());
    assert!(max_norm > 0.0, "a norm cannot be limited to {max_norm}");
    // Squares of f32 cannot overflow an f64, so the norm is finite if and only if every element is.
    let norm = scale * sum_of_squares(gradient).sqrt();
    if !norm.is_finite() {
        return Err(first_non_finite(gradient, layout));
    }
    Ok((scale * (max_norm / norm).min(1.0)) as f32)
}

/// Sums by slices, so that the order of addition does not depend on the number of threads.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = vec![0.0; values.len().div_ceil(SLICE)];
    run_parallel(values.chunks(SLICE).zip(&mut sums).collect(), |(values, sum)| {
        *sum = sum_of_slice(values);
    });
    sums.iter().sum()
}

wide! {
/// In eight partial sums, so that the order of addition is fixed and vectors of any width can be
/// used.
fn sum_of_slice(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0f64; 8];
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    let square = |&value: &f32| f64::from(value) * f64::from(value);
    sums.iter().sum::<f64>() + rest.iter().map(square).sum::<f64>()
}
}

fn first_non_finite(gradient: &[f32], layout: &Layout) -> NonFiniteGradient {
    let found = layout.parameters().iter().find_map(|parameter| {
        let values = &gradient[parameter.offset..parameter.offset + parameter.len];
        let element = values.iter().position(|value| !value.is_finite())?;
        let value = values[element];
        Some(NonFiniteGradient { parameter: parameter.name.clone(), element, value })
    });
    found.expect("a norm that is not finite has an element that is not")
}

/// Kingma and Ba (2015), algorithm 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamConfig {
    /// Decay of the first moment per step.
    pub beta1: f64,
    /// Decay of the second moment per step.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
}

/// State of the optimizer, which checkpoints store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    pub(crate) config: AdamConfig,
    /// First and second moments, in the order of the flat buffer.
    pub(crate) m: Vec<f32>,
    pub(crate) v: Vec<f32>,
    /// Number of steps taken.
    pub(crate) steps: u64,
}

impl Adam {
    /// For `len` parameters.
    pub fn new(len: usize, config: AdamConfig) -> Adam {
        Adam { config, m: vec![0.0; len], v: vec![0.0; len], steps: 0 }
    }

    /// One step with the finite gradient `scale * gradient`, in a single pass: moments, bias
    /// correction and parameters.
    pub fn step(
        &mut self,
        learning_rate: f64,
        parameters: &mut [f32],
        gradient: &[f32],
        scale: f32,
    ) {
        assert_eq!(parameters.len(), self.m.len());
        assert_eq!(gradient.len(), self.m.len());
        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon } = self.config;
        let correction1 = 1.0 - beta1.powf(self.steps as f64);
        let correction2 = 1.0 - beta2.powf(self.steps as f64);
        let factors = Factors {
            step_size: (learning_rate / correction1) as f32,
            root_scale: (1.0 / correction2.sqrt()) as f32,
            keep: [beta1 as f32, beta2 as f32],
            take: [(1.0 - beta1) as f32, (1.0 - beta2) as f32],
            epsilon: epsilon as f32,
            scale,
        };
        let moments = self.m.chunks_mut(SLICE).zip(self.v.chunks_mut(SLICE));
        let slices = parameters.chunks_mut(SLICE).zip(gradient.chunks(SLICE)).zip(moments);
        run_parallel(slices.collect(), |((parameters, gradient), (m, v))| {
            update(&factors, parameters, gradient, m, v);
        });
    }
}

/// A gradient below this is set to 0: its square would be subnormal. It is far below any epsilon.
const NEGLIGIBLE_GRADIENT: f32 = 1e-15;

/// Flushes subnormal numbers to 0: the moments of parameters without a gradient decay to them, and
/// processors compute with them some hundred times more slowly.
#[inline(always)]
fn flush_subnormal(moment: f32) -> f32 {
    if moment.abs() < f32::MIN_POSITIVE / f32::EPSILON { 0.0 } else { moment }
}

/// Factors of a step; pairs are for the first and the second moments.
struct Factors {
    step_size: f32,
    root_scale: f32,
    keep: [f32; 2],
    take: [f32; 2],
    epsilon: f32,
    scale: f32,
}

wide! {
fn update(
    factors: &Factors,
    parameters: &mut [f32],
    gradient: &[f32],
    m: &mut [f32],
    v: &mut [f32],
) -> () {
    let Factors { step_size, root_scale, keep, take, epsilon, scale } = *factors;
    let moments = m.iter_mut().zip(v);
    for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
        let g = scale * g;
        let g = if g.abs() < NEGLIGIBLE_GRADIENT { 0.0 } else { g };
        *m = flush_subnormal(keep[0] * *m + take[0] * g);
        *v = flush_subnormal(keep[1] * *v + take[1] * g * g);
        *parameter -= step_size * *m / (v.sqrt() * root_scale + epsilon);
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 0.01;
    const CONFIG: AdamConfig = AdamConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    fn layout() -> Layout {
        let mut layout = Layout::default();
        layout.push("encoder.weight", &[2, 5]);
        layout.push("encoder.bias", &[2]);
        layout
    }

    #[test]
    fn moments_decay_to_zero() {
        let mut adam = Adam::new(2, CONFIG);
        let mut parameters = [0.0, 0.0];
        adam.step(RATE, &mut parameters, &[1.0, 1e-19], 1.0);
        for _ in 0..2_000 {
            adam.step(RATE, &mut parameters, &[0.0, 1e-19], 1.0);
        }
        assert_eq!((&adam.m[..], adam.v[1]), (&[0.0, 0.0][..], 0.0));
        assert!(adam.v[0] > 1e-4 && parameters[1] == 0.0);
    }

    /// From torch.optim.Adam of PyTorch 2.11.0 in float64: parameters after steps 1, 2 and 6.
    /// Without the bias correction, or with epsilon under the root, the result would differ by more
    /// than 1e-4.
    #[test]
    fn adam_takes_pytorchs_steps() {
        let gradients: [[f32; 4]; 6] = [
            [0.1, -2.0, 3e-4, 0.0],
            [0.2, 1.5, -3e-4, 0.5],
            [-0.4, 1.0, 3e-4, 0.5],
            [0.05, -0.25, -3e-4, -1.0],
            [0.3, 4.0, 3e-4, 0.25],
            [-0.1, 0.0, 3e-4, 8.0],
        ];
        let golden: [(usize, [f64; 4]); 3] = [
            (1, [0.490000001, -0.99, 1.990000333, 0.0]),
            (2, [0.480348181, -0.98910675, 1.990526632, -0.007441368]),
            (6, [0.479905681, -1.000904963, 1.981909061, -0.021087765]),
        ];
        let mut parameters = [0.5f32, -1.0, 2.0, 0.0];
        let mut adam = Adam::new(4, CONFIG);
        for (i, gradient) in gradients.iter().enumerate() {
            // A power of two scales without rounding.
            let scale = [1.0, 0.5, 4.0][i % 3];
            adam.step(RATE, &mut parameters, &gradient.map(|g| g / scale), scale);
            for (_, expected) in golden.iter().filter(|(step, _)| *step == i + 1) {
                for (value, expected) in parameters.iter().zip(expected) {
                    assert!((f64::from(*value) - expected).abs() < 1e-6, "step {}", i + 1);
                }
            }
        }
        assert_eq!(adam.steps, 6);
    }

    #[test]
    fn a_restored_optimizer_resumes_bit_for_bit() {
        let gradient: Vec<f32> = (0..100).map(|i| (i as f32).sin()).collect();
        let mut parameters = vec![1.0f32; 100];
        let mut adam = Adam::new(100, CONFIG);
        (0..5).for_each(|_| adam.step(RATE, &mut parameters, &gradient, 1.0));
        let saved = serde_json::to_string(&adam).unwrap();
        let mut restored: Adam = serde_json::from_str(&saved).unwrap();
        let mut copy = parameters.clone();
        adam.step(RATE, &mut parameters, &gradient, 1.0);
        restored.step(RATE, &mut copy, &gradient, 1.0);
        assert_eq!((parameters, adam), (copy, restored));
    }

    /// Twelve elements of 2 have a norm of sqrt(48) = 6.9282, of which half is 3.4641.
    #[test]
    fn a_long_gradient_is_scaled_down_and_a_short_one_is_not() {
        let scale = |by, most| clipped_scale(&[2.0; 12], by, most, &layout()).unwrap();
        assert!((scale(1.0, 12f64.sqrt()) - 0.5).abs() < 1e-7);
        assert_eq!(scale(1.0, 10.0), 1.0);
        assert_eq!(scale(0.25, 10.0), 0.25, "the mean of four");
        assert!((scale(0.25, 3f64.sqrt() / 2.0) - 0.125).abs() < 1e-7, "of which half is too long");
        assert_eq!(clipped_scale(&[0.0; 12], 0.25, 10.0, &layout()).unwrap(), 0.25);
    }

    #[test]
    fn the_largest_gradients_have_a_finite_norm() {
        let gradient = [f32::MAX; 12];
        let scale = clipped_scale(&gradient, 1.0, 10.0, &layout()).unwrap();
        let norm = f64::from(scale) * f64::from(f32::MAX) * 12f64.sqrt();
        assert!((norm / 10.0 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn threads_change_no_bit() {
        let gradient: Vec<f32> = (0..4 * SLICE + 777).map(|i| (i as f32).sin()).collect();
        let step = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut parameters = vec![1.0f32; gradient.len()];
                let mut adam = Adam::new(gradient.len(), CONFIG);
                (0..3).for_each(|_| adam.step(RATE, &mut parameters, &gradient, 0.3));
                (sum_of_squares(&gradient).to_bits(), parameters, adam)
            })
        };
        let squares: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
        assert!((f64::from_bits(step(1).0) / squares - 1.0).abs() < 1e-12);
        assert_eq!(step(1), step(3));
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named() {
        for (place, parameter, element) in [(3, "encoder.weight", 3), (11, "encoder.bias", 1)] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut gradient = [1.0f32; 12];
                gradient[place] = value;
                let error = clipped_scale(&gradient, 1.0, 1.0, &layout()).unwrap_err();
                assert_eq!((error.parameter.as_str(), error.element), (parameter, element));
                assert_eq!(error.value.to_bits(), value.to_bits());
                assert!(error.to_string().contains(parameter));
            }
        }
    }
}
