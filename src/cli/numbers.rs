//! Whole numbers on the command line. One out of range is answered with its true bounds.

/// Passes over a period, and passes between evaluations.
pub(super) const MOST_PASSES: u64 = 10_000_000;
/// 2^53, the largest that every reader of JSON takes exactly.
pub(super) const LARGEST_SEED: u64 = 1 << 53;
/// Threads, or runs at a time. More than this are a slip, and take minutes to start.
pub(super) const MOST_THREADS: u64 = 1_024;

/// Parses a whole number from `low` to `high`, both included.
pub(super) fn between<T>(low: u64, high: u64) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: TryFrom<u64>,
{
    move |text| {
        let number = text.parse::<u64>().ok().filter(|number| (low..=high).contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("must be a whole number from {low} to {high}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_range_is_answered_with_its_bounds() {
        assert_eq!(between::<u64>(1, 64)("64"), Ok(64));
        assert_eq!(between::<u32>(0, 7)("0"), Ok(0));
        for text in ["0", "65", "-1", "1.5", "many", "18446744073709551616", ""] {
            let error = between::<u64>(1, 64)(text).unwrap_err();
            assert_eq!(error, "must be a whole number from 1 to 64", "{text:?}");
        }
    }
}
