//! Paper trading: a trained desk trades bars as they come, on an account that lives on.
//!
//! ```text
//! feed     new bars: a store that is watched, or lines of standard input, which line_check checks
//! rows     bars of several stocks to rows of one time; what comes too late
//! journal  the rows as they were decided, and nothing else: all files follow from it
//! desk     features, DQN, rules, meta-policy, limits and account, row by row
//! account  journal and desk together: what survives a kill
//! outputs  the files of an account
//! serve    the account as a live page
//! ```
//!
//! Nothing is sent anywhere: orders are written, and filled at the next bar's open as an evaluation
//! fills them. Rows in the order of time decide, bit for bit, what an evaluation of the same bars
//! decides, because the same code decides.

pub(crate) mod account;
pub(crate) mod desk;
pub(crate) mod feed;
pub(crate) mod journal;
mod line_check;
pub(crate) mod outputs;
pub(crate) mod rows;
pub(crate) mod serve;
