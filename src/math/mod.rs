//! Pure functions: values in, values out.

pub mod fixed_share;
pub mod normal;
