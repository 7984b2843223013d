//! Training: preparation of the data, the lockstep loop.
