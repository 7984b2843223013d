//! Simulated trading: accounts, costs, the environment.
