use std::collections::HashMap;

use super::*;

fn parse_in(text: &str, variables: &[(&str, &str)]) -> Result<AgentsConfig, ConfigError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    AgentsConfig::parse(text, &|name| variables.get(name).map(|value| value.to_string()))
}

fn parse(text: &str) -> Result<AgentsConfig, ConfigError> {
    parse_in(text, &[])
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// A configuration with these models and further top-level keys.
fn with(models: &str, more: &str) -> String {
    format!(
        r#"{{ "date_range": {{ "init_date": "2020-01-02", "end_date": "2020-12-31" }},
              "models": [{models}] {more} }}"#
    )
}

const RSI: &str = r#"{ "signature": "rsi", "kind": "strategy", "strategy": "RSI" }"#;

/// The example file of HKUDS/AI-Trader, with placeholders for address and key.
const SEED: &str = r#"{
  "agent_type": "BaseAgent",
  "market": "us",
  "date_range": { "init_date": "2025-10-01", "end_date": "2025-10-21" },
  "models": [
    { "name": "claude-3.7-sonnet", "basemodel": "anthropic/claude-3.7-sonnet",
      "signature": "claude-3.7-sonnet", "enabled": false,
      "openai_base_url": "Optional: YOUR_OPENAI_BASE_URL,you can write them in .env file",
      "openai_api_key": "Optional: YOUR_OPENAI_API_KEY,you can write them in .env file" },
    { "name": "gpt-5", "basemodel": "openai/gpt-5", "signature": "gpt-5", "enabled": true,
      "openai_base_url": "Optional: YOUR_OPENAI_BASE_URL,you can write them in .env file",
      "openai_api_key": "Optional: YOUR_OPENAI_API_KEY,you can write them in .env file" },
    { "name": "qwen3-max", "basemodel": "qwen/qwen3-max", "signature": "qwen3-max" }
  ],
  "agent_config": { "max_steps": 30, "max_retries": 3, "base_delay": 1.0, "initial_cash": 5000 },
  "log_config": { "log_path": "./data/agent_data" }
}"#;

#[test]
fn the_seed_systems_file_opens_unchanged() {
    let key = [("OPENAI_API_KEY", "sk-test"), ("OPENAI_API_BASE", "http://localhost:8080/v1/")];
    let config = parse_in(SEED, &key).unwrap();
    let names: Vec<&str> = config.models.iter().map(|m| m.signature.as_str()).collect();
    assert_eq!(names, ["gpt-5", "qwen3-max"]);
    for model in &config.models {
        let AgentKind::Llm(llm) = &model.kind else { panic!("{model:?}") };
        assert_eq!(llm.base_url.as_str(), "http://localhost:8080/v1");
        assert_eq!(llm.api_key.as_ref().unwrap().reveal(), "sk-test");
    }
    assert_eq!((config.session.max_steps, config.session.base_delay_s), (30, 1.0));
    assert_eq!((config.initial_cash, config.sessions), (5_000.0, SessionLength::Day));
    assert_eq!(config.log_path.to_str(), Some("./data/agent_data"));
    assert_eq!(config.notices, [""; 0]);
    let error = error(SEED);
    assert!(error.contains("gpt-5: openai_api_key: is missing; add it, or set OPENAI"), "{error}");
}

