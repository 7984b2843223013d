//! Parallel agents: every enabled model of a JSON configuration trades the same bars, each in its
//! own process and folder.
//!
//! ```text
//! run ── config ── bars (read once, mapped by all)
//!         └─ supervise ── process ── agent ─┬─ decide ── strategy, ensemble, dqn
//!                                           ├─ llm (an endpoint is asked)
//!                                           └─ ledger ── journal ── metrics
//! ```
//!
//! An agent's decisions depend on bars up to a time and are filled at the next open; its account
//! never goes into debt (`ledger`). Its position file (`journal`) is all that a run needs to
//! resume.

mod affordability;
mod agent;
mod bars;
pub mod config;
mod decide;
mod dqn;
mod journal;
pub(crate) mod leaderboard;
mod ledger;
mod llm;
mod metrics;
mod page;
mod paper_broker;
mod process;
mod registry;
mod secret;
mod step_time;
mod supervise;
mod target_weights;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::errors::{message, tell};
use crate::market::Symbol;
use crate::market::options::LoadReport;
use crate::strategy::Cancel;
use crate::wording::counted;
use bars::{AgentBars, PreparedBars};
use config::{AgentSpec, AgentsConfig};
use process::Child;
use supervise::{SupervisorLimits, supervise};

pub use metrics::{AgentMetrics, PerformanceFigures, TokenUsage};
pub(crate) use step_time::StepTime;
pub use supervise::AgentExit;

/// Polling interval for the end of an agent in this process.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Flags of other commands, and the keys that mean the same here.
const KEYS_OF_FLAGS: [(&str, &str); 5] = [
    ("--stocks", "stocks"),
    ("--data", "data"),
    ("--container", "container"),
    ("--bar-minutes", "bar_minutes"),
    ("--calendar", "calendar"),
];

/// Runs the enabled models of the JSON configuration at `config`, or only the one with that
/// signature. A single model runs in this process; several run in processes of their own.
/// [`Runner`] has more options.
///
/// # Errors
/// If nothing can be started, or if the only model fails. One of several that fails is a failed
/// entry of the report.
pub fn run(config: &Path, only_signature: Option<&str>) -> Result<AgentsReport> {
    Runner::default().run(config, only_signature)
}

/// Options for running agents.
pub struct Runner {
    /// The program that is executed for every agent, with `agents --config FILE --signature NAME`
    /// and further arguments. None: this process is forked if it has a single thread; else
    /// `dqn-trader` is executed, which is this program or one in `PATH`.
    pub program: Option<PathBuf>,
    /// Folder for fetched files and panels.
    pub cache: PathBuf,
    /// Panel file of the run's bars, if another process has prepared them.
    pub bars: Option<PathBuf>,
    /// Set to true to end the agents.
    pub stop: Arc<AtomicBool>,
    /// Receives lines for the user.
    pub say: Box<Say>,
    /// Receives each stock's progress of loading: days done and total.
    pub on_days: Box<OnDays>,
    /// Receives the findings in the data.
    pub on_data: Box<OnData>,
}

type Say = dyn Fn(&str);
type OnDays = dyn Fn(&Symbol, usize, usize) + Send + Sync;
type OnData = dyn Fn(&str, &[LoadReport]);

/// The results of a run.
pub struct AgentsReport {
    /// In the order of the configuration.
    pub agents: Vec<AgentReport>,
    /// Buy-and-hold over the whole period, from the start of the earliest account. None if the run
    /// was stopped before there were bars.
    pub benchmark: Option<PerformanceFigures>,
    /// The run was stopped, so some agents may not have finished.
    pub stopped: bool,
    /// Files on all agents together, or on the only one: the page and the trades. Empty without an
    /// agent that succeeded.
    pub written: Vec<PathBuf>,
}

/// How one agent's run ended, and what it earned.
pub struct AgentReport {
    /// The agent, as the configuration defines it.
    pub model: AgentSpec,
    /// Done, failed, timed out or stopped.
    pub ended: AgentExit,
    /// None for an agent that did not succeed.
    pub metrics: Option<AgentMetrics>,
}

