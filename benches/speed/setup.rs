//! Settings and panels of the benchmarks.

use std::path::{Path, PathBuf};
use std::time::Instant;

use dqn_trader::comm::local::LocalComm;
use dqn_trader::config::RunConfig;
use dqn_trader::rl::network::NetworkShape;
use dqn_trader::source::{self, DataSource, load_bars};
use dqn_trader::train::dataset::PreparedData;
use dqn_trader::train::run::{RunData, data_plan};
use dqn_trader::train::setup::network_shape;
use serde_json::{Value, json};

/// Measures wall-clock seconds; CPU seconds of this thread if `BENCH_CPU_TIME` is set, for a shared
/// machine.
pub(crate) struct Stopwatch {
    wall: Instant,
    /// The CPU clock and its value at the start.
    cpu: Option<(fn() -> f64, f64)>,
}

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch::with(thread_cpu_s)
    }

    /// Measures all threads, including those that have ended.
    pub(crate) fn of_all_threads() -> Stopwatch {
        Stopwatch::with(process_cpu_s)
    }

    fn with(clock: fn() -> f64) -> Stopwatch {
        let cpu = std::env::var_os("BENCH_CPU_TIME").map(|_| (clock, clock()));
        Stopwatch { wall: Instant::now(), cpu }
    }

    pub(crate) fn seconds(&self) -> f64 {
        match self.cpu {
            Some((clock, since)) => clock() - since,
            None => self.wall.elapsed().as_secs_f64(),
        }
    }
}

/// Seconds that `work` takes: the lowest mean of several periods, each long compared with the clock
/// resolution of four milliseconds.
pub(crate) fn fastest(mut work: impl FnMut()) -> f64 {
    let mut stretch = || {
        let (wall, watch) = (Instant::now(), Stopwatch::start());
        let mut rounds = 0;
        while wall.elapsed().as_secs_f64() < 0.4 {
            work();
            rounds += 1;
        }
        watch.seconds() / f64::from(rounds)
    };
    (0..5).map(|_| stretch()).fold(f64::INFINITY, f64::min)
}

fn process_cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    // The name, in parentheses, may contain spaces. Fields 14 and 15 are in hundredths of a second.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |i: usize| fields[i].parse::<f64>().expect("ticks");
    (ticks(12) + ticks(13)) * 0.01
}

fn thread_cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    nanoseconds.expect("a number first") as f64 * 1e-9
}

/// The settings that `flags` make, which are named as the program's, and its threads.
pub(crate) fn config(flags: &[&str]) -> (RunConfig, usize) {
    let (mut config, mut threads) = (RunConfig::default(), 1);
    let mut rest = flags;
    while let [flag, after @ ..] = rest {
        let count = after.iter().take_while(|word| !word.starts_with("--")).count();
        let (values, next) = after.split_at(count);
        let last = values.last().expect("every flag has a value");
        let assignment = match *flag {
            "--stocks" => format!("stocks={values:?}"),
            "--set" => last.to_string(),
            "--data" => format!("data.source={last:?}"),
            "--start_date" | "--end_date" | "--eval_start" | "--eval_end" => {
                format!("{}={last:?}", &flag[2..])
            }
            "--lanes" | "--batch-size" | "--replay-ratio" => {
                format!("learner.{}={last}", flag[2..].replace('-', "_"))
            }
            "--threads" => {
                threads = last.parse().expect("a number of threads");
                String::new()
            }
            other => panic!("{other} is no flag of the benches"),
        };
        if !assignment.is_empty() {
            config = config.with_setting(&assignment).unwrap_or_else(|e| panic!("{e}"));
        }
        rest = next;
    }
    config.validate().unwrap_or_else(|e| panic!("{e}"));
    (config, threads)
}

/// The bars that the settings name.
pub(crate) fn source(config: &RunConfig) -> DataSource {
    let name = source::resolve(config.data.source.as_deref());
    source::open(&name, &config.data.container).expect("a source")
}

