//! Conditions of rules: arithmetic, comparisons and logic over named numbers, without loops, local
//! variables or side effects. The grammar is exmex's with our own operators, whose precedence is
//! Rust's; see docs/decisions/0009.

use std::str::FromStr;

use exmex::{BinOp, ExError, Express, FlatEx, MakeOperators, MatchLiteral, Operator};

use super::names::nearest;

/// A parsed expression over a fixed list of names.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    tree: FlatEx<Term, Operators, Numerals>,
    /// For each variable of the tree, its index in the list of names.
    places: Vec<usize>,
    kind: TermKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TermKind {
    /// True or false.
    Condition,
    Number,
}

/// The value of a subexpression. Its type, number or condition, depends on the operators alone, so
/// a trial with arbitrary numbers finds every type error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Term {
    Number(f64),
    Truth(bool),
    /// An operand of the wrong type.
    Wrong(&'static str),
}

impl Default for Term {
    fn default() -> Term {
        Term::Number(0.0)
    }
}

impl FromStr for Term {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Term, Self::Err> {
        text.parse().map(Term::Number)
    }
}

impl Expression {
    /// # Errors
    /// A message without the position: an unknown name, a number in place of a condition, or a
    /// syntax error.
    pub(crate) fn parse(
        text: &str,
        names: &[String],
        kind: TermKind,
    ) -> Result<Expression, String> {
        check_size(text)?;
        let unreadable = |error: ExError| format!("{text:?} cannot be read: {error}");
        let tree = FlatEx::<Term, Operators, Numerals>::parse(text).map_err(unreadable)?;
        let place = |name: &String| {
            names.iter().position(|known| known == name).ok_or_else(|| {
                let near = nearest(name, names.iter().map(String::as_str));
                let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
                format!("{name:?} is unknown; {near}there are {}", names.join(", "))
            })
        };
        let places = tree.var_names().iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let trial = tree.eval(&vec![Term::Number(1.0); places.len()]).map_err(unreadable)?;
        match (trial, kind) {
            (Term::Wrong(why), _) => return Err(format!("{text:?}: {why}")),
            (Term::Number(_), TermKind::Condition) => {
                return Err(format!("{text:?} is a number; write a condition, as in x < 30"));
            }
            (Term::Truth(_), TermKind::Number) => {
                return Err(format!("{text:?} is a condition; write a number"));
            }
            _ => {}
        }
        Ok(Expression { tree, places, kind })
    }

    /// The value of a condition; `values` in the order of the names.
    pub(crate) fn holds(&self, values: &[f64]) -> bool {
        assert_eq!(self.kind, TermKind::Condition, "a condition holds or does not");
        self.value(values) == Term::Truth(true)
    }

    /// The value of a number; NaN if it is undefined, such as 0 / 0.
    pub(crate) fn number(&self, values: &[f64]) -> f64 {
        assert_eq!(self.kind, TermKind::Number, "a condition has no number");
        match self.value(values) {
            Term::Number(number) => number,
            other => panic!("a parsed number is worth {other:?}"),
        }
    }

    fn value(&self, values: &[f64]) -> Term {
        let terms: Vec<Term> = self.places.iter().map(|&i| Term::Number(values[i])).collect();
        self.tree.eval(&terms).expect("an expression that was evaluated when it was parsed")
    }
}

/// The parser calls itself for every parenthesis and every sign before a number.
fn check_size(text: &str) -> Result<(), String> {
    if text.len() > MOST_BYTES {
        return Err(format!("a rule of {} bytes is too long; at most {MOST_BYTES}", text.len()));
    }
    if let Some(c) = text.chars().find(|c| !c.is_ascii() || c.is_ascii_control() && *c != '\n') {
        return Err(format!("{text:?} has the character {c:?}, which no rule has"));
    }
    let depth = |depth: usize, c| match c {
        '(' => depth + 1,
        ')' => depth.saturating_sub(1),
        _ => depth,
    };
    let deepest = text.chars().scan(0, |now, c| {
        *now = depth(*now, c);
        Some(*now)
    });
    match deepest.max() {
        Some(deepest) if deepest > MOST_PARENTHESES => {
            Err(format!("{deepest} parentheses are open at once; at most {MOST_PARENTHESES}"))
        }
        _ => Ok(()),
    }
}

