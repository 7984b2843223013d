//! From bars wherever they are to a panel that every rank has mapped. Worker ranks read their own
//! stocks; rank 0 aligns them, computes features and writes the panel; it is kept in the cache
//! under a digest of all it depends on.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::load_message::LoadMessage;
use super::loading::{common_bar_minutes, load_one, load_own};
use super::panel_cache::{file_name, prune, readable};
use super::warmup::Warmup;
use crate::comm::comm::agree;
use crate::comm::{Comm, Ranks};
use crate::compute::threads::at_once;
use crate::config::{FeatureConfig, bars_per_stretch};
use crate::errors::message;
use crate::features::pipeline::{FORMULAS, Scaler, feature_names, panel_rows, raw_features};
use crate::features::relations::Relations;
use crate::features::relations::opportunity::{Opportunity, PairTests, PairWatch};
use crate::market::calendar::market_date;
use crate::market::judge::presence;
use crate::market::options::{LoadOptions, LoadReport};
use crate::market::panel::{Grid, Panel, PanelAbout, align};
use crate::market::{BarSeries, Period, Symbol};
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::source::{DataSource, fingerprint};

/// Part of every digest; raised when the same bars and features would give another panel, or
/// another note.
const PANEL_VERSION: u32 = 2;

/// What is learned from the training period before any training: it belongs to a model as its
/// weights do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Mean and standard deviation of every feature.
    pub scaler: Scaler,
    /// Correlations between the stocks.
    pub relations: Relations,
    /// Per stock, nearest first.
    pub peers: Vec<Vec<usize>>,
}

/// Kept in a panel file beside its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PanelNote {
    /// What was found in the bars, one per stock.
    pub reports: Vec<LoadReport>,
    /// Length of a bar, minutes.
    pub bar_minutes: u32,
    /// Rows of the period itself; those before are for the indicators to settle.
    pub rows: Range<usize>,
    /// What was fitted on the training period, also where this is an evaluation's panel.
    pub fit: Fit,
    /// Of the period itself, in the order of time.
    pub opportunities: Vec<Opportunity>,
    /// Of all rows, those before the period among them.
    #[serde(default)]
    pub pair_tests: PairTests,
}

impl PanelNote {
    /// Whether it is of a panel with so many rows, stocks and features.
    pub(crate) fn fits(&self, rows: usize, stocks: usize, features: usize) -> bool {
        let PanelNote { fit: Fit { scaler, relations, peers }, rows: own, .. } = self;
        let squares = [&relations.correlation, &relations.lead_lag];
        own.start <= own.end
            && own.end <= rows
            && [scaler.mean.len(), scaler.std.len()] == [stocks * features; 2]
            && scaler.return_std.len() == stocks
            && squares.iter().all(|square| {
                square.len() == stocks && square.iter().all(|row| row.len() == stocks)
            })
            && peers.len() == stocks
            && peers.iter().flatten().all(|&peer| peer < stocks)
    }
}

/// A panel and what is known of it.
#[derive(Clone)]
pub struct PreparedData {
    /// Bars and features of all rows.
    pub panel: Arc<Panel>,
    /// What else is known of the panel's rows.
    pub note: PanelNote,
    /// It lay in the cache and nothing was read.
    pub from_cache: bool,
    /// Of all that the panel depends on, as it was asked for.
    pub digest: String,
    /// Of what was read, and of the program's formulas: the same whether settings that the bars
    /// decide were asked for or found. On rank 0; on others of their stocks.
    pub origin: String,
    /// Of the bars of each stock, on rank 0.
    pub(crate) fingerprints: Vec<String>,
}

impl PreparedData {
    /// The portfolio's limits, with the near-identical stocks of the training period.
    pub(crate) fn limits(&self, mandate: &Mandate) -> Limits {
        mandate.limits(&self.note.fit.relations.correlation)
    }
}

/// Tells how far reading has come: symbol, days done, days in all. Called on rank 0 only.
pub(crate) type OnDays<'a> = dyn FnMut(&Symbol, usize, usize) + 'a;