impl AgentsReport {
    /// The report of a run that was stopped before any agent started.
    fn stopped(config: &AgentsConfig) -> AgentsReport {
        let one = |model: &AgentSpec| AgentReport {
            model: model.clone(),
            ended: AgentExit::Stopped,
            metrics: None,
        };
        let agents = config.models.iter().map(one).collect();
        AgentsReport { agents, benchmark: None, stopped: true, written: Vec::new() }
    }

    /// Whether all agents succeeded.
    pub fn is_success(&self) -> bool {
        self.agents.iter().all(|agent| agent.ended == AgentExit::Done)
    }
}

/// Errors: no file can be made below `folder`, which may not be there yet.
fn check_log_path(folder: &Path) -> Result<()> {
    let is_there = |folder: &&Path| folder.exists();
    let mut above =
        folder.ancestors().map(|it| if it == Path::new("") { Path::new(".") } else { it });
    let there = above.find(is_there).unwrap_or(Path::new("."));
    tempfile::tempfile_in(there).map(drop).map_err(|error| {
        anyhow!(
            "log_config.log_path {}: {error}; name a folder that can be written",
            folder.display()
        )
    })
}

/// An error of reading bars in words of the configuration, which has keys where other commands have
/// flags.
fn in_keys(error: anyhow::Error) -> anyhow::Error {
    let told = message(&error);
    let in_keys = KEYS_OF_FLAGS
        .iter()
        .fold(told.clone(), |text, (flag, key)| text.replace(flag, &format!("`{key}`")));
    if in_keys == told { error } else { anyhow!(in_keys) }
}

impl Default for Runner {
    fn default() -> Runner {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
        Runner {
            program: None,
            cache: cache.unwrap_or_else(std::env::temp_dir).join("dqn-trader"),
            bars: None,
            stop: Arc::default(),
            say: Box::new(tell),
            on_days: Box::new(|_, _, _| {}),
            on_data: Box::new(|_, _| {}),
        }
    }
}

impl Runner {
    /// See [`run`].
    pub fn run(&self, path: &Path, only_signature: Option<&str>) -> Result<AgentsReport> {
        let mut config = AgentsConfig::read(path)?;
        config.calendar.adopt()?;
        if let Some(signature) = only_signature {
            config.models = vec![config.model(signature)?.clone()];
        }
        let stand = self.check_accounts(&config)?;
        let begun = |model| journal::begun(&agent::folder(&config, model));
        let first = config.models.iter().filter_map(begun).map(|stamp| stamp.date).min();
        config.first_day = first.map_or(config.first_day, |first| first.min(config.first_day));
        if let (Some(bars), [model]) = (&self.bars, &config.models[..]) {
            return self.run_single(&config, model, bars);
        }
        check_log_path(&config.log_path)?;
        let check = |model| check_log_path(&agent::folder(&config, model));
        config.models.iter().try_for_each(check)?;
        config.notices.iter().for_each(|notice| (self.say)(notice));
        let Some(prepared) = self.prepare(&config)? else {
            return Ok(AgentsReport::stopped(&config));
        };
        let PreparedBars { path: bars, source, reports } = prepared;
        (self.on_data)(&source, &reports);
        self.tell_requests(&config, &AgentBars::open(&bars)?, &stand);
        let mut report = match &config.models[..] {
            [model] => self.run_single(&config, model, &bars)?,
            _ => self.run_all(path, &config, &bars)?,
        };
        // One of several has a page of its own, lest it replace that of all.
        let folder = match (only_signature, &config.models[..]) {
            (Some(_), [model]) => agent::folder(&config, model),
            _ => config.log_path.clone(),
        };
        report.written = page::write(&config, &AgentBars::open(&bars)?, &report, &folder)?;
        Ok(report)
    }

