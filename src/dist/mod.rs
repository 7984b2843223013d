//! Ranks: what they say to each other and who does what.
