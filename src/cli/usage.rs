//! A wrong command line in one line.

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

use super::{Cli, one_line};

/// What is wrong with the words of a command line, `words`, and which help to read.
pub(crate) fn usage_error(error: &clap::Error, words: &[String]) -> String {
    let cli = Cli::command();
    let path = path(&cli, words);
    let command = path.iter().fold(&cli, |command, name| {
        command.find_subcommand(name).expect("a subcommand that was found before")
    });
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let all: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        return format!("`{}` needs one of: {}", path.join(" "), all.join(", "));
    }
    let text = error.to_string();
    let message = text.split("\n\nUsage:").next().unwrap_or(&text);
    let message = message.split("\n\nFor more").next().unwrap_or(message);
    let message = one_line(message.trim_start_matches("error: ")).replace(" tip: ", "; ");
    let called = std::iter::once("dqn-trader").chain(path.iter().copied());
    format!("{message}; see {} --help", called.collect::<Vec<_>>().join(" "))
}

/// The names of the subcommand, and of its subcommand, among `words`.
fn path<'a>(cli: &'a Command, words: &[String]) -> Vec<&'a str> {
    let (mut command, mut path) = (cli, Vec::new());
    for word in words.iter().take_while(|word| !word.starts_with('-')) {
        let Some(found) = command.find_subcommand(word) else { break };
        path.push(found.get_name());
        command = found;
    }
    path
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn error_of(words: &[&str]) -> String {
        let error = Cli::try_parse_from(["dqn-trader"].iter().chain(words)).unwrap_err();
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        usage_error(&error, &words)
    }

    #[test]
    fn a_wrong_command_line_is_one_line_that_helps() {
        assert_eq!(
            error_of(&["strategies"]),
            "`strategies` needs one of: list, run, optimize, stream"
        );
        assert_eq!(error_of(&["data"]), "`data` needs one of: check, upload");
        let expected = "invalid value '-1' for '--episodes <N>': \
                        must be a whole number from 1 to 10000000; \
                        see dqn-trader --help";
        assert_eq!(error_of(&["--episodes", "-1"]), expected);
        let misspelled = error_of(&["strategies", "run", "--ensmble", "voting"]);
        assert!(misspelled.contains("a similar argument exists: '--ensemble'"), "{misspelled}");
        assert!(misspelled.ends_with("; see dqn-trader strategies run --help"), "{misspelled}");
        assert!(!misspelled.contains("tip:") && !misspelled.contains('\n'), "{misspelled}");
    }

    /// Whole numbers are called N in the help.
    #[test]
    fn every_number_has_bounds() {
        let (mut left, mut checked) = (vec![(Vec::new(), Cli::command())], 0);
        while let Some((path, command)) = left.pop() {
            for flag in command.get_arguments() {
                let names = flag.get_value_names().unwrap_or_default();
                let Some(long) = flag.get_long().filter(|_| names.iter().any(|n| n == "N")) else {
                    continue;
                };
                for text in ["-1", "18446744073709551615", "1e400", "nan", "inf", "0x10", ""] {
                    let flag = format!("--{long}={text}");
                    let words = [&path[..], &[flag]].concat();
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let line = error_of(&words);
                    assert!(line.contains("must be a whole number from"), "{words:?}: {line}");
                }
                checked += 1;
            }
            for below in command.get_subcommands() {
                let path = [&path[..], &[below.get_name().to_string()]].concat();
                left.push((path, below.clone()));
            }
        }
        assert!(checked > 40, "{checked}");
    }
}
