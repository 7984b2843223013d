//! A misbehaving or ended agent does not affect the others.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dqn_trader::agents::AgentExit;
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{agents, configure, executed, lines, position, said, strategy};
use crate::program::Place;

const PATIENCE: Duration = Duration::from_secs(60);

/// Stands in for the program, and misbehaves under some signatures.
const SCRIPT: &str = r#"#!/bin/sh
case "$*" in
  *"--signature crash "*) kill -SEGV $$ ;;
  *"--signature hang "*) sleep 600 & wait ;;
  *"--signature flood "*) exec yes "error: a line of many" ;;
  *"--signature eat "*) exec tail /dev/zero ;;
  *) exec PROGRAM "$@" ;;
esac
"#;

#[test]
fn an_agent_that_crashes_hangs_floods_or_eats_memory_harms_no_other() {
    let place = Place::new();
    let names = ["first", "crash", "hang", "flood", "eat", "last"];
    let models = names.map(|name| strategy(name, "RSI"));
    let out = place.path("out");
    let more = json!({
        "max_concurrent": 3, "timeout_s": 6, "max_memory_mb": 512,
        "log_config": { "log_path": out },
    });
    configure(&place, json!(models), more);
    let script = place.path("program.sh");
    let mut file = std::fs::File::create(&script).unwrap();
    let text = SCRIPT.replace("PROGRAM", env!("CARGO_BIN_EXE_dqn-trader"));
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(file);
    let report = executed(&place, &script);
    let ended: Vec<&AgentExit> = report.agents.iter().map(|agent| &agent.ended).collect();
    assert_eq!((ended[0], ended[5]), (&AgentExit::Done, &AgentExit::Done));
    assert_eq!(ended[1], &AgentExit::Failed("killed by signal 11".into()));
    let late = AgentExit::TimedOut(Duration::from_secs(6));
    assert_eq!((ended[2], ended[3]), (&late, &late));
    assert!(matches!(ended[4], AgentExit::Failed(why) if why.contains("memory")), "{:?}", ended[4]);
    assert_eq!(position(&place, "out", "first"), position(&place, "out", "last"));
    assert_eq!(report.agents[0].metrics.as_ref().unwrap().signature, "first");
    // The script's own child process has ended too.
    assert_eq!(processes_of("sleep 600", std::process::id()), 0);
}

/// Number of descendants of process `ancestor` whose command line contains `part`.
fn processes_of(part: &str, ancestor: u32) -> usize {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let is_below = |mut pid: u32| {
        while let Some(up) = parent(pid) {
            if up == ancestor {
                return true;
            }
            pid = up;
        }
        false
    };
    let mut found = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        found += usize::from(command.contains(part) && is_below(pid));
    }
    found
}

/// A language model at that endpoint.
fn llm(signature: &str, url: &str) -> Value {
    json!({ "signature": signature, "basemodel": "m", "openai_base_url": url })
}

/// Language models whose endpoint never answers, next to a strategy.
fn waiting(place: &Place, server: &Server) {
    let url = server.url();
    let models = json!([llm("one", &url), llm("two", &url), strategy("rsi", "RSI")]);
    let more = json!({ "max_concurrent": 3, "agent_config": { "request_timeout_s": 600 } });
    configure(place, models, more);
}

pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Number of processes whose working directory is the place.
fn there(place: &Place) -> usize {
    let here = place.path("").canonicalize().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: std::fs::DirEntry| std::fs::read_link(entry.path().join("cwd")).ok();
    all.filter_map(of).filter(|cwd| *cwd == here).count()
}

