//! The program `dqn-trader`; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dqn_trader::main()
}
