//! The device that computes the networks.

/// The value of `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor, with the native engine or libtorch.
    #[default]
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
}
