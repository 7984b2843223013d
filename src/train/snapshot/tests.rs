use std::sync::atomic::AtomicBool;

use super::*;
use crate::comm::local::LocalComm;
use crate::config::RunConfig;
use crate::source::DataSource;
use crate::synthetic::SyntheticMarket;
use crate::train::checkpoint::Checkpoints;
use crate::train::run::{Checkpointing, RunData, run};

/// Checkpoints of a short run: as files, whose digests find any change, and their parts alone.
#[test]
fn fuzz() {
    let place = tempfile::tempdir().unwrap();
    let day = |text: &str| text.parse().unwrap();
    let mut config = RunConfig {
        stocks: ["A", "B"].map(|name| name.parse().unwrap()).into(),
        start_date: day("2019-01-02"),
        end_date: day("2019-03-29"),
        eval_start: day("2019-04-01"),
        eval_end: day("2019-04-30"),
        episodes: 2,
        output: place.path().join("run"),
        ..RunConfig::default()
    };
    config.data.bar_minutes = Some(30);
    config.features.warmup_bars = 300;
    (config.network.embedding, config.network.trunk) = (4, 4);
    (config.learner.learning_starts, config.checkpoint.every_s) = (64, 0.0);
    let source = DataSource::Synthetic(SyntheticMarket::parse("momentum").unwrap());
    let data = RunData { source: &source, cache: place.path() };
    let stop = AtomicBool::new(false);
    run(&LocalComm, &config, data, Checkpointing::On, &stop, &mut ()).unwrap();
    let checkpoints = Checkpoints::new(&config.output, 3);
    let (folder, manifest) = checkpoints.latest(|_, what| panic!("{what}")).unwrap();
    let names = manifest.parts.iter().map(|part| part.name.clone());
    let parts: Vec<Vec<u8>> = names.map(|name| std::fs::read(folder.join(name)).unwrap()).collect();
    crate::fuzz::fuzz("checkpoints", &parts, |bytes| {
        drop((postcard::from_bytes::<RootState>(bytes), postcard::from_bytes::<StockState>(bytes)));
    });
    let path = folder.join("manifest.json");
    let whole = std::fs::read(&path).unwrap();
    crate::fuzz::fuzz("manifests", &[whole], |bytes| {
        std::fs::write(&path, bytes).unwrap();
        checkpoints.latest(|_, _| ());
    });
}
