//! Bars from Azure, for which Azurite stands in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::isolation::{signal, start, until};
use super::language_models::trader;
use super::server::{Reply, Server};
use super::{agents, configure, position, said, strategy};
use crate::program::{Place, write_day_files};
use crate::store::{azurite, new_container};

const SIGNATURES: [&str; 3] = ["momentum", "rsi", "model"];

fn models(server: &Server) -> Value {
    json!([
        strategy("momentum", "Momentum"),
        strategy("rsi", "RSI"),
        { "signature": "model", "basemodel": "m", "openai_base_url": server.url() },
    ])
}

/// Uninterrupted from a folder; from Azure stopped by Ctrl-C on one day and killed on another.
#[test]
fn bars_come_from_azure_as_from_a_folder_also_when_it_is_interrupted() {
    let place = Place::new();
    write_day_files(&place.path("data"), &["AAA", "BBB"], "2019-01-02", "2019-01-31");
    let (secret, (_, container)) = (azurite(), new_container());
    let mut upload = place.program(&["data", "upload", "data", "--container", &container]);
    said(upload.env("AZURE_STORAGE_CONNECTION_STRING", &secret), 0);
    let at = |server: &Server, source: &str, out: &str| {
        let more = json!({
            "data": source, "container": container, "log_config": { "log_path": out },
            "max_concurrent": 3,
        });
        configure(&place, models(server), more);
        let mut command = agents(&place, &[]);
        command.env("AZURE_STORAGE_CONNECTION_STRING", &secret);
        command
    };
    let calm = Server::start(trader);
    let (table, stderr) = said(&mut at(&calm, "data", "folder"), 0);
    assert!(!table.contains("MADE-UP"), "{table}");
    assert!(stderr.contains("30-minute bars from 21 days"), "{stderr}");

    let interruptions = Arc::new(AtomicUsize::new(0));
    let so_far = Arc::clone(&interruptions);
    let server = Server::start(move |asked| {
        let day = ["2019-01-10", "2019-01-23", ""][so_far.load(Ordering::SeqCst)];
        if asked.day() == day && asked.transpose() == 1 { Reply::Silence } else { trader(asked) }
    });
    for (i, (name, code)) in [("-INT", Some(130)), ("-KILL", None)].into_iter().enumerate() {
        let before = ["2019-01-09", "2019-01-22"][i];
        let mut child = start(at(&server, "azure", "cloud"));
        let path = place.path("cloud/model/position/position.jsonl");
        until("the model is asked", || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            text.lines().last().is_some_and(|line| line.contains(before))
        });
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), code, "{name}");
        interruptions.fetch_add(1, Ordering::SeqCst);
    }
    let (_, stderr) = said(&mut at(&server, "azure", "cloud"), 0);
    assert!(stderr.contains("data: azure"), "{stderr}");
    for signature in SIGNATURES {
        assert_eq!(position(&place, "cloud", signature), position(&place, "folder", signature));
    }
}
