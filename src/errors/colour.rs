//! Colours of what is said, where a terminal shows them.

use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();

/// Whether the streams of this process are not those of its user.
static IS_OFF: AtomicBool = AtomicBool::new(false);

/// From now on nothing is coloured: a launcher gives its ranks a terminal of its own, and what they
/// say may end in a file.
pub(crate) fn switch_off() {
    IS_OFF.store(true, Ordering::Relaxed);
}

/// Whether `stream` is a terminal that shows colours and its user has not said no: `NO_COLOR`,
/// `CLICOLOR`, `CLICOLOR_FORCE` and `TERM` are obeyed.
pub(crate) fn shows_colour(stream: &impl RawStream) -> bool {
    !IS_OFF.load(Ordering::Relaxed) && AutoStream::choice(stream) != ColorChoice::Never
}

/// `text` with errors, verdicts, heads of tables and titles set off. JSON stays as it is.
pub(crate) fn coloured(text: &str) -> String {
    if text.starts_with(['{', '[']) {
        return text.into();
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_head = |at: usize| lines.get(at).is_some_and(|line| is_table_head(line));
    let mut shown = String::with_capacity(text.len() + 16 * lines.len());
    for (at, line) in lines.iter().enumerate() {
        let (words, end) = line.strip_suffix('\n').map_or((*line, ""), |words| (words, "\n"));
        if let Some(message) = words.strip_prefix("error: ") {
            shown += &set_off("error:", AnsiColor::Red.on_default().bold());
            shown += &format!(" {message}{end}");
            continue;
        }
        let is_title = !words.is_empty() && (is_head(at + 1) || words == "written:");
        let style = match verdict_colour(words) {
            Some(colour) => colour.on_default().bold(),
            None if is_head(at) || is_title => BOLD,
            None => Style::new(),
        };
        shown += &set_off(words, style);
        shown += end;
    }
    shown
}

fn set_off(words: &str, style: Style) -> String {
    format!("{}{words}{}", style.render(), style.render_reset())
}

fn verdict_colour(line: &str) -> Option<AnsiColor> {
    let verdict = line.strip_prefix("verdict: ")?;
    Some(match verdict {
        found if found.starts_with("evidence") => AnsiColor::Green,
        found if found.starts_with("worse") => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    })
}

/// The first column of a table has no name, so that its head begins with blanks; so do paths, with
/// two, and they are single words.
fn is_table_head(line: &str) -> bool {
    line.starts_with("   ") && line.split_whitespace().count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_set_off() {
        let text = "What each earned\n         return  Sharpe\nDQN       +1.0%    0.50\n\n\
                    verdict: evidence of an edge\nwritten:\n  results/a b\n";
        let expected = "\u{1b}[1mWhat each earned\u{1b}[0m\n\
                        \u{1b}[1m         return  Sharpe\u{1b}[0m\nDQN       +1.0%    0.50\n\n\
                        \u{1b}[1m\u{1b}[32mverdict: evidence of an edge\u{1b}[0m\n\
                        \u{1b}[1mwritten:\u{1b}[0m\n  results/a b\n";
        assert_eq!(coloured(text), expected);
        let error = coloured("error: it failed\n");
        assert_eq!(error, "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m it failed\n");
        assert!(coloured("verdict: worse than doing nothing").contains("[31m"));
        assert!(coloured("verdict: no evidence of an edge").contains("[33m"));
        let json = "{\n    \"a\": 1,\n    \"b\": 2\n}\n";
        assert_eq!(coloured(json), json);
    }

    /// A file is no terminal.
    #[test]
    fn files_have_no_colours() {
        assert!(!shows_colour(&tempfile::tempfile().unwrap()));
    }
}
