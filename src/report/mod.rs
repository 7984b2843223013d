//! What a run leaves behind and what it says while it runs.
