//! Numbers on the command line. A number out of range is answered with its true bounds.

/// Parses a whole number of at least `low`.
pub(super) fn at_least<T>(low: u64) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: TryFrom<u64>,
{
    move |text| {
        let number = text.parse::<u64>().ok().filter(|&number| number >= low);
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("must be a whole number, at least {low}"))
    }
}

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
        assert_eq!(at_least::<u32>(1)("7"), Ok(7));
        for text in ["0", "-1", "1.5", "many", "5000000000", ""] {
            let error = at_least::<u32>(1)(text).unwrap_err();
            assert_eq!(error, "must be a whole number, at least 1", "{text:?}");
        }
        assert_eq!(between::<u64>(1, 64)("64"), Ok(64));
        for text in ["0", "65", "-1"] {
            let error = between::<u64>(1, 64)(text).unwrap_err();
            assert_eq!(error, "must be a whole number from 1 to 64", "{text:?}");
        }
    }
}
