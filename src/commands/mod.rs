//! What the program can be told to do, put together from the layers below.

pub mod evaluate;
pub mod synth;
pub mod train;

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use tch::Device;

use crate::cli::{Surroundings, cache_folder};
use crate::config::RunConfig;
use crate::dist::Comm;
use crate::dist::comm::agree;
use crate::market::load::{DataSource, LoadOptions};
use crate::market::source;
use crate::report::Progress;
use crate::train::dataset::{DataPlan, Prepared};

/// What every command needs before it reads a bar.
pub struct Setting<'a> {
    pub comm: &'a dyn Comm,
    pub config: RunConfig,
    pub progress: Progress,
    /// What a reader of the results must know before believing a figure.
    pub notices: Vec<String>,
    source: DataSource,
    cache: PathBuf,
}

impl<'a> Setting<'a> {
    /// Opens the data on every rank.
    pub fn new(
        comm: &'a dyn Comm,
        mut config: RunConfig,
        surroundings: &Surroundings,
        progress: Progress,
    ) -> Result<Setting<'a>> {
        // Rank 0's environment decides, should another's differ.
        let mut name = source::resolve(config.data.source.as_deref()).into_bytes();
        comm.broadcast_bytes(&mut name);
        let name = String::from_utf8(name)?;
        let source = agree(comm, source::open(&name, &config.data.container))?;
        let mut notices = Vec::new();
        if name.starts_with(source::SYNTHETIC) {
            notices.push(format!("These are the MADE-UP prices of {name}; name your own with --data."));
        }
        if config.data.allow_overlap && overlaps(&config) {
            let warning = "Evaluation days were trained on (--allow-overlap): \
                           the figures say nothing about the future.";
            notices.push(warning.into());
        }
        progress.line(&format!("data: {name}"));
        notices.iter().for_each(|notice| progress.line(notice));
        config.data.source = Some(name);
        Ok(Setting { comm, config, progress, notices, source, cache: cache_folder(surroundings) })
    }

    /// Hands the data plan and the progress display to `work`.
    fn with_plan(
        &mut self,
        work: impl FnOnce(&DataPlan<'_>, &Progress) -> Result<Prepared>,
    ) -> Result<Prepared> {
        let data = &self.config.data;
        let plan = DataPlan {
            comm: self.comm,
            config: &self.config,
            source: &self.source,
            options: LoadOptions {
                bar_minutes: data.bar_minutes,
                bar_label: data.bar_label,
                extended_hours: data.extended_hours,
                strict: data.strict,
                cache_dir: Some(self.cache.clone()),
            },
            cache: &self.cache,
        };
        let prepared = work(&plan, &self.progress)?;
        tell(&prepared, &self.progress);
        Ok(prepared)
    }
}

fn overlaps(config: &RunConfig) -> bool {
    config.eval_start <= config.end_date && config.start_date <= config.eval_end
}

/// What was found in the data, stated always.
fn tell(prepared: &Prepared, progress: &Progress) {
    let note = &prepared.note;
    for report in &note.reports {
        progress.line(&format!(
            "{}: {} bars of {} min from {} days; labels name a bar's {} ({})",
            report.symbol,
            report.bars,
            report.bar_minutes,
            report.day_files,
            match report.bar_label {
                crate::config::BarLabel::End => "end",
                _ => "start",
            },
            report.bar_label_reason,
        ));
        for sentence in &report.notes {
            progress.line(&format!("{}: {sentence}", report.symbol));
        }
    }
    if prepared.from_cache {
        progress.line("the panel of these bars was in the cache; nothing was read");
    }
}

/// The device that `--device` names.
fn device(name: &str) -> Result<Device> {
    let Some(index) = name.strip_prefix("cuda:") else { return Ok(Device::Cpu) };
    let index: usize = index.parse()?;
    let found = tch::Cuda::device_count();
    if i64::try_from(index)? >= found {
        return Err(anyhow!(
            "--device {name}: this libtorch sees {found} CUDA devices; \
             use --device cpu, or build against a libtorch with CUDA on a machine with a GPU"
        ));
    }
    Ok(Device::Cuda(index))
}
