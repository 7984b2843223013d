//! From decoded rows to a clean [`BarSeries`]: bad rows, label convention, sessions, resampling, suspected splits.
