//! Use of the processor: threads, SIMD, huge pages.

pub(crate) mod huge_pages;
pub(crate) mod simd_dispatch;
pub mod threads;