/// What all panels of a run have in common.
pub struct DataPlan<'a> {
    /// Every rank reads the bars of its stocks; rank 0 makes the panel and shares it.
    pub comm: &'a dyn Comm,
    /// Symbols, in the order of the panel's columns.
    pub stocks: &'a [Symbol],
    /// Which indicators, over how many bars.
    pub features: &'a FeatureConfig,
    /// Sessions ahead of a period from which risk per stock is estimated when it begins.
    pub risk_sessions: usize,
    /// Of each stock.
    pub max_peers: usize,
    /// Where bars come from.
    pub source: &'a DataSource,
    /// How bars are read.
    pub options: LoadOptions,
    /// Folder for panels.
    pub cache: &'a Path,
}

/// All that a panel depends on.
#[derive(Clone, Serialize)]
struct Digested<'a> {
    version: u32,
    formulas: u32,
    /// A feature that is new in the program is no setting.
    feature_names: Vec<String>,
    stocks: &'a [Symbol],
    load: Period,
    trade: Period,
    features: &'a FeatureConfig,
    risk_sessions: usize,
    max_peers: usize,
    options: &'a LoadOptions,
    fit: Option<&'a Fit>,
    fingerprints: &'a [String],
}

impl DataPlan<'_> {
    /// The panel of the training period, and what is fitted on it.
    pub fn train(&self, period: Period, on_days: &mut OnDays<'_>) -> Result<PreparedData> {
        self.panel(period, period, None, on_days).context("training data")
    }

    /// Lets later runs find the panel of a training period, made by other settings, under these: they
    /// name what its bars decided.
    pub(crate) fn adopt(&self, made: &PreparedData, period: Period) -> Result<()> {
        if self.comm.is_root() {
            let here = self.path(&period, &period, None, &made.fingerprints)?;
            // Where it cannot be linked it will be made again.
            let _ = std::os::unix::fs::symlink(format!("{}.arrow", made.digest), here);
        }
        Ok(())
    }

    /// The panel of the evaluation period, with as many bars before it as the indicators need,
    /// scaled by `fit`. The same for a training run and for a later evaluation, bit for bit.
    pub fn eval(
        &self,
        trade: Period,
        fit: &Fit,
        bar_minutes: u32,
        on_days: &mut OnDays<'_>,
    ) -> Result<PreparedData> {
        let load =
            Period { start: self.warmup(bar_minutes).first_day(trade.start), end: trade.end };
        self.panel(load, trade, Some(fit), on_days).context("evaluation data")
    }

    fn panel(
        &self,
        load: Period,
        trade: Period,
        fit: Option<&Fit>,
        on_days: &mut OnDays<'_>,
    ) -> Result<PreparedData> {
        let fingerprints = self.fingerprints(&load)?;
        let path = self.path(&load, &trade, fit, &fingerprints)?;
        let adopted = std::fs::read_link(&path).ok().map(|name| path.with_file_name(name));
        let path = adopted.unwrap_or(path);
        let mut path = path.to_string_lossy().into_owned().into_bytes();
        self.comm.broadcast_bytes(&mut path);
        let path = PathBuf::from(String::from_utf8(path)?);
        let mut cached = vec![u8::from(self.comm.is_root() && readable(&path))];
        self.comm.broadcast_bytes(&mut cached);
        let from_cache = cached == [1];
        if !from_cache {
            let bars = self.collect(&load, on_days);
            let built = match self.comm.is_root() {
                true => bars.and_then(|bars| self.build(bars, &trade, fit, &path)),
                false => Ok(()),
            };
            agree(self.comm, built.map_err(|e| message(&e)))?;
        }
        let here = self.comm.share_file(&path)?;
        // Rank 0 has just verified the file or written it; ranks beside it map the same pages, and
        // those of other machines a copy that came over MPI.
        let opened = agree(self.comm, Panel::open_verified(&here))?;
        let mut note: PanelNote = serde_json::from_str(opened.note())
            .with_context(|| format!("{}: delete this file", here.display()))?;
        let (stocks, features) = (opened.stocks().len(), opened.feature_names().len());
        if !note.fits(opened.rows(), stocks, features) {
            bail!("{}: its note is of another panel; delete this file", here.display());
        }
        let digest = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // The panel may have been made for a run in which somebody else set the label.
        note.reports.iter_mut().for_each(|report| report.set_by(self.options.label_origin));
        let formulas = feature_names(&self.features.for_bars(note.bar_minutes));
        let origin = file_name(&(PANEL_VERSION, FORMULAS, formulas, &fingerprints))?;
        let panel = Arc::new(opened);
        Ok(PreparedData { panel, note, from_cache, digest, origin, fingerprints })
    }

    fn warmup(&self, bar_minutes: u32) -> Warmup {
        Warmup::new(self.features, self.risk_sessions, bar_minutes)
    }

    fn ranks(&self) -> Ranks {
        Ranks { stocks: self.stocks.len(), size: self.comm.size() }
    }

    /// Where the panel lies or will lie; meaningful on rank 0.
    fn path(
        &self,
        load: &Period,
        trade: &Period,
        fit: Option<&Fit>,
        fingerprints: &[String],
    ) -> Result<PathBuf> {
        let digested = self.digested(load, trade, fit, fingerprints);
        Ok(self.cache.join("panels").join(file_name(&digested)?))
    }

    /// Of the bars of all stocks, on rank 0; of none on the other ranks.
    fn fingerprints(&self, load: &Period) -> Result<Vec<String>> {
        let stocks = self.stocks;
        let owned = self.ranks().owned(self.comm.rank());
        // How bars are read is digested by itself.
        let plain = LoadOptions::default();
        let one = |stock: &Symbol| fingerprint(self.source, stock, load, &plain);
        let mine = at_once(self.source.requests_at_once(), &stocks[owned], one);
        let mine: Result<Vec<String>, _> = mine.into_iter().collect();
        let mine = agree(self.comm, mine)?.join("\n");
        Ok(lines(&self.comm.gather_bytes(mine.as_bytes())))
    }

    fn digested<'a>(
        &'a self,
        load: &Period,
        trade: &Period,
        fit: Option<&'a Fit>,
        fingerprints: &'a [String],
    ) -> Digested<'a> {
        Digested {
            version: PANEL_VERSION,
            formulas: FORMULAS,
            feature_names: feature_names(self.features),
            stocks: self.stocks,
            load: *load,
            trade: *trade,
            features: self.features,
            risk_sessions: self.risk_sessions,
            max_peers: self.max_peers,
            options: &self.options,
            fit,
            fingerprints,
        }
    }

    /// Every rank reads its stocks and sends them to rank 0, which returns them all; the others
    /// return nothing.
    fn collect(
        &self,
        load: &Period,
        on_days: &mut OnDays<'_>,
    ) -> Result<Vec<(BarSeries, LoadReport)>> {
        let stocks = self.stocks;
        let owned: Vec<usize> = self.ranks().owned(self.comm.rank()).collect();
        let mut arrived: Vec<Option<(BarSeries, LoadReport)>> = vec![None; stocks.len()];
        let mut failures: Vec<(usize, String)> = Vec::new();
        let data = (self.source, stocks, &self.options);
        let read = |stock, sender: &_| load_one(data, stock, load, sender);
        let mut take = |rank: usize, load_message: Option<LoadMessage>| match load_message {
            Some(LoadMessage::Progress { stock, days_done, days_total }) => {
                on_days(&stocks[stock], days_done, days_total);
            }
            Some(LoadMessage::Bars { stock, report, series }) => {
                arrived[stock] = Some((series, *report));
            }
            Some(LoadMessage::Failure { stock, message }) => failures.push((stock, message)),
            None => failures.push((usize::MAX, format!("rank {rank} sent a damaged message"))),
        };
        if self.comm.size() == 1 {
            load_own(&read, &owned, &mut |load_message| take(0, Some(load_message)));
        } else {
            self.comm.stream_to_root(
                &mut |send| {
                    load_own(&read, &owned, &mut |load_message| send(&load_message.to_bytes()))
                },
                &mut |rank, bytes| take(rank, LoadMessage::from_bytes(&bytes)),
            );
        }
        if let Some((_, message)) = failures.into_iter().min() {
            return Err(anyhow!(message));
        }
        Ok(arrived.into_iter().flatten().collect())
    }

    /// On rank 0: bars to a panel file.
    fn build(
        &self,
        bars: Vec<(BarSeries, LoadReport)>,
        trade: &Period,
        fit: Option<&Fit>,
        path: &Path,
    ) -> Result<()> {
        let (mut series, mut reports): (Vec<_>, Vec<_>) = bars.into_iter().unzip();
        let bar_minutes = common_bar_minutes(&reports)?;
        for (one, report) in series.iter_mut().zip(&mut reports) {
            report.doubt(&presence(one, trade, self.options.calendar));
            self.warmup(bar_minutes).keep(one, trade.start);
        }
        let grid = align(&series);
        let rows = rows_of(&grid, trade);
        let features = &self.features.for_bars(bar_minutes);
        let relations_and_peers = match fit {
            Some(fit) => (fit.relations.clone(), fit.peers.clone()),
            None => {
                let mut relations = Relations::measure(&series, &grid, rows.clone());
                round_to_stored(&mut relations);
                let peers = relations.nearest_peers(self.max_peers);
                (relations, peers)
            }
        };
        let (relations, peers) = relations_and_peers;
        let (mut columns, watch) = raw_features(&series, &grid, &peers, features);
        let PairWatch { mut opportunities, tests: pair_tests } = watch;
        let scaler = match fit {
            Some(fit) => fit.scaler.clone(),
            None => {
                let bars = bars_per_stretch(bar_minutes);
                Scaler::fit(&columns, &series, &grid, rows.clone(), bars)
            }
        };
        let fit = Fit { scaler, relations, peers };
        let since = grid.end_s.get(rows.start).copied().unwrap_or(i64::MAX);
        opportunities.retain(|found| found.end_s >= since);
        columns.scale(&fit.scaler.mean, &fit.scaler.std, features.clip_std);
        let settled =
            |row: usize| (0..series.len()).any(|stock| columns.tradable(&grid, stock, row));
        let rows =
            settled_rows(settled, rows).ok_or_else(|| self.too_short(trade, grid.end_s.len()))?;
        let note = PanelNote { reports, bar_minutes, rows, fit, opportunities, pair_tests };
        let about = PanelAbout {
            stocks: self.stocks.to_vec(),
            feature_names: feature_names(features),
            rows: grid.end_s.len(),
            note: serde_json::to_string(&note)?,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|e| {
            anyhow!("{}: {e}; choose another folder with --cache", folder.display())
        })?;
        Panel::write_parts(path, about, &|rows| panel_rows(&series, &grid, &columns, rows))?;
        prune(folder, path);
        Ok(())
    }

    fn too_short(&self, trade: &Period, bars: usize) -> anyhow::Error {
        anyhow!(
            "{trade}: {bars} bars are too few: the longest indicator has a warm-up of {} bars; \
             use a longer period or shorter bars (--bar-minutes)",
            self.features.longest_window()
        )
    }
}

