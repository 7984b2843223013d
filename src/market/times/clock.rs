//! Times of day in a column of their own.

/// Dates and times of day put together. Times in digits alone have leading zeros added: `930` is
/// 09:30, and beside `160000` it is 00:09:30. If some are no such times, as 575 and 34260 are none,
/// all are minutes, seconds or milliseconds since midnight, by the largest.
pub(crate) fn joined<'a>(
    dates: impl Iterator<Item = Option<&'a str>>,
    clocks: impl Iterator<Item = Option<&'a str>> + Clone,
) -> Vec<Option<String>> {
    let unit = ClockUnit::of(clocks.clone().flatten().map(str::trim));
    let join = |(date, clock): (Option<&str>, Option<&str>)| {
        let (date, clock) = (date?.trim(), clock?.trim());
        // A date may come with a midnight.
        let day = match date.split_once([' ', 'T']) {
            Some((day, rest)) if rest.starts_with("00:00") => day,
            _ => date,
        };
        Some(match clock.parse::<u64>() {
            Ok(number) => format!("{day} {}", unit.clock(number)),
            Err(_) => format!("{day} {clock}"),
        })
    };
    dates.zip(clocks).map(join).collect()
}

/// What the digits of a time of day mean.
#[derive(Clone, Copy)]
enum ClockUnit {
    /// Hours, minutes and, if there are more than four digits in one of them, seconds.
    Digits { seconds: bool },
    /// This many since midnight are a second.
    PerSecond(f64),
}

impl ClockUnit {
    fn of<'a>(clocks: impl Iterator<Item = &'a str> + Clone) -> ClockUnit {
        let numbers = || clocks.clone().filter_map(|text| text.parse::<u64>().ok());
        let seconds = clocks.clone().any(|text| text.parse::<u64>().is_ok() && text.len() > 4);
        let is_clock = |number: u64| match seconds {
            true => number % 100 < 60 && number / 100 % 100 < 60 && number < 240_000,
            false => number % 100 < 60 && number < 2_400,
        };
        if numbers().all(is_clock) {
            return ClockUnit::Digits { seconds };
        }
        ClockUnit::PerSecond(match numbers().max() {
            Some(0..1_440) => 1.0 / 60.0,
            Some(1_440..86_400) => 1.0,
            _ => 1_000.0,
        })
    }

    fn clock(self, number: u64) -> String {
        match self {
            ClockUnit::Digits { seconds: true } => format!("{number:06}"),
            ClockUnit::Digits { seconds: false } => format!("{number:04}"),
            ClockUnit::PerSecond(per_s) => {
                let s = (number as f64 / per_s).round() as u64;
                format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
            }
        }
    }
}