#[test]
fn ctrl_c_ends_all_agents_and_so_does_the_end_of_their_parent() {
    for (name, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let (place, server) = (Place::new(), Server::start(|_| Reply::Silence));
        waiting(&place, &server);
        let mut child = start(agents(&place, &[]));
        until("both models are asked", || server.count() == 2);
        let done = place.path("out/rsi/metrics.json");
        until("the strategy is done", || done.exists());
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), code, "{name}");
        until("agents are left", || there(&place) == 0);
        let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
        assert_eq!(said.contains("one        llm       stopped"), code.is_some(), "{said}");
        // The files are readable and can be continued.
        let records = lines(&position(&place, "out", "one"));
        assert_eq!((records.len(), &records[0]["id"]), (1, &json!(0)));
        assert_eq!(lines(&position(&place, "out", "rsi")).last().unwrap()["date"], "2019-01-31");
    }
}

/// The store never answers; Ctrl-C must also work while a single agent waits for it.
#[test]
fn ctrl_c_ends_the_reading_of_bars() {
    for args in [&[][..], &["--signature", "rsi"]] {
        let place = Place::new();
        let server = crate::store::server::Server::start(|_, _| None);
        let models = json!([strategy("rsi", "RSI"), strategy("macd", "MACD")]);
        configure(&place, models, json!({ "data": "azure" }));
        let mut command = agents(&place, args);
        command.env("AZURE_STORAGE_CONNECTION_STRING", server.connection_string());
        let mut child = start(command);
        until("the store is asked", || server.count("") > 0);
        signal(&child, "-INT");
        assert_eq!(child.wait().unwrap().code(), Some(130), "{args:?}");
        until("a process is left", || there(&place) == 0);
        let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
        assert!(said.contains("rsi        strategy  stopped\n"), "{said}");
        assert!(!place.path("out").exists());
    }
}

#[test]
fn a_second_process_on_a_signature_is_refused() {
    let (place, server) = (Place::new(), Server::start(|_| Reply::Silence));
    waiting(&place, &server);
    let mut child = start(agents(&place, &["--signature", "one"]));
    until("the model is asked", || server.count() == 1);
    let (_, stderr) = said(&mut agents(&place, &["--signature", "one", "--quiet"]), 2);
    let holder = format!("process {} on ", child.id());
    for part in ["another process runs the agent one", &holder, "another signature"] {
        assert!(stderr.contains(part), "{part:?} is missing in {stderr}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// One endpoint refuses connections, another never answers: their agents fail, the other one does
/// not, and the whole run reports failure.
#[test]
fn an_agent_that_fails_is_a_line_of_the_table() {
    let (place, silent) = (Place::new(), Server::start(|_| Reply::Silence));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = llm("closed", &format!("http://{closed}"));
    let models = json!([closed, llm("silent", &silent.url()), strategy("rsi", "RSI")]);
    configure(&place, models, json!({ "timeout_s": 5, "max_concurrent": 3 }));
    let (json, stderr) = said(&mut agents(&place, &["--format", "json"]), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["agents"][0]["signature"], "rsi");
    let error = |i: usize| json["agents"][i]["error"].as_str().unwrap();
    let parts = ["closed, 2019-01-03", "refused", "after 4 tries", "start again later", "code 2"];
    for part in parts {
        assert!(error(1).contains(part), "{part:?} is missing in {}", error(1));
    }
    assert_eq!(error(2), "timed out after 5 s and was ended; raise timeout_s");
    assert!(stderr.contains("closed: failed: closed, 2019-01-03"), "{stderr}");
    // A single agent, which runs in the program's own process, has the same limits.
    let models = json!([llm("silent", &silent.url())]);
    configure(&place, models, json!({ "timeout_s": 0.5 }));
    let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
    assert_eq!(stderr, "error: silent: timed out after 0.5 s and was ended; raise timeout_s\n");
}

/// The limit applies to each forked agent.
#[test]
fn memory_is_limited_in_forks_too() {
    let place = Place::new();
    let models = json!([strategy("one", "RSI"), strategy("two", "MACD")]);
    let dates = json!({ "init_date": "2019-01-02", "end_date": "2019-05-31" });
    configure(&place, models, json!({ "max_memory_mb": 8, "bar_minutes": 1, "date_range": dates }));
    let (table, _) = said(&mut agents(&place, &[]), 1);
    assert_eq!(table.matches("failed: memory allocation of ").count(), 2, "{table}");
}