#[test]
fn defaults_are_as_documented() {
    let config = parse(&with(RSI, "")).unwrap();
    let session = SessionConfig {
        max_steps: 10,
        max_retries: 3,
        base_delay_s: 0.5,
        request_timeout_s: 120.0,
        budget: Budget::default(),
    };
    assert_eq!((&config.session, config.initial_cash), (&session, 10_000.0));
    assert_eq!((config.fee_bps, config.slippage_bps, config.stocks.len()), (1.0, 1.0, 5));
    assert_eq!((config.timeout_s, config.max_memory_mb), (86_400.0, 4_096));
    assert_eq!(config.period().start.to_string(), "2019-09-04");
    let hourly = with(RSI, r#", "agent_type": "BaseAgent_Hour""#);
    assert_eq!(parse(&hourly).unwrap().sessions, SessionLength::Hour);
    let timed = with(RSI, "").replace("2020-01-02", "2020-01-02 10:00:00");
    let timed = parse(&timed).unwrap();
    assert_eq!(timed.sessions, SessionLength::Hour);
    assert_eq!(timed.init.to_string(), "2020-01-02 10:00:00");
}

#[test]
fn the_environment_overrides_dates_and_says_so() {
    let config = parse_in(&with(RSI, ""), &[("END_DATE", "2020-06-30")]).unwrap();
    assert_eq!(config.end.to_string(), "2020-06-30");
    let expected = "END_DATE=2020-06-30 in the environment overrides date_range.end_date";
    assert_eq!(config.notices, [expected]);
    let none = with(RSI, "").replace("date_range", "dates");
    let both = [("INIT_DATE", "2020-01-02"), ("END_DATE", "2020-02-03")];
    assert!(parse_in(&none, &both).is_ok());
    let wrong = parse_in(&with(RSI, ""), &[("INIT_DATE", "soon")]).unwrap_err().to_string();
    assert!(wrong.starts_with("INIT_DATE: \"soon\" is not a date"), "{wrong}");
}

#[test]
fn ensembles_take_names_and_parameters() {
    let model = r#"{ "signature": "e", "kind": "ensemble", "method": "performance",
        "strategies": ["macd", { "strategy": "RSI", "parameters": { "period": 7 } }],
        "weights": [1, 3], "window_bars": 50 }"#;
    let config = parse(&with(model, "")).unwrap();
    let AgentKind::Ensemble(ensemble) = &config.models[0].kind else { panic!() };
    assert_eq!(ensemble.members[1].parameters["period"], 7);
    assert_eq!((&ensemble.weights[..], ensemble.window_bars), (&[1.0, 3.0][..], 50));
    assert_eq!(ensemble.method, EnsembleMethod::Performance);
}

