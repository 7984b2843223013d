//! Where a network is computed.

/// As `--device` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    #[default]
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
}
