//! Flags shared by several commands.

use clap::Args;

use super::numbers::between;
use super::settings::set;
use crate::config::RunConfig;
use crate::market::calendar::Calendar;
use crate::market::options::{BarLabel, LabelOrigin, OutlierRule};

#[derive(Args, Debug, Clone)]
pub(crate) struct DataArgs {
    #[command(flatten)]
    pub(crate) bars: BarArgs,
    /// Allow evaluation on days that were trained on
    #[arg(long, alias = "allow_overlap", help_heading = "Data")]
    pub(crate) allow_overlap: bool,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct BarArgs {
    /// Source of the bars: azure, a folder, or synthetic:MARKET[:SEED] (see synth --help) [default:
    /// azure if a connection string is set, else synthetic:sample]
    #[arg(long, value_name = "SOURCE", help_heading = "Data")]
    pub(crate) data: Option<String>,
    /// Azure Blob container [env: AZURE_STORAGE_CONTAINER] [default: stock-data]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub(crate) container: Option<String>,
    /// Length of a bar, minutes [default: that of the data]
    #[arg(long, alias = "bar_minutes", value_name = "N", help_heading = "Data")]
    #[arg(value_parser = between::<u32>(1, 1_440))]
    pub(crate) bar_minutes: Option<u32>,
    /// Whether timestamps mark a bar's start or its end [default: auto]
    #[arg(long, alias = "bar_label", value_enum, help_heading = "Data")]
    pub(crate) bar_label: Option<BarLabel>,
    /// When the market is open: nyse, always (coins), or the code of an exchange (MIC), as XETR
    /// [default: nyse]
    #[arg(long, value_name = "CALENDAR", help_heading = "Data")]
    pub(crate) calendar: Option<Calendar>,
    /// Keep bars outside regular hours, in New York 09:30 to 16:00
    #[arg(long, alias = "extended_hours", help_heading = "Data")]
    pub(crate) extended_hours: bool,
    /// Treat a bad row or a doubtful price as an error instead of noting it
    #[arg(long, help_heading = "Data")]
    pub(crate) strict: bool,
    /// What to do with a bar far from the close before, by the moves before it [default: off]
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Data")]
    pub(crate) clean: Option<OutlierRule>,
}

/// Trading costs, and which positions are allowed.
#[derive(Args, Debug, Clone)]
pub(crate) struct TradingArgs {
    /// Fee, basis points of the traded value [default: 1]
    #[arg(long, visible_alias = "fee_bps", value_name = "BPS", help_heading = "Trading")]
    pub(crate) fee_bps: Option<f64>,
    /// Slippage of each fill against the open, basis points [default: 1]
    #[arg(long, visible_alias = "slippage_bps", value_name = "BPS", help_heading = "Trading")]
    pub(crate) slippage_bps: Option<f64>,
    /// No short positions
    #[arg(long, alias = "long_only", help_heading = "Trading")]
    pub(crate) long_only: bool,
}

/// The container, for Azure.
#[derive(Args, Debug, Clone)]
pub(crate) struct ContainerArg {
    /// Azure Blob container [env: AZURE_STORAGE_CONTAINER] [default: stock-data]
    #[arg(id = "container", long = "container", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Where day files are written.
#[derive(Args, Debug, Clone)]
pub(crate) struct Destination {
    /// Destination of the day files: a folder, created if missing, or azure
    #[arg(long, value_name = "DIR")]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) container: ContainerArg,
}

impl DataArgs {
    pub(super) fn apply(&self, config: &mut RunConfig) {
        self.bars.apply(config);
        config.data.allow_overlap |= self.allow_overlap;
    }
}

impl BarArgs {
    pub(super) fn apply(&self, config: &mut RunConfig) {
        let data = &mut config.data;
        if self.data.is_some() {
            data.source.clone_from(&self.data);
        }
        set(&mut data.container, &self.container);
        if self.bar_minutes.is_some() {
            data.bar_minutes = self.bar_minutes;
        }
        if let Some(label) = self.bar_label {
            (data.bar_label, data.label_origin) = (label, LabelOrigin::Flag);
        }
        set(&mut data.calendar, &self.calendar);
        data.extended_hours |= self.extended_hours;
        data.strict |= self.strict;
        set(&mut data.clean, &self.clean);
    }
}

impl TradingArgs {
    pub(super) fn apply(&self, config: &mut RunConfig) {
        set(&mut config.env.fee_bps, &self.fee_bps);
        set(&mut config.env.slippage_bps, &self.slippage_bps);
        config.env.long_only |= self.long_only;
    }
}
