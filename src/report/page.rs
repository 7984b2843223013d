//! The frame of a page and the parts that all pages are made of.

use std::fmt::Write;

use super::format::minus;
use super::plot::{Scale, Screen};
use crate::market::Symbol;

/// A whole self-contained page, `title` as plain text.
pub(super) fn page(title: &str, content: &str) -> String {
    let style = include_str!("report.css");
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: dqn-trader</title>\n<style>\n{style}</style>\n</head>\n\
         <body>\n<main>\n{content}</main>\n</body>\n</html>\n"
    )
}

/// One figure on a linear and on a logarithmic axis, of which the reader picks one; no script is
/// needed. `id` is its own on the page.
pub(super) fn switched_figure(
    id: &str,
    label: &str,
    caption: &str,
    svg: impl Fn(Scale, Screen) -> String,
) -> String {
    let mut text = String::from("<figure class=\"switch\">\n<p class=\"axes\">");
    let axes = [(Scale::Linear, "linear", " checked"), (Scale::Logarithmic, "logarithmic", "")];
    for (_, name, checked) in axes {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "<label><input type=\"radio\" name=\"{id}\" value=\"{name}\"{checked}> {name} axis</label> "
        );
    }
    text += "</p>\n";
    for (scale, name, _) in axes {
        let drawn = on_screens(&format!("{label}, {name} axis"), |screen| svg(scale, screen));
        let _ = writeln!(text, "<div class=\"{name}\">{drawn}</div>");
    }
    text + &format!("<figcaption>{}</figcaption>\n</figure>\n", escape(caption))
}

/// A figure that is drawn for every screen; heading and caption may be empty.
pub(super) fn figure(
    heading: &str,
    label: &str,
    caption: &str,
    svg: impl Fn(Screen) -> String,
) -> String {
    with_caption(heading, &on_screens(label, svg), caption)
}

/// A figure that suits every screen as it is.
pub(super) fn small_figure(heading: &str, label: &str, caption: &str, svg: &str) -> String {
    with_caption(heading, &labelled(svg, label, ""), caption)
}

fn with_caption(heading: &str, drawn: &str, caption: &str) -> String {
    let element = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!("<{name}>{}</{name}>\n", escape(text)),
    };
    let (heading, caption) = (element("h3", heading), element("figcaption", caption));
    format!("<figure>\n{heading}{drawn}{caption}</figure>\n")
}

/// The picture for each screen, of which the style shows one.
fn on_screens(label: &str, svg: impl Fn(Screen) -> String) -> String {
    let class = |screen| match screen {
        Screen::Wide => " class=\"on-wide\"",
        Screen::Narrow => " class=\"on-narrow\"",
    };
    Screen::ALL.map(|screen| labelled(&svg(screen), label, class(screen))).concat()
}

/// Up to six names, then how many more.
pub(super) fn names(stocks: &[Symbol]) -> String {
    let shown: Vec<&str> = stocks.iter().map(Symbol::as_str).collect();
    match shown.as_slice() {
        [] => "no stocks".into(),
        [one] => one.to_string(),
        [few @ .., last] if few.len() < 6 => format!("{} and {last}", few.join(", ")),
        many => format!("{} and {} more", many[..5].join(", "), many.len() - 5),
    }
}

/// Sections side by side where there is room, the second the wider one.
pub(super) fn columns(sections: [String; 2]) -> String {
    let shown = sections.iter().filter(|section| !section.is_empty());
    let shown: String = shown.map(|section| format!("<section>\n{section}</section>\n")).collect();
    if shown.is_empty() {
        shown
    } else {
        format!("<div class=\"columns uneven\">\n{shown}</div>\n")
    }
}

/// The picture with what it shows, for those who do not see it.
fn labelled(svg: &str, label: &str, attributes: &str) -> String {
    let labelled = format!("<svg role=\"img\"{attributes} aria-label=\"{}\" ", escape(label));
    svg.replacen("<svg ", &labelled, 1)
}