/// The panel of the training period.
pub(crate) fn prepared(config: &RunConfig, cache: &Path) -> PreparedData {
    let source = source(config);
    let data = RunData { source: &source, cache };
    let plan = data_plan(&LocalComm, config, data);
    plan.train(config.train_period(), &mut |_, _, _| {}).expect("a panel")
}

/// The program's folder for panels.
pub(crate) fn cache() -> PathBuf {
    source::cache_folder(None)
}

/// The network of the settings.
pub(crate) fn shape(config: &RunConfig, prepared: &PreparedData) -> NetworkShape {
    network_shape(&config.network, &config.env, prepared)
}

/// Writes the panel as numpy arrays, and the sizes of the peers' networks.
pub(crate) fn prepare(work: &Path, flags: &[&str]) -> Option<Value> {
    let (config, _) = config(flags);
    let prepared = prepared(&config, &cache());
    let (panel, rows) = (&prepared.panel, prepared.note.rows.clone());
    let (stocks, features) = (config.stocks.len(), panel.feature_names().len());
    let (mut values, mut closes) = (Vec::new(), Vec::new());
    for row in rows.clone() {
        let view = panel.view(row);
        values.extend(view.all_features().iter().flat_map(|x| x.to_le_bytes()));
        closes.extend((0..stocks).flat_map(|stock| view.bar(stock).close.to_le_bytes()));
    }
    write_npy(&work.join("features.npy"), "<f4", &[rows.len(), stocks, features], &values);
    write_npy(&work.join("close.npy"), "<f8", &[rows.len(), stocks], &closes);
    let attention = shape(&config, &prepared);
    let spec = json!({
        "features": features,
        "peers_of_first": prepared.note.fit.peers[0],
        "parameters": {
            "attention": attention.layout().len(),
            "plain": plain(&attention).layout().len(),
        },
    });
    write(&work.join("spec.json"), spec.to_string().as_bytes());
    Some(spec)
}

/// The network of the rows "plain network": without attention, for one stock.
fn plain(shape: &NetworkShape) -> NetworkShape {
    let (config, _) = config(&PLAIN);
    NetworkShape { stocks: 1, peers: vec![vec![]], config: config.network, ..shape.clone() }
}

/// Flags of that network; benches/compare.py has the same.
const PLAIN: [&str; 6] = [
    "--set",
    "network.attention=false",
    "--set",
    "network.embedding=96",
    "--set",
    "network.trunk=112",
];

pub(crate) fn panel(cache: &Path, days: &str, flags: &[&str]) -> Option<Value> {
    let flags: Vec<&str> = flags.iter().copied().chain(["--data", days]).collect();
    let (config, threads) = config(&flags);
    pool(threads);
    let start = Stopwatch::of_all_threads();
    let prepared = prepared(&config, cache);
    let seconds = start.seconds();
    Some(json!({ "value": seconds, "rows": prepared.panel.rows() }))
}

pub(crate) fn read(days: &str, flags: &[&str]) -> Option<Value> {
    let (config, _) = config(flags);
    let source = source::open(days, &config.data.container).expect("a folder of day files");
    let (options, period) = (config.data.load_options(None), config.train_period());
    let start = Stopwatch::of_all_threads();
    let mut bars = 0;
    for symbol in &config.stocks {
        let loaded = load_bars(&source, &config.stocks, symbol, &period, &options, &mut |_| ());
        bars += loaded.expect("bars").0.len();
    }
    Some(json!({ "value": start.seconds(), "bars": bars }))
}

pub(crate) fn pool(threads: usize) {
    dqn_trader::compute::threads::start(threads).expect("one pool");
}

/// Format 1.0 of numpy's files.
fn write_npy(path: &Path, kind: &str, shape: &[usize], values: &[u8]) {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic, version and length take 10 bytes; the header's total length is a multiple of 64.
    while (10 + head.len() + 1) % 64 != 0 {
        head.push(' ');
    }
    head.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend(values);
    write(path, &bytes);
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