/// Lines of all ranks, one per stock; none on the other ranks.
fn lines(gathered: &[Vec<u8>]) -> Vec<String> {
    let of_rank = |part: &Vec<u8>| {
        String::from_utf8_lossy(part).lines().map(String::from).collect::<Vec<_>>()
    };
    gathered.iter().flat_map(of_rank).collect()
}

fn rows_of(grid: &Grid, period: &Period) -> Range<usize> {
    let start = grid.end_s.partition_point(|&end_s| market_date(end_s) < period.start);
    let end = grid.end_s.partition_point(|&end_s| market_date(end_s) <= period.end);
    start..end
}

/// A model file holds single precision; a later evaluation must start from the same numbers as this
/// run.
fn round_to_stored(relations: &mut Relations) {
    let matrices = [&mut relations.correlation, &mut relations.lead_lag];
    for value in matrices.into_iter().flatten().flatten().flatten() {
        *value = f64::from(*value as f32);
    }
}

/// `rows` without those at the beginning where no stock can be traded yet; None where fewer than
/// three are left.
fn settled_rows(settled: impl Fn(usize) -> bool, rows: Range<usize>) -> Option<Range<usize>> {
    let start = rows.clone().find(|&row| settled(row))?;
    Some(start..rows.end).filter(|rows| rows.len() >= 3)
}

#[cfg(test)]
mod tests;
