use super::stream::stream;
use crate::cli::StreamArgs;

#[test]
fn fuzz_stream() {
    let args = StreamArgs {
        strategies: ["RSI", "MACD", "Pairs"].map(String::from).into(),
        stocks: ["AAA", "BBB"].map(|name| name.parse().unwrap()).into(),
        ensemble: None,
        weights: Vec::new(),
        params: None,
        model: None,
        calendar: None,
    };
    let single: String = (0..4)
        .map(|i| {
            format!(
                "{{\"timestamp\": \"2020-01-02T10:{i}0:00-05:00\", \"stock\": \"AAA\", \"open\": 1.5, \
                 \"high\": 2, \"low\": 1, \"close\": 1.25, \"volume\": 10}}\n"
            )
        })
        .collect();
    let both: String = (0..4)
        .map(|i| {
            let bar = "{\"open\": 1.5, \"high\": 2, \"low\": 1, \"close\": 1.25}";
            let time = 1_577_977_200 + 600 * i;
            format!("{{\"timestamp\": {time}, \"bars\": {{\"AAA\": {bar}, \"BBB\": {bar}}}}}\n")
        })
        .collect();
    let seeds = [single.into_bytes(), both.into_bytes()];
    crate::fuzz::fuzz("streams", &seeds, |bytes| drop(stream(&args, bytes, std::io::sink())));
}
