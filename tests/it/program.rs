//! Runs the program, alone and under mpirun.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dqn-trader");
/// Timeout of a run, longer than any should take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A few weeks of half-hour bars: enough to learn a little in about a second.
pub(crate) const SHORT: [&str; 12] = [
    "--bar-minutes",
    "30",
    "--start_date",
    "2018-01-02",
    "--end_date",
    "2018-04-30",
    "--eval_start",
    "2018-05-01",
    "--eval_end",
    "2018-06-15",
    "--set",
    "features.warmup_bars=300",
];

/// A temporary folder for working directory, results and cache.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// The program with `args`, in an environment that contains only what `command` sets.
    pub(crate) fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args);
        self.at_home(&mut command);
        command
    }

    pub(crate) fn mpirun(&self, ranks: usize, args: &[&str]) -> Command {
        let mut command = Command::new("mpirun");
        command.args(["--quiet", "-n", &ranks.to_string(), PROGRAM]).args(args);
        self.at_home(&mut command);
        command
            .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        command
    }

    fn at_home(&self, command: &mut Command) {
        command
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("AZURE_STORAGE_CONNECTION_STRING")
            .env_remove("AZURE_STORAGE_CONTAINER")
            .env_remove("ALPHAVANTAGE_API_KEY")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
    }
}

/// Runs to the end; a run that hangs is killed and fails the test.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let outputs = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let readers = (read_all(outputs.0), read_all(outputs.1));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} still runs after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Output { status, stdout: readers.0.join().unwrap(), stderr: readers.1.join().unwrap() }
}

fn read_all(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// [`run`] for a run that must succeed. Returns standard error.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    stderr
}

/// The flags of a short run, followed by `more`.
pub(crate) fn short<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = SHORT.to_vec();
    args.extend(more);
    args
}

/// Writes day files of the sample market below `folder`, in the program's own format.
pub(crate) fn write_day_files(folder: &Path, symbols: &[&str], first: &str, last: &str) {
    write_day_files_with(folder, symbols, (first, last), &[]);
}

/// Like [`write_day_files`], with further columns: waves of different lengths, of which every third
/// value is unknown.
pub(crate) fn write_day_files_with(
    folder: &Path,
    symbols: &[&str],
    (first, last): (&str, &str),
    columns: &[String],
) {
    use dqn_trader::market::calendar::market_date;
    use dqn_trader::market::parquet::encode_day;
    use dqn_trader::market::store::{LocalStore, Store, day_key};
    use dqn_trader::market::{BarSeries, Period, Symbol};
    use dqn_trader::synthetic::SyntheticMarket;

    std::fs::create_dir_all(folder).unwrap();
    let store = LocalStore::open(folder).unwrap();
    let market = SyntheticMarket::parse("sample").unwrap();
    let symbols: Vec<Symbol> = symbols.iter().map(|s| s.parse().unwrap()).collect();
    let period = Period { start: first.parse().unwrap(), end: last.parse().unwrap() };
    for symbol in &symbols {
        let bars = market.bars(&symbols, symbol, &period, 1);
        let empty = || BarSeries::new(symbol.clone()).with_columns(columns);
        let mut day = empty();
        for i in 0..bars.len() {
            let wave = |k: usize| 17.0 + 3.0 * (i as f32 / (40.0 * (k + 1) as f32)).sin();
            let value = |k| if (i + k) % 3 == 0 { f32::NAN } else { wave(k) };
            day.push_with(bars.bar(i), &(0..columns.len()).map(value).collect::<Vec<_>>());
            let date = market_date(bars.end_s[i]);
            if bars.end_s.get(i + 1).is_none_or(|&next| market_date(next) != date) {
                store.put(&day_key(symbol, date), &encode_day(&day, 1).unwrap()).unwrap();
                day = empty();
            }
        }
    }
}

/// Standard output of `dqn-trader strategies`, which must succeed.
pub(crate) fn said(place: &Place, args: &[&str]) -> String {
    let output = run(&mut place.program(&[&["strategies"], args].concat()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program with `input` on standard input.
pub(crate) fn fed(place: &Place, args: &[&str], input: &str) -> std::process::Output {
    let path = place.path("input");
    std::fs::write(&path, input).unwrap();
    run(place.program(args).stdin(std::fs::File::open(path).unwrap()))
}
