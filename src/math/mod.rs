//! Pure mathematical functions.

pub(crate) mod fixed_share;
pub(crate) mod normal;
