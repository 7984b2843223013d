//! Adam over one flat buffer, and gradient clipping by global norm.