/// Numbers as in TOML and CSV: 1, 0.5, .5, 1e3, 2.5e-4.
#[derive(Clone, Debug)]
struct Numerals;

impl MatchLiteral for Numerals {
    fn is_literal(text: &str) -> Option<&str> {
        let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(0);
        let part = if text[whole..].starts_with('.') { digits(whole + 1) + 1 } else { 0 };
        if whole + part.saturating_sub(1) == 0 {
            return None;
        }
        let end = whole + part;
        let exponent = text[end..].strip_prefix(['e', 'E']).map_or(0, |rest| {
            let sign = usize::from(rest.starts_with(['+', '-']));
            let count = digits(end + 1 + sign);
            if count > 0 { 1 + sign + count } else { 0 }
        });
        Some(&text[..end + exponent])
    }
}

/// Longest rule.
const MOST_BYTES: usize = 4_096;
const MOST_PARENTHESES: usize = 64;

const NUMBERS: &str = "numbers are added, compared and so on, not conditions";
const CONDITIONS: &str = "&&, || and ! join conditions, not numbers; write x < y, or (x < y)";

/// Function names, which must not be used for indicators.
pub(crate) const FUNCTIONS: [&str; 4] = ["abs", "sqrt", "ln", "exp"];

#[derive(Clone, Debug)]
struct Operators;

fn numeric(a: Term, b: Term, of: fn(f64, f64) -> f64) -> Term {
    match (a, b) {
        (Term::Number(a), Term::Number(b)) => Term::Number(of(a, b)),
        (Term::Wrong(why), _) | (_, Term::Wrong(why)) => Term::Wrong(why),
        _ => Term::Wrong(NUMBERS),
    }
}

fn compare(a: Term, b: Term, of: fn(&f64, &f64) -> bool) -> Term {
    match (a, b) {
        (Term::Number(a), Term::Number(b)) => Term::Truth(of(&a, &b)),
        (Term::Wrong(why), _) | (_, Term::Wrong(why)) => Term::Wrong(why),
        _ => Term::Wrong(NUMBERS),
    }
}

fn join(a: Term, b: Term, of: fn(bool, bool) -> bool) -> Term {
    match (a, b) {
        (Term::Truth(a), Term::Truth(b)) => Term::Truth(of(a, b)),
        (Term::Wrong(why), _) | (_, Term::Wrong(why)) => Term::Wrong(why),
        _ => Term::Wrong(CONDITIONS),
    }
}

fn apply(a: Term, of: fn(f64) -> f64) -> Term {
    match a {
        Term::Number(a) => Term::Number(of(a)),
        Term::Wrong(why) => Term::Wrong(why),
        Term::Truth(_) => Term::Wrong(NUMBERS),
    }
}

fn not(a: Term) -> Term {
    match a {
        Term::Truth(a) => Term::Truth(!a),
        Term::Wrong(why) => Term::Wrong(why),
        Term::Number(_) => Term::Wrong(CONDITIONS),
    }
}

/// Not marked as commutative, so that sums are evaluated from left to right as written.
fn binary(prio: i64, apply: fn(Term, Term) -> Term) -> BinOp<Term> {
    BinOp { apply, prio, is_commutative: false }
}

