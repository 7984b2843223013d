//! Further columns of the day files as features.

use crate::config::FeatureConfig;

/// Names of the features, in column order: `column_` and the column's name, so that no column is
/// taken for a feature of the program.
pub fn names(config: &FeatureConfig) -> Vec<String> {
    config.columns.iter().map(|name| format!("column_{name}")).collect()
}

/// Last known values of one stock's further columns.
pub struct ExtraColumns {
    /// `[column]`; NaN before the first.
    known: Vec<f32>,
}

impl ExtraColumns {
    /// Nothing is known of the columns of `config` yet.
    pub fn new(config: &FeatureConfig) -> ExtraColumns {
        ExtraColumns { known: vec![f32::NAN; config.columns.len()] }
    }

    /// Takes in the values of the next bars, `[bar, column]`, and writes the last known one of each
    /// column; NaN before the first.
    pub fn update(&mut self, values: &[f32], out: &mut [&mut [f32]]) {
        assert_eq!(out.len(), self.known.len(), "a column for each name");
        let bars = out.first().map_or(0, |column| column.len());
        assert_eq!(values.len(), bars * self.known.len(), "a value for each bar and column");
        for (t, values) in values.chunks_exact(self.known.len().max(1)).enumerate() {
            for ((known, out), &value) in self.known.iter_mut().zip(&mut *out).zip(values) {
                *known = if value.is_finite() { value } else { *known };
                out[t] = *known;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_known_value_stays() {
        let config = FeatureConfig {
            columns: vec!["vix".into(), "mood".into()],
            ..FeatureConfig::default()
        };
        assert_eq!(names(&config), ["column_vix", "column_mood"]);
        let mut extra = ExtraColumns::new(&config);
        let [mut vix, mut mood] = [[0.0; 3]; 2];
        let nan = f32::NAN;
        extra.update(&[nan, 1.0, 17.0, nan, f32::INFINITY, nan], &mut [&mut vix, &mut mood]);
        assert!(vix[0].is_nan());
        assert_eq!((&vix[1..], mood), (&[17.0, 17.0][..], [1.0; 3]));
        let [mut vix, mut mood] = [[0.0; 1]; 2];
        extra.update(&[nan, 2.0], &mut [&mut vix, &mut mood]);
        assert_eq!((vix, mood), ([17.0], [2.0]));
    }
}
