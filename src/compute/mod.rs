//! How the processor is used: threads, vectors, pages of memory.

pub mod huge_pages;
pub(crate) mod simd_dispatch;
pub mod threads;