    /// Where the models' accounts stand. Errors: an account cannot go on; nothing has been written.
    fn check_accounts(&self, config: &AgentsConfig) -> Result<Vec<Option<StepTime>>> {
        let one = |model: &AgentSpec| -> Result<Option<StepTime>> {
            let Some(last) = journal::checked(&agent::folder(config, model))? else {
                return Ok(None);
            };
            last.positions.by_stock(&config.stocks).map_err(metrics::unknown_symbol)?;
            Ok(last.stamp)
        };
        let told = |model: &AgentSpec| one(model).context(model.signature.clone());
        config.models.iter().map(told).collect()
    }

    /// How many requests the language models may come to, before the first of them is sent.
    fn tell_requests(&self, config: &AgentsConfig, bars: &AgentBars, stand: &[Option<StepTime>]) {
        for (model, last) in config.models.iter().zip(stand) {
            let config::AgentKind::Llm(_) = model.kind else { continue };
            let last = last.unwrap_or(config.init);
            let sessions = bars.steps(config.sessions, &last, &config.end).len();
            let most = sessions * config.session.max_steps as usize;
            (self.say)(&format!(
                "{}: {}, one per {}, of up to {}: at most {}",
                model.signature,
                counted(sessions, "session"),
                config.sessions.word(),
                counted(config.session.max_steps as usize, "answer"),
                counted(most, "request")
            ));
        }
    }

