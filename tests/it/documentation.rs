//! Runs the commands of the documentation.

use crate::program::{Place, run, write_day_files};

/// Input of a stream.
const BAR: &str =
    r#"{"timestamp": 1577977200, "stock": "AAPL", "open": 1, "high": 1, "low": 1, "close": 1}"#;

/// The commands of docs/strategies.md and the README, with only the folder of bars and the days
/// replaced.
#[test]
fn the_commands_of_the_documentation() {
    let place = Place::new();
    write_day_files(&place.path("path/to/bars"), &["AAPL", "SPY"], "2018-01-02", "2018-02-28");
    let mut told = 0;
    for page in [include_str!("../../docs/strategies.md"), include_str!("../../README.md")] {
        let whole = page.replace("\\\n", " ");
        for line in whole.lines().map(str::trim) {
            let command = line.strip_prefix("target/release/").unwrap_or(line);
            let Some(command) = command.strip_prefix("dqn-trader strategies ") else { continue };
            if command.contains("--model") {
                // Needs a trained run: tests/it/dqn.rs.
                continue;
            }
            told += 1;
            let (command, input) = match command.split_once(" < ") {
                Some((command, _)) => (command, true),
                None => (command, false),
            };
            let mut args = vec!["strategies".to_string()];
            args.extend(words(command).into_iter().map(|word| match word.as_str() {
                "bars/" => "path/to/bars".into(),
                "2020-12-31" => "2018-02-28".into(),
                _ => word,
            }));
            if args[1] == "optimize" {
                // Without a period the default is longer than these bars.
                args.extend(["--stocks", "AAPL", "SPY", "--bar-minutes", "30"].map(String::from));
            }
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut program = place.program(&args);
            if input {
                std::fs::write(place.path("bars.jsonl"), BAR).unwrap();
                program.stdin(std::fs::File::open(place.path("bars.jsonl")).unwrap());
            }
            let output = run(&mut program);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !output.stdout.is_empty(), "{line}\n{stderr}");
        }
    }
    assert!(told >= 5, "{told} commands were found");
}

/// Splits a line like a shell: quotes group words.
fn words(line: &str) -> Vec<String> {
    let in_quotes = line.split('"').enumerate();
    let part = |(i, part): (usize, &str)| match i % 2 {
        0 => part.split_whitespace().map(String::from).collect(),
        _ => vec![part.to_string()],
    };
    in_quotes.flat_map(part).collect::<Vec<String>>()
}