impl MakeOperators<Term> for Operators {
    fn make<'a>() -> Vec<Operator<'a, Term>> {
        let add = binary(3, |a, b| numeric(a, b, |a, b| a + b));
        let subtract = binary(3, |a, b| numeric(a, b, |a, b| a - b));
        let mut all = vec![
            Operator::make_bin("||", binary(0, |a, b| join(a, b, |a, b| a || b))),
            Operator::make_bin("&&", binary(1, |a, b| join(a, b, |a, b| a && b))),
            Operator::make_bin("<", binary(2, |a, b| compare(a, b, f64::lt))),
            Operator::make_bin("<=", binary(2, |a, b| compare(a, b, f64::le))),
            Operator::make_bin(">", binary(2, |a, b| compare(a, b, f64::gt))),
            Operator::make_bin(">=", binary(2, |a, b| compare(a, b, f64::ge))),
            Operator::make_bin("==", binary(2, |a, b| compare(a, b, f64::eq))),
            Operator::make_bin("!=", binary(2, |a, b| compare(a, b, f64::ne))),
            Operator::make_bin_unary("+", add, |a| apply(a, |a| a)),
            Operator::make_bin_unary("-", subtract, |a| apply(a, |a| -a)),
            Operator::make_bin("*", binary(4, |a, b| numeric(a, b, |a, b| a * b))),
            Operator::make_bin("/", binary(4, |a, b| numeric(a, b, |a, b| a / b))),
            Operator::make_unary("!", not),
        ];
        let functions: [fn(Term) -> Term; 4] = [
            |a| apply(a, f64::abs),
            |a| apply(a, f64::sqrt),
            |a| apply(a, f64::ln),
            |a| apply(a, f64::exp),
        ];
        all.extend(
            FUNCTIONS
                .into_iter()
                .zip(functions)
                .map(|(name, function)| Operator::make_unary(name, function)),
        );
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 3] = [2.0, 3.0, 5.0];

    fn names() -> Vec<String> {
        ["x", "y", "minimum"].map(String::from).into()
    }

    fn holds(text: &str) -> bool {
        Expression::parse(text, &names(), TermKind::Condition).unwrap().holds(&VALUES)
    }

    fn number(text: &str) -> f64 {
        Expression::parse(text, &names(), TermKind::Number).unwrap().number(&VALUES)
    }

    #[test]
    fn operators_bind_as_in_rust() {
        for (text, expected) in [
            ("x < y && y < minimum", true),
            ("x + 1 == y && y * 2 != minimum + 2", true),
            ("x > y || y >= 3 && minimum <= 5", true),
            ("x < y || y < x && x > y", true),
            ("(x < y || y < x) && x > y", false),
            ("!(x < y) || x - y < -0.5", true),
            ("! (x < y)", false),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
        for (text, expected) in [
            ("minimum - y - x", 0.0),
            ("minimum - y + x", 4.0),
            ("minimum / y / x", 5.0 / 3.0 / 2.0),
            ("minimum / y * x", 5.0 / 3.0 * 2.0),
            ("x + y * minimum", 17.0),
            ("-x * -y", 6.0),
            ("abs(x - y) + sqrt(minimum - 1)", 3.0),
            ("ln(exp(x)) - 0.001", 2.0f64.exp().ln() - 0.001),
            ("1e3 + y", 1_003.0),
            ("2.5E-1*x", 0.5),
            ("1e+2-x", 98.0),
            (".5 + 5.", 5.5),
            ("2 * exp(x - x)", 2.0),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        assert!(number("(x - x) / (y - y)").is_nan());
        assert!(!holds("0 / 0 * x < 1"));
    }

    #[test]
    fn errors_are_found_by_the_parser() {
        let wrong = |text: &str, kind| Expression::parse(text, &names(), kind).unwrap_err();
        for (text, part) in [
            ("x < minimun", "did you mean minimum?"),
            ("x < y < minimum", NUMBERS),
            ("x && y < 3", CONDITIONS),
            ("!x", CONDITIONS),
            ("abs(x < y) > 1", NUMBERS),
            ("x + y", "write a condition"),
            ("x <", "cannot be read"),
            ("(x < y", "cannot be read"),
            ("x = y", "cannot be read"),
            ("", "cannot be read"),
            ("while x < y", "cannot be read"),
            ("1.2.3 < x", "cannot be read"),
            ("1e400 < e", "\"e\" is unknown"),
            ("x < \u{3b1}", "no rule has"),
        ] {
            let error = wrong(text, TermKind::Condition);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(wrong("x < y", TermKind::Number).contains("write a number"));
        let (open, close) = ("(".repeat(65), ")".repeat(65));
        let deep = wrong(&format!("{open}x{close} < y"), TermKind::Condition);
        assert!(deep.contains("at most 64"), "{deep}");
        let long = wrong(&format!("x < {}", "-".repeat(5_000)), TermKind::Condition);
        assert!(long.contains("too long"), "{long}");
    }
}
