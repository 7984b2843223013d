use super::*;
use crate::ingest::DayBars;
use crate::market::store::origin::OriginKind;
use crate::market::store::{LocalStore, day_key};

/// 2020-03-02 to 2020-03-06, a week without a holiday, before daylight saving time.
const WEEK: [&str; 5] = ["2020-03-02", "2020-03-03", "2020-03-04", "2020-03-05", "2020-03-06"];

struct Place {
    _dir: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::open(dir.path()).unwrap());
        Place { _dir: dir, store }
    }

    /// Writes five-minute bars from the open, except those with the indices `without`.
    fn day(&self, day: &str, close: f64, without: &[i64]) {
        let date: NaiveDate = day.parse().unwrap();
        let open_s = Calendar::Nyse.session(date).map_or(0, |session| session.open_s);
        let bars = (0..78).filter(|i| !without.contains(i));
        let bar = [close, close + 1.0, close - 1.0, close, 10.0];
        let bars = DayBars(bars.map(|i| (open_s + 300 * i, bar)).collect());
        let key = day_key(&symbol(), date);
        self.store.put(&key, &bars.encode(&key).unwrap()).unwrap();
    }

    fn check(&self, start: Option<&str>, end: Option<&str>) -> Checked {
        let options = CheckOptions {
            start: start.map(|day| day.parse().unwrap()),
            end: end.map(|day| day.parse().unwrap()),
            // 2020-03-07 00:00 UTC: Friday's session is over, its extended hours are not.
            now_s: 1_583_539_200,
            calendar: Calendar::Nyse,
            least_coverage: 0.95,
            cache: None,
        };
        check(&self.store, &symbol(), &options, &mut |_, _| ()).unwrap()
    }
}

fn symbol() -> Symbol {
    "AAA".parse().unwrap()
}

fn wrong(checked: &Checked) -> Vec<(&str, &str)> {
    let findings = checked.findings.iter().filter(|finding| finding.level == Severity::Wrong);
    findings.map(|finding| (finding.about.as_str(), finding.text.as_str())).collect()
}

#[test]
fn a_whole_week_is_right() {
    let place = Place::new();
    WEEK.iter().for_each(|day| place.day(day, 100.0, &[]));
    let checked = place.check(None, None);
    assert_eq!(wrong(&checked), []);
    assert!(!checked.is_wrong());
    assert_eq!((checked.sessions, checked.bars, checked.expected_bars), (4, 390, 312));
    assert_eq!((checked.bar_minutes, checked.bar_label), (Some(5), Some(BarLabel::Start)));
}

#[test]
fn gaps_are_counted_against_the_calendar() {
    let place = Place::new();
    place.day(WEEK[0], 100.0, &[]);
    place.day(WEEK[1], 100.0, &[0, 77]);
    place.day(WEEK[3], 100.0, &[10, 11, 12, 13, 14]);
    let checked = place.check(Some("2020-02-28"), Some("2020-03-31"));
    // Friday does not count yet; Saturday is not a session.
    assert_eq!(checked.sessions, 5);
    let missing: Vec<String> = checked.missing_sessions.iter().map(|d| d.to_string()).collect();
    assert_eq!(missing, ["2020-02-28", "2020-03-04"]);
    assert_eq!((checked.missing_bars, checked.expected_bars), (7, 234));
    let expected = [
        ("missing days", "no bars on 2 of 5 trading days: 2020-02-28, 2020-03-04"),
        ("missing bars", "5 bars missing on 1 day: 2020-03-05 has 73 of 78"),
    ];
    assert_eq!(wrong(&checked), expected);
    let note = checked.findings.iter().find(|finding| finding.level == Severity::Note).unwrap();
    assert_eq!(note.text, "2 bars missing on 1 day: 2020-03-03 has 76 of 78");
}

#[test]
fn splits_bad_rows_and_damaged_files_are_wrong() {
    let place = Place::new();
    place.day(WEEK[0], 100.0, &[]);
    place.day(WEEK[1], 100.0, &[]);
    place.day(WEEK[2], 25.0, &[]);
    // Monday's bars once more, as Thursday's file.
    let monday = place.store.get(&day_key(&symbol(), WEEK[0].parse().unwrap())).unwrap();
    place.store.put(&day_key(&symbol(), WEEK[3].parse().unwrap()), &monday).unwrap();
    let friday = day_key(&symbol(), WEEK[4].parse().unwrap());
    place.store.put(&friday, b"PAR1").unwrap();
    let checked = place.check(None, None);
    let about: Vec<&str> = wrong(&checked).iter().map(|(about, _)| *about).collect();
    assert_eq!(about, ["files", "missing days", "bad rows", "splits"]);
    let texts: Vec<&str> = wrong(&checked).iter().map(|(_, text)| *text).collect();
    assert!(texts[0].starts_with("1 file cannot be read, first ") && texts[0].contains(&friday));
    assert!(texts[2].starts_with("78 of another day: "), "{}", texts[2]);
    assert_eq!((checked.splits[0].new, checked.splits[0].old), (4.0, 1.0));
    assert_eq!(checked.splits[0].date.to_string(), WEEK[2]);
}

#[test]
fn nothing_and_half_replaced_files_are_wrong() {
    let place = Place::new();
    let checked = place.check(None, None);
    assert_eq!((checked.day_files, checked.is_wrong(), checked.period), (0, true, None));
    WEEK.iter().for_each(|day| place.day(day, 100.0, &[]));
    let mut origin = Origin::new(OriginKind::Import, 5, "2020-03-07T00:00:00Z".into());
    origin.write(place.store.as_ref(), &symbol()).unwrap();
    assert!(!place.check(None, None).is_wrong());
    origin.rewriting = true;
    origin.write(place.store.as_ref(), &symbol()).unwrap();
    assert_eq!(wrong(&place.check(None, None))[0].0, "origin");
}
