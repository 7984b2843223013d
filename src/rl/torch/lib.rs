//! The networks on libtorch, as a library that dqn-trader loads on first use: libtorch costs every
//! process that is linked to it a quarter of a second and 100 MB.
//!
//! ```text
//! table      the functions that the program calls, in C's terms; compiled into both
//! shape      a network's sizes, settings and parameters, as the program describes them
//! layers     building blocks
//! network    the Q-network, put together from them
//! engine     online and target network: values, contexts, gradients
//! policy     a network as TorchScript
//! entry      the functions of the table
//! ```
//!
//! A new layer goes into `layers` or `network`, and its parameters into the program's
//! `src/rl/network.rs`; `network.engine=torch` trains it. See CONTRIBUTING.md.

mod engine;
mod entry;
mod layers;
mod network;
mod policy;
mod shape;
// The program uses the rest.
#[allow(dead_code)]
mod table;
