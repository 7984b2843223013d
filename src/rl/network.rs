//! The Q-network: a shared encoder, attention over peers, a dueling head.