/// Tables of more columns than this become cards on narrow screens.
const MAX_NARROW: usize = 5;

/// A table with a heading per column, the first of which names the rows. Cells are plain text;
/// `label` says what the table is.
pub(super) fn table(label: &str, head: &[String], rows: &[Vec<String>]) -> String {
    let mut body = String::new();
    for row in rows {
        let (name, values) = row.split_first().expect("a row has cells");
        let values = values.iter().zip(&head[1..]);
        let values: String = values.map(|(value, name)| cell(name, value)).collect();
        // Writing to a String does not fail.
        let _ = writeln!(body, "<tr><th scope=\"row\">{}</th>{values}</tr>", escape(name));
    }
    let class = if head.len() > MAX_NARROW { "cards" } else { "" };
    wide(label, class, &format!("{}<tbody>\n{body}</tbody>\n", thead(head)))
}

/// The row of headings.
pub(super) fn thead(head: &[String]) -> String {
    let cell = |name: &String| match name.as_str() {
        "" => "<td></td>".to_string(),
        name => format!("<th scope=\"col\">{}</th>", escape(name)),
    };
    let head: String = head.iter().map(cell).collect();
    format!("<thead><tr>{head}</tr></thead>\n")
}

/// A cell, which on a card has the name of its column beside it.
pub(super) fn cell(name: &str, value: &str) -> String {
    format!("<td data-label=\"{}\">{}</td>", escape(name), minus(&escape(value)))
}

/// A table that can be scrolled where it is wider than the page, by keyboard, too. Of the class
/// `cards` each row is a card on narrow screens.
pub(super) fn wide(label: &str, class: &str, content: &str) -> String {
    let label = escape(label);
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!(
        "<div class=\"wide\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\"><table{class}>\n\
         {content}</table></div>\n"
    )
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn text_reads_well() {
        assert_eq!(
            minus("from 2020-01-02, -3.5% buy-and-hold"),
            "from 2020-01-02, −3.5% buy-and-hold"
        );
        let stocks = |n: usize| example::run(n, 1).config.stocks;
        assert_eq!(names(&stocks(1)), "AAPL");
        assert_eq!(names(&stocks(3)), "AAPL, MSFT and GOOGL");
        assert_eq!(names(&stocks(9)), "AAPL, MSFT, GOOGL, AMZN, META and 4 more");
    }

    #[test]
    fn cells_are_escaped_and_name_their_rows_and_columns() {
        let head = ["", "a<b", "c"].map(String::from);
        let rows = vec![["x", "-1", "&"].map(String::from).to_vec()];
        let text = table("All \"of\" it", &head, &rows);
        assert!(text.contains("aria-label=\"All &quot;of&quot; it\" tabindex=\"0\""), "{text}");
        assert!(text.contains("<tr><td></td><th scope=\"col\">a&lt;b</th>"), "{text}");
        assert!(!text.contains("cards"), "three columns fit a narrow screen");
        let wide = [&head[..], &["d", "e", "f"].map(String::from)].concat();
        assert!(table("", &wide, &[]).contains("<table class=\"cards\">"));
        assert!(
            text.contains("<td data-label=\"a&lt;b\">−1</td><td data-label=\"c\">&amp;</td></tr>")
        );
    }

    #[test]
    fn both_axes_are_in_the_page_and_one_is_picked() {
        let svg = |scale, screen| format!("<svg id=\"{scale:?}-{screen:?}\"></svg>");
        let text = switched_figure("equity", "Return", "what it is", svg);
        assert_eq!(text.matches("name=\"equity\"").count(), 2);
        assert_eq!(text.matches(" checked>").count(), 1);
        for part in [
            "<div class=\"linear\"><svg role=\"img\" class=\"on-wide\"",
            "class=\"on-narrow\" aria-label=\"Return, linear axis\" id=\"Linear-Narrow",
            "Return, logarithmic axis\" id=\"Logarithmic-Wide",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
