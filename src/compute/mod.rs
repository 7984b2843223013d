//! Use of the processor and of the process: threads, SIMD, huge pages, signals.

pub(crate) mod huge_pages;
pub(crate) mod process;
pub(crate) mod simd_dispatch;
pub mod threads;
