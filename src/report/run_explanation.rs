//! What a run found its network to listen to, read from the files that it wrote.

use std::fs;
use std::path::Path;

use super::relationships::Relationships;
use super::{importance, relation_maps};
use crate::market::Symbol;
use crate::train::importance::FeatureImportance;

/// Of the model's run. Files that are missing, or are not as this program writes them for these
/// stocks, are left out.
pub(crate) struct RunExplanation {
    importance: Vec<FeatureImportance>,
    relationships: Option<Relationships>,
    /// How far the network is believed.
    belief: f32,
}

impl RunExplanation {
    /// Of the run in `folder`.
    pub(crate) fn read(folder: &Path, stocks: &[Symbol], belief: f32) -> RunExplanation {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let found = read(importance::NAME).and_then(|text| importance::parse(&text, stocks));
        let graph = read(Relationships::NAME);
        let quarters = read(Relationships::BY_QUARTER).unwrap_or_default();
        RunExplanation {
            importance: found.unwrap_or_default(),
            relationships: graph.and_then(|text| Relationships::parse(stocks, &text, &quarters)),
            belief,
        }
    }

    /// The report's sections; empty if nothing could be read.
    pub(super) fn sections(&self, stocks: &[Symbol]) -> String {
        let when = "Measured in the run that trained the model, not on the days of this account.";
        let relationships = self.relationships.as_ref();
        let relations =
            relationships.map_or(String::new(), |found| relation_maps::section(found, when));
        let importance = importance::section(stocks, &self.importance, Some(self.belief));
        let said = match importance.is_empty() {
            true => String::new(),
            false => format!("<p class=\"explained\">{when}</p>\n"),
        };
        importance + &said + &relations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::relations::QuarterRelation;
    use crate::report::ResultsFolder;
    use crate::report::example;
    use crate::train::importance::BlockMean;

    #[test]
    fn what_a_run_wrote_is_read_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::open(place.path()).unwrap();
        let relationships = example::run(3, 30).relationships;
        let stocks = relationships.stocks.clone();
        let found = FeatureImportance {
            stock: 2,
            feature: "return_1".into(),
            of_peers: true,
            moved: BlockMean { value: 0.000_25, interval: Some([0.000_125, 0.000_5]) },
            earned: BlockMean { value: -0.000_5, interval: None },
        };
        relationships.write(&folder).unwrap();
        importance::write(&folder, &stocks, std::slice::from_ref(&found)).unwrap();
        let read = RunExplanation::read(place.path(), &stocks, 1.0);
        let page = read.sections(&stocks);
        assert!(page.contains("<h3>GOOGL</h3>") && page.contains("Measured in the run"), "{page}");
        let own = read.relationships.unwrap();
        let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (a, b) => a == b,
        };
        for (i, j) in relationships.ranked() {
            let matrices = |of: &Relationships| {
                [of.influence[i][j], of.attention[i][j], of.correlation[i][j], of.lead_lag[i][j]]
            };
            let pairs = matrices(&own).into_iter().zip(matrices(&relationships));
            assert!(pairs.into_iter().all(|(a, b)| near(a, b)), "{i} {j}");
        }
        let quarters = own.quarters.iter().zip(&relationships.quarters);
        assert_eq!(own.quarters.len(), relationships.quarters.len());
        for (a, b) in quarters {
            let who = |of: &QuarterRelation| (of.quarter.clone(), of.stock, of.peer);
            assert!(who(a) == who(b) && near(a.influence, b.influence), "{a:?} {b:?}");
            assert_eq!((a.attention, a.correlation), (b.attention, b.correlation));
        }
        let [again] = &read.importance[..] else { panic!("one feature") };
        assert_eq!((again.stock, &*again.feature, again.of_peers), (2, "return_1", true));
        assert!(near(Some(again.moved.value), Some(0.000_25)) && again.earned.interval.is_none());
        assert!(near(again.moved.interval.map(|[_, high]| high), Some(0.000_5)));

        let none =
            |read: &RunExplanation| read.importance.is_empty() && read.relationships.is_none();
        let fewer = RunExplanation::read(place.path(), &stocks[..2], 1.0);
        assert!(none(&fewer), "of other stocks");
        fs::write(place.path().join("importance.csv"), "damaged").unwrap();
        fs::remove_file(place.path().join("relationships.csv")).unwrap();
        let damaged = RunExplanation::read(place.path(), &stocks, 1.0);
        assert!(none(&damaged) && damaged.sections(&stocks).is_empty());
    }
}
