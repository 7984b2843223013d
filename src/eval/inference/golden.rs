//! Reference results of other programs, made by `tests/golden/make_inference.py`.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Golden {
    pub(super) series: Vec<GoldenSeries>,
    pub(super) normal_cdf: Vec<(f64, f64)>,
    pub(super) timing: Vec<Timing>,
}

#[derive(Deserialize)]
pub(super) struct GoldenSeries {
    pub(super) name: String,
    pub(super) returns: Vec<f64>,
    pub(super) block_length: f64,
    /// 95 % interval of the daily Sharpe ratio.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) sharpe: f64,
    pub(super) skewness: f64,
    pub(super) kurtosis: f64,
    pub(super) probabilistic: f64,
    pub(super) deflated: Vec<Deflated>,
}

#[derive(Deserialize)]
pub(super) struct Deflated {
    pub(super) trials: usize,
    pub(super) variance: f64,
    pub(super) hurdle: f64,
    pub(super) probability: f64,
}

/// `exposure` and `change` are `[day, bar, stock]`.
#[derive(Deserialize)]
pub(super) struct Timing {
    pub(super) bars: usize,
    pub(super) stocks: usize,
    pub(super) exposure: Vec<f64>,
    pub(super) change: Vec<f64>,
    pub(super) cost: Vec<f64>,
    pub(super) score: f64,
    /// For the shifts 1, 2, ...
    pub(super) placebos: Vec<f64>,
    pub(super) p_values: Vec<PValue>,
}

#[derive(Deserialize)]
pub(super) struct PValue {
    pub(super) hurdle: f64,
    pub(super) p_value: f64,
}

pub(super) fn read() -> Golden {
    let text = include_str!("../../../tests/golden/inference.json");
    serde_json::from_str(text).expect("the golden file is whole")
}
