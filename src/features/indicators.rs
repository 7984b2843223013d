//! Technical indicators, equal to TA-Lib's.