    /// Loads the bars, in a fork, so that it can be stopped and leaves no thread behind that would
    /// prevent later forks. None if it was stopped.
    fn prepare(&self, config: &AgentsConfig) -> Result<Option<PreparedBars>> {
        let work = || bars::prepare(config, &self.cache, &self.on_days).map_err(in_keys);
        if !process::can_fork() {
            return work().map(Some);
        }
        let told = || {
            let found = work().map_err(|error| message(&error));
            serde_json::to_vec(&found).unwrap_or_default()
        };
        let aside = process::run_in_child(told, &|| self.is_stopped())?;
        if self.is_stopped() {
            return Ok(None);
        }
        let said = aside.ok_or_else(|| anyhow!("reading the bars was terminated"))?;
        let found: Result<PreparedBars, String> =
            serde_json::from_slice(&said).context("reading the bars ended early")?;
        found.map(Some).map_err(|error| anyhow!(error))
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Runs a single model in this process.
    fn run_single(
        &self,
        config: &AgentsConfig,
        model: &AgentSpec,
        path: &Path,
    ) -> Result<AgentsReport> {
        let bars = AgentBars::open(path)?;
        let cancel = Cancel::new();
        let is_child = self.bars.is_some();
        let limit = Duration::from_secs_f64(config.timeout_s);
        // A parent process enforces the time limit itself.
        let limit = if is_child { Duration::MAX } else { limit };
        let _watch = TimeLimit::start(limit, &self.stop, &cancel);
        let context = agent::AgentContext {
            bars: &bars,
            cache: &self.cache,
            cancel: &cancel,
            say: &self.say,
        };
        let (ended, metrics) = match agent::run(config, model, context) {
            Ok(metrics) => (AgentExit::Done, Some(metrics)),
            Err(_) if self.is_stopped() => (AgentExit::Stopped, None),
            Err(_) if cancel.is_cancelled() => {
                let late = AgentExit::TimedOut(limit).error().unwrap_or_default();
                return Err(anyhow!("{}: {late}", model.signature));
            }
            Err(error) => return Err(error),
        };
        let stopped = ended == AgentExit::Stopped;
        let agents = vec![AgentReport { model: model.clone(), ended, metrics }];
        let benchmark = benchmark(config, &bars, &agents, !is_child)?;
        Ok(AgentsReport { agents, benchmark: Some(benchmark), stopped, written: Vec::new() })
    }

    /// Runs each model in its own process.
    fn run_all(&self, path: &Path, config: &AgentsConfig, bars: &Path) -> Result<AgentsReport> {
        let names: Vec<&str> = config.models.iter().map(|m| m.signature.as_str()).collect();
        let terms = SupervisorLimits {
            max_concurrent: config.max_concurrent,
            timeout: Duration::from_secs_f64(config.timeout_s),
            memory_bytes: config.max_memory_mb << 20,
        };
        let program = match &self.program {
            Some(program) => Some(program.clone()),
            None if process::can_fork() => None,
            None => Some(this_program()?),
        };
        let mut start = |i: usize| match &program {
            Some(program) => Child::execute(self.command(program, path, names[i], bars)),
            None => Child::fork(|| self.run_forked(config, &config.models[i], bars)),
        };
        let stop = || self.is_stopped();
        let ended = supervise(&names, &terms, &mut start, &stop, &self.say);
        let report = |(model, ended): (&AgentSpec, AgentExit)| {
            let metrics = (ended == AgentExit::Done).then(|| agent::read_metrics(config, model));
            AgentReport { model: model.clone(), ended, metrics: metrics.flatten() }
        };
        let agents: Vec<_> = config.models.iter().zip(ended).map(report).collect();
        let benchmark = benchmark(config, &AgentBars::open(bars)?, &agents, true)?;
        Ok(AgentsReport {
            agents,
            benchmark: Some(benchmark),
            stopped: stop(),
            written: Vec::new(),
        })
    }

    /// The command that executes the program for one agent.
    fn command(&self, program: &Path, config: &Path, signature: &str, bars: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("agents").arg("--config").arg(config).args(["--signature", signature]);
        command.arg("--bars").arg(bars).arg("--cache").arg(&self.cache).arg("--quiet");
        command
    }

    /// The work of a fork, whose output the parent forwards.
    fn run_forked(&self, config: &AgentsConfig, model: &AgentSpec, bars: &Path) -> u8 {
        let told = || -> Result<()> {
            let bars = AgentBars::open(bars)?;
            let context = agent::AgentContext {
                bars: &bars,
                cache: &self.cache,
                cancel: &Cancel::new(),
                say: &tell,
            };
            agent::run(config, model, context).map(drop)
        };
        match told() {
            Ok(()) => 0,
            Err(error) => {
                let text = message(&error);
                let line: Vec<&str> = text.split_whitespace().collect();
                tell(&format!("error: {}", line.join(" ")));
                2
            }
        }
    }
}

/// Buy-and-hold over the days of the earliest account.
fn benchmark(
    config: &AgentsConfig,
    bars: &AgentBars,
    agents: &[AgentReport],
    interval: bool,
) -> Result<PerformanceFigures> {
    let metrics = agents.iter().filter_map(|agent| agent.metrics.as_ref());
    let begun = metrics.filter_map(|metrics| metrics.first_date.parse::<StepTime>().ok());
    let first = begun.min_by_key(StepTime::last_moment).unwrap_or(config.init);
    let steps = bars.steps(config.sessions, &first, &config.end);
    metrics::benchmark(config, bars, &steps, interval)
}

fn this_program() -> io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let is_it = this.file_stem().is_some_and(|name| name == "dqn-trader");
    Ok(if is_it { this } else { "dqn-trader".into() })
}

/// Cancels at the time limit or when `stop` is set, unless it is dropped before.
struct TimeLimit {
    _over: Sender<()>,
}

impl TimeLimit {
    fn start(limit: Duration, stop: &Arc<AtomicBool>, cancel: &Cancel) -> TimeLimit {
        let (over, end) = channel();
        let (stop, cancel, since) = (Arc::clone(stop), cancel.clone(), Instant::now());
        std::thread::spawn(move || {
            while end.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if stop.load(Ordering::Relaxed) || since.elapsed() > limit {
                    cancel.cancel();
                }
            }
        });
        TimeLimit { _over: over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stocks of the test bars, one strategy.
    pub(crate) fn config() -> AgentsConfig {
        let text = r#"{
            "date_range": { "init_date": "2020-01-02", "end_date": "2020-01-10" },
            "stocks": ["AAA", "BBB"],
            "models": [{ "signature": "one", "kind": "strategy", "strategy": "RSI" }]
        }"#;
        AgentsConfig::parse(text, &|_| None).unwrap()
    }
}
