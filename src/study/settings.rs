//! What a study varies: every combination of the values, or a sample.

use std::collections::BTreeSet;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::config::{ConfigError, StudyConfig, StudySearch};

/// Settings of a study, at most.
const MOST: usize = 10_000;

/// Values of one key.
enum Varied {
    Values(Vec<String>),
    /// From low to high, evenly or by their logarithms.
    Range {
        low: f64,
        high: f64,
        log: bool,
    },
}

/// The settings to try, each as assignments `KEY=VALUE`; a single one without any where nothing
/// varies. `rng` draws those of a random search.
///
/// Errors: an entry of `grid` cannot be understood, or there are too many combinations.
pub fn settings(
    config: &StudyConfig,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Vec<String>>, ConfigError> {
    let varied = config.grid.iter().map(|text| varied(text)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    if let Some((twice, _)) = varied.iter().find(|(key, _)| !seen.insert(key)) {
        return Err(wrong(format!("{twice} is given twice")));
    }
    match config.search {
        StudySearch::Grid => combinations(&varied),
        StudySearch::Random if varied.is_empty() => {
            Err(ConfigError::new("--search", "nothing varies", "name what does with --grid"))
        }
        StudySearch::Random => Ok((0..config.trials).map(|_| draw(&varied, rng)).collect()),
    }
}

fn wrong(what: String) -> ConfigError {
    ConfigError::new("--grid", what, "write KEY=A,B,C, or with --search random KEY=LOW:HIGH[:log]")
}

fn varied(text: &str) -> Result<(String, Varied), ConfigError> {
    let not_understood = || wrong(format!("{text:?} cannot be understood"));
    let (key, values) = text.split_once('=').ok_or_else(not_understood)?;
    let (key, values) = (key.trim().to_string(), values.trim());
    if key.is_empty() || values.is_empty() {
        return Err(not_understood());
    }
    let parts: Vec<&str> = values.split(':').collect();
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let is_log = parts.len() == 3 && parts[2].trim() == "log";
    if let (Some(low), Some(high), true) =
        (number(parts[0]), parts.get(1).and_then(|text| number(text)), parts.len() == 2 || is_log)
    {
        if low >= high || is_log && low <= 0.0 {
            return Err(wrong(format!("{text:?} is an empty range")));
        }
        return Ok((key, Varied::Range { low, high, log: is_log }));
    }
    Ok((key, Varied::Values(split(values))))
}

/// At the commas that stand in no brackets.
fn split(values: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_i32);
    for c in values.chars() {
        depth += i32::from(c == '[') - i32::from(c == ']');
        match parts.last_mut() {
            Some(part) if c != ',' || depth > 0 => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_string()).collect()
}

fn combinations(varied: &[(String, Varied)]) -> Result<Vec<Vec<String>>, ConfigError> {
    let mut all = vec![Vec::new()];
    for (key, values) in varied {
        let Varied::Values(values) = values else {
            return Err(wrong(format!("{key} is a range, of which a grid has no values")));
        };
        if all.len() * values.len() > MOST {
            return Err(wrong(format!("there are more than {MOST} combinations")));
        }
        let with = |before: &Vec<String>| -> Vec<Vec<String>> {
            let one = |value: &String| [&before[..], &[format!("{key}={value}")]].concat();
            values.iter().map(one).collect()
        };
        all = all.iter().flat_map(with).collect();
    }
    Ok(all)
}

fn draw(varied: &[(String, Varied)], rng: &mut ChaCha8Rng) -> Vec<String> {
    let one = |(key, values): &(String, Varied)| match values {
        Varied::Values(values) => format!("{key}={}", values[rng.random_range(0..values.len())]),
        &Varied::Range { low, high, log } => {
            let part: f64 = rng.random();
            let value = if log { low * (high / low).powf(part) } else { low + (high - low) * part };
            format!("{key}={value}")
        }
    };
    varied.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn of(grid: &[&str], search: StudySearch) -> Result<Vec<Vec<String>>, ConfigError> {
        let grid = grid.iter().map(|text| text.to_string()).collect();
        let config = StudyConfig { grid, search, trials: 4, ..StudyConfig::default() };
        settings(&config, &mut ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn a_grid_is_every_combination() {
        assert_eq!(of(&[], StudySearch::Grid).unwrap(), [Vec::<String>::new()]);
        let found = of(&["a.b=1, 2", "c=[1,2],[3]"], StudySearch::Grid).unwrap();
        let expected =
            [["a.b=1", "c=[1,2]"], ["a.b=1", "c=[3]"], ["a.b=2", "c=[1,2]"], ["a.b=2", "c=[3]"]];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_random_search_draws_from_values_and_ranges() {
        let found = of(&["a=x,y", "b=0.5:0.6", "c=1:100:log"], StudySearch::Random).unwrap();
        assert_eq!(found.len(), 4);
        for setting in &found {
            let number = |at: usize| setting[at][2..].parse::<f64>().unwrap();
            assert!(["a=x", "a=y"].contains(&&*setting[0]), "{setting:?}");
            assert!((0.5..0.6).contains(&number(1)) && (1.0..100.0).contains(&number(2)));
        }
        assert_ne!(found[0], found[1]);
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (grid, word) in [
            (&["learner.gamma"][..], "learner.gamma"),
            (&["a="], "a="),
            (&["a=1:2"], "a is a range"),
            (&["a=1", "a=2"], "a is given twice"),
        ] {
            let error = of(grid, StudySearch::Grid).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
        let error = of(&["a=2:1"], StudySearch::Random).unwrap_err().to_string();
        assert!(error.contains("empty range"), "{error}");
        assert!(of(&[], StudySearch::Random).is_err());
        let many: Vec<String> = (0..101).map(|i| i.to_string()).collect();
        let (one, two) = (format!("a={}", many.join(",")), format!("b={}", many.join(",")));
        let error = of(&[&one, &two], StudySearch::Grid).unwrap_err().to_string();
        assert!(error.contains("more than 10000"), "{error}");
    }
}
