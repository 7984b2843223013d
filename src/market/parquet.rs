//! File bytes to rows of bars and back.