#[test]
fn errors_are_found_before_anything_starts() {
    let model = |fields: &str| with(&format!(r#"{{ "signature": "one", {fields} }}"#), "");
    let llm = r#""basemodel": "m", "openai_base_url": "#;
    for (text, part) in [
        (String::new(), "the file: EOF"),
        (with("", ""), "models: none is enabled"),
        (with(&format!("{RSI}, {RSI}"), ""), "models[1].signature: rsi is given twice"),
        (with(r#"{ "name": "nobody", "kind": "strategy" }"#, ""), "signature: nobody has none"),
        (with(r#"{ "signature": " " }"#, ""), "models[0].signature: is missing"),
        (model(r#""kind": "strategy""#).replace("one", "../x"), "cannot name a folder"),
        (model(r#""kind": "strategy""#), "one: strategy: is missing"),
        (model(r#""kind": "strategy", "strategy": "RSJ""#), "did you mean RSI?"),
        (
            model(r#""kind": "strategy", "strategy": "RSI", "parameters": { "period": 0 }"#),
            "one: parameters: RSI: parameter period: 0 is out of range",
        ),
        (model(r#""kind": "ensemble""#), "one: strategies: is missing"),
        (
            model(r#""kind": "ensemble", "strategies": ["RSI"], "weights": [1, 2]"#),
            "2 are given for 1 strategies",
        ),
        (model(r#""kind": "dqn""#), "one: results: is missing"),
        (model(r#""kind": "dqn", "results": "no/where""#), "no/where has no config.toml"),
        (model(r#""kind": "rules""#), "unknown variant `rules`"),
        (model(r#""enabled": true"#), "one: basemodel: is missing"),
        (model(&format!(r#"{llm}"ftp://host/""#)), "one: openai_base_url: is not a URL"),
        (model(&format!(r#"{llm}"http://me:secret@host/""#)), "without a key in it"),
        (model(&format!(r#"{llm}"http://h/", "openai_api_key": "a b""#)), "copy it again"),
        (with(RSI, r#", "stocks": []"#), "stocks: is out of range; name at least one"),
        (with(RSI, r#", "stocks": ["A", "A"]"#), "give each symbol once"),
        (with(RSI, r#", "timeout_s": 0"#), "timeout_s: is out of range"),
        (with(RSI, r#", "max_concurrent": 0"#), "max_concurrent: is out of range"),
        (with(RSI, r#", "agent_config": { "max_steps": 0 }"#), "max_steps: is out of range"),
        (
            with(RSI, r#", "agent_config": { "budget": { "token_per_run": 5 } }"#),
            "agent_config.budget.token_per_run: is not known; did you mean tokens_per_run?",
        ),
        (
            with(RSI, r#", "agent_config": { "budget": { "colour": 5 } }"#),
            "budget.colour: is not known; take calls_per_answer, tokens_per_session,",
        ),
        (with(RSI, r#", "agent_config": { "buget": {} }"#), "did you mean agent_config.budget?"),
        (with(RSI, r#", "budget": {}"#), "budget: is not known; did you mean agent_config.budget?"),
        (
            with(&RSI.replace('}', r#", "cost_per_run": 1 }"#), ""),
            "rsi: cost_per_run: is not known; did you mean agent_config.budget.cost_per_run?",
        ),
        (with(RSI, r#", "universe": "nasdaq100""#), "universe: nasdaq100 is neither a file nor a"),
        (with(RSI, r#", "stock_pool": "AAPL""#), "stock_pool: AAPL is neither a file nor a list"),
        (with(RSI, "").replace("2020-12-31", "2019-12-31"), "2019-12-31 is before 2020-01-02"),
    ] {
        let found = error(&text);
        assert!(found.contains(part), "{text}\n{found}");
        assert!(!found.contains('\n') && !found.contains("secret"), "{found}");
    }
}

#[test]
fn keys_that_have_no_effect_are_named() {
    let more = r#", "max_concurent": 3, "agent_config": { "verbose": true }"#;
    let model = RSI.replace('}', r#", "colour": "red" }"#);
    let notices = parse(&with(&model, more)).unwrap().notices;
    let expected =
        "max_concurent, agent_config.verbose, colour of rsi are not known and have no effect";
    assert_eq!(notices[0], expected);
    assert_eq!(notices.len(), 1, "{notices:?}");
}

/// AI-Trader's markets, and any other exchange by name.
#[test]
fn a_market_has_a_calendar() {
    let of = |more: &str| {
        parse(&with(RSI, more)).map(|config| config.calendar.to_string()).map_err(|e| e.to_string())
    };
    assert_eq!(of(""), Ok("nyse".into()));
    assert_eq!(of(r#", "market": "us""#), Ok("nyse".into()));
    assert_eq!(of(r#", "market": "cn", "data": "bars""#), Ok("XSHG".into()));
    assert_eq!(of(r#", "market": "crypto", "data": "bars""#), Ok("always".into()));
    assert_eq!(of(r#", "agent_type": "BaseAgentCrypto", "data": "bars""#), Ok("always".into()));
    for more in [r#", "market": "cn""#, r#", "market": "crypto", "data": "synthetic:sample""#] {
        assert!(of(more).unwrap_err().contains("name yours in `data`"), "{more}");
    }
    assert_eq!(of(r#", "market": "us", "calendar": "XLON""#), Ok("XLON".into()));
    assert!(of(r#", "market": "moon""#).unwrap_err().contains("market"));
    assert!(of(r#", "calendar": "moon""#).unwrap_err().contains("calendar"));
}

#[test]
fn no_message_contains_a_key() {
    let model = r#"{ "signature": "one", "basemodel": "m", "openai_api_key": "sk-secret" }"#;
    let config = parse(&with(model, "")).unwrap();
    assert!(!format!("{config:?} {config:#?}").contains("sk-"));
    let error = error(&with(model, "").replace("\"sk-secret\"", "[\"sk-secret\"]"));
    assert!(error.contains("a key is text") && !error.contains("sk-"), "{error}");
}
