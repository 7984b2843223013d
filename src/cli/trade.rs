//! Flags of `dqn-trader trade`.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::Args;

use super::numbers::between;
use super::settings::read_config;
use super::{BarArgs, GlobalArgs};
use crate::config::{ConfigError, Mode, RunConfig};

/// Standard input as the source of bars.
pub(crate) const STDIN: &str = "-";

#[derive(Args, Debug, Clone)]
#[command(mut_arg("data", |arg| arg.help(
    "Where bars come from: azure or a folder, which is watched for new bars; synthetic:MARKET; or - \
     for JSON lines on standard input, as strategies stream reads them [default: as in the run]"
)))]
#[command(after_help = "EXAMPLES\n  \
    # what to order at the next open, by the bars that are there\n  \
    dqn-trader trade --model results --data bars/ --once\n  \
    # watch the folder; orders as lines on standard output, an account in results/trade\n  \
    dqn-trader trade --model results --data bars/\n  \
    # from a program of your own\n  \
    my-feed | dqn-trader trade --model results --data - --start 2020-07-01\n\n\
    No order is sent anywhere: the account is one of paper.")]
pub(crate) struct TradeArgs {
    /// Results folder of the training run
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// First day of the account; bars before it warm the indicators up [default: the last day that
    /// the store has; of lines, the first; of made-up prices, eval_start of the run]
    #[arg(long, value_name = "DATE")]
    pub(crate) start: Option<NaiveDate>,
    /// Last day: the command ends after its session
    #[arg(long, value_name = "DATE")]
    pub(crate) until: Option<NaiveDate>,
    /// Take the bars that are there and end
    #[arg(long)]
    pub(crate) once: bool,
    /// How long stocks that lack a bar are waited for once a time has its first bar, seconds
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = between::<u64>(0, 86_400))]
    pub(crate) wait: u64,
    /// Show the account as a live page on this port of the loopback interface; 0: a free one
    #[arg(long, value_name = "PORT")]
    pub(crate) serve: Option<u16>,
    /// Folder of the account, which goes on with what it has [default: trade/ in the run's folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) bars: BarArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl TradeArgs {
    /// The run's own settings, with the flags' changes.
    pub(crate) fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut config = read_config(&self.model.join("config.toml"))?;
        config.mode = Mode::Single;
        config.output = self.output.clone().unwrap_or_else(|| self.model.join("trade"));
        if is_same_folder(&config.output, &self.model) {
            let what = format!("{} is the run's own folder", self.model.display());
            return Err(ConfigError::new("--output", what, "choose another, or omit it"));
        }
        let (calendar, minutes) = (config.data.calendar, config.data.bar_minutes);
        let source = config.data.source.clone();
        self.bars.apply(&mut config);
        if self.is_stdin() {
            config.data.source = source;
        }
        let settled = |flag: &str, what: String| {
            Err(ConfigError::new(flag, format!("the model was trained {what}"), "leave it out"))
        };
        if config.data.calendar != calendar {
            return settled("--calendar", format!("by the calendar {calendar}"));
        }
        if config.data.bar_minutes != minutes {
            let minutes = minutes.map_or("other".into(), |minutes| format!("{minutes}-minute"));
            return settled("--bar-minutes", format!("on {minutes} bars"));
        }
        if let (Some(start), Some(until)) = (self.start, self.until)
            && until < start
        {
            let what = format!("{until} comes before --start {start}");
            return Err(ConfigError::new("--until", what, "swap the dates"));
        }
        config.validate()?;
        Ok(config)
    }

    /// Whether bars come from standard input.
    pub(crate) fn is_stdin(&self) -> bool {
        self.bars.data.as_deref() == Some(STDIN)
    }
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
