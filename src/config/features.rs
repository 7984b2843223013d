//! Settings of the features.

use serde::{Deserialize, Serialize};

/// Bars below this are short.
const SHORT_MINUTES: u32 = 30;
/// Sessions over which returns are features where bars are short.
const RETURN_SESSIONS: [u32; 5] = [1, 2, 5, 10, 20];

/// Section `[features]`: which indicators the network sees, and their windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureConfig {
    /// Log returns over these many bars.
    pub return_bars: Vec<u32>,
    /// Realised volatility over these many bars.
    pub volatility_bars: Vec<u32>,
    /// Autocorrelation of returns over these many bars; saved only if there are any. Lo and MacKinlay
    /// (1988).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub autocorrelation_bars: Vec<u32>,
    /// RSI with Wilder's smoothing, bars. Wilder (1978).
    pub rsi_bars: u32,
    /// Fast span of MACD, bars. Appel (1979).
    pub macd_fast_bars: u32,
    /// Slow span of MACD, bars.
    pub macd_slow_bars: u32,
    /// Span of MACD's signal line, bars.
    pub macd_signal_bars: u32,
    /// Window of Bollinger %b, bars. Bollinger (2001).
    pub bollinger_bars: u32,
    /// Half width of the Bollinger bands, population standard deviations.
    pub bollinger_width: f64,
    /// Window of the volume z-scores, bars.
    pub volume_bars: u32,
    /// The mean volumes of these many bars that are scored.
    pub volume_mean_bars: Vec<u32>,
    /// Log returns since the closes of so many sessions ago. None: over 1, 2, 5, 10 and 20 where
    /// bars are shorter than half an hour, so that the returns over bars do not reach back for
    /// days; else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_sessions: Option<Vec<u32>>,
    /// Realised volatility over so many completed sessions.
    pub volatility_sessions: Vec<u32>,
    /// RSI with Wilder's smoothing over the closes of sessions, sessions. Wilder (1978).
    pub rsi_sessions: Vec<u32>,
    /// Further columns of the day files that are features; saved only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Features that relate a stock to its peers.
    pub peers: bool,
    /// Rolling window for correlation, beta and spread to peers, bars.
    pub relation_bars: u32,
    /// Bars over which the closest pairs are tested for cointegration, block after block.
    pub arbitrage_bars: u32,
    /// In at most this share of the blocks is any pair that walks at random held to belong
    /// together.
    pub arbitrage_level: f64,
    /// Scaled features are cut off at this many standard deviations.
    pub clip_std: f32,
    /// Bars read ahead of a period so that indicators have settled when it begins.
    pub warmup_bars: u32,
}

impl Default for FeatureConfig {
    fn default() -> FeatureConfig {
        FeatureConfig {
            return_bars: vec![1, 2, 5, 15, 60],
            volatility_bars: vec![15, 60, 240],
            autocorrelation_bars: Vec::new(),
            rsi_bars: 14,
            macd_fast_bars: 12,
            macd_slow_bars: 26,
            macd_signal_bars: 9,
            bollinger_bars: 20,
            bollinger_width: 2.0,
            volume_bars: 240,
            volume_mean_bars: vec![1, 3, 10],
            return_sessions: None,
            volatility_sessions: Vec::new(),
            rsi_sessions: Vec::new(),
            columns: Vec::new(),
            peers: true,
            relation_bars: 120,
            arbitrage_bars: 480,
            arbitrage_level: 0.01,
            clip_std: 5.0,
            warmup_bars: 480,
        }
    }
}

impl FeatureConfig {
    /// Bars until every feature is defined but for those over sessions, which begin with the
    /// sessions that there are.
    pub fn longest_window(&self) -> u32 {
        let windows = [
            self.rsi_bars,
            self.macd_slow_bars + self.macd_signal_bars,
            self.bollinger_bars,
            self.volume_bars,
            self.relation_bars,
        ];
        let listed = [&self.return_bars, &self.volatility_bars, &self.autocorrelation_bars];
        listed.into_iter().flatten().chain(&windows).copied().max().unwrap_or(0) + 1
    }

    /// With what depends on the length of bars settled.
    pub fn for_bars(&self, bar_minutes: u32) -> FeatureConfig {
        let usual = if bar_minutes < SHORT_MINUTES { &RETURN_SESSIONS[..] } else { &[] };
        let return_sessions = self.return_sessions.clone().unwrap_or_else(|| usual.to_vec());
        FeatureConfig { return_sessions: Some(return_sessions), ..self.clone() }
    }

    /// Sessions over which there are returns; none where that is not settled yet.
    pub fn return_sessions(&self) -> &[u32] {
        self.return_sessions.as_deref().unwrap_or_default()
    }

    /// Sessions until the features over sessions have settled. The first session has no return
    /// from the one before; Wilder's smoothing has kept (1 - 1/n)^2n, an eighth, of the mean that
    /// it begins with after two more of its periods.
    pub fn warmup_sessions(&self) -> u32 {
        let returns = self.return_sessions().iter().copied();
        let volatilities = self.volatility_sessions.iter().map(|sessions| sessions + 1);
        let smoothed = self.rsi_sessions.iter().map(|sessions| 3 * sessions);
        returns.chain(volatilities).chain(smoothed).max().unwrap_or(0)
    }
}
