//! Integration tests: one binary with one module per subject. They run the built program as a user
//! would.

mod agents;
mod asynchronous;
mod azure;
mod bad_input;
mod causality;
mod documentation;
mod dqn;
mod getdata;
mod going_on;
mod honest;
mod http;
mod layers;
mod libtorch;
mod lost_ranks;
mod machine;
mod oracle;
mod program;
mod results;
mod resume;
mod store;
mod strategies;
mod strategy_runner;
mod synth;
mod training;
mod validate;
