//! Pure mathematical functions.

pub mod fixed_share;
pub mod normal;
