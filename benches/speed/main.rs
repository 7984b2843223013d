//! This program's side of the rows of scripts/bench.sh; called by benches/compare.py, which prints
//! the table. Each command prints one line of JSON: `{"value": number}`, or several named numbers.
//!
//! ```text
//! speed prepare WORK [FLAG...]       panel and sizes of the networks, for the peers
//! speed train SECONDS [FLAG...]      environment steps per second; flags of the program
//! speed act SECONDS [FLAG...]        the same without learning
//! speed learn SECONDS [FLAG...]      GFLOP/s of gradients, and microseconds each
//! speed replay SECONDS CAPACITY      microseconds to sample 256 and update their priorities
//! speed panel CACHE DAYS [FLAG...]   seconds from day files to an open panel
//! speed read DAYS [FLAG...]          seconds to read day files
//! speed sync SECONDS                 under mpirun: microseconds of gradients in, parameters out
//! speed parts                        microseconds of the parts of a training step, for reading
//! speed limits                       this machine's matrix rate and memory bandwidth
//! ```

mod learner;
mod limits;
mod parts;
mod setup;
mod training;

use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let seconds = |text: &str| text.parse::<f64>().expect("a number of seconds");
    let told = match &args[..] {
        ["prepare", work, flags @ ..] => setup::prepare(Path::new(work), flags),
        ["train", s, flags @ ..] => training::train(seconds(s), flags),
        ["act", s, flags @ ..] => training::act(seconds(s), flags),
        ["learn", s, flags @ ..] => learner::learn(seconds(s), flags),
        ["replay", s, capacity] => learner::replay(seconds(s), capacity.parse().expect("a number")),
        ["panel", cache, days, flags @ ..] => setup::panel(Path::new(cache), days, flags),
        ["read", days, flags @ ..] => setup::read(days, flags),
        ["sync", s] => limits::sync(seconds(s)),
        ["limits"] => Some(limits::limits()),
        ["parts"] => return parts::parts(),
        _ => return println!("see scripts/bench.sh"),
    };
    if let Some(told) = told {
        println!("{told}");
    }
}
