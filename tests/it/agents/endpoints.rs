//! Addresses of endpoints, headers of keys, and proxies.

use serde_json::json;

use super::language_models::{KEY, trader};
use super::server::{Asked, Reply, Server, error};
use super::{agents, configure, lines, position, said};
use crate::program::Place;

const PROXIES: [&str; 5] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"];

/// A model at that address, for one day.
fn model_at(place: &Place, url: &str, key: Option<&str>) {
    let model = json!({
        "signature": "model", "basemodel": "m", "openai_base_url": url, "openai_api_key": key,
    });
    let more = json!({
        "date_range": { "init_date": "2019-01-02", "end_date": "2019-01-03" },
        "agent_config": { "base_delay": 0.01, "max_retries": 1 },
        "log_config": { "log_path": "out" },
    });
    configure(place, json!([model]), more);
}

/// Answers at one path only.
fn only_at(path: &'static str) -> Server {
    Server::start(move |asked: &Asked| match asked.path == path {
        true => trader(asked),
        false => Reply::Http("404 Not Found", String::new(), r#"{"detail": "Not Found"}"#.into()),
    })
}

fn bought(place: &Place) -> bool {
    lines(&position(place, "out", "model")).len() == 3
}

#[test]
fn a_base_url_may_have_v1_or_not_or_be_the_whole_address() {
    for (base, path, tries) in [
        ("", "/v1/chat/completions", 0),
        ("/", "/chat/completions", 1),
        ("/v1", "/v1/chat/completions", 0),
        ("/v1/", "/v1/chat/completions", 0),
        ("/api", "/api/v1/chat/completions", 1),
        ("/api", "/api/chat/completions", 0),
        ("/v1/chat/completions", "/v1/chat/completions", 0),
        ("/v1?team=a", "/v1/chat/completions?team=a", 0),
    ] {
        let (place, server) = (Place::new(), only_at(path));
        model_at(&place, &format!("http://{}{base}", server.address), None);
        said(&mut agents(&place, &["--quiet"]), 0);
        assert!(bought(&place), "{base}");
        assert_eq!(server.count(), 3 + tries, "{base}");
    }
    // Nothing answers: both addresses are named.
    let (place, server) = (Place::new(), only_at("/elsewhere"));
    for base in ["", "/api"] {
        let base = format!("http://{}{base}", server.address);
        model_at(&place, &base, None);
        let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        for path in ["/chat/completions", "/v1/chat/completions"] {
            assert!(stderr.contains(&format!("{base}{path}")), "{stderr}");
        }
        assert!(stderr.contains(" and http") && stderr.lines().count() == 1, "{stderr}");
    }
    assert_eq!(server.count(), 4);
    // The path has a word that a missing model would be told with.
    let server = Server::start(|asked: &Asked| match asked.path.starts_with("/models/v1/") {
        true => trader(asked),
        false => error("404 Not Found", "", &format!("Cannot POST {}", asked.path)),
    });
    let place = Place::new();
    model_at(&place, &format!("http://{}/models", server.address), None);
    said(&mut agents(&place, &["--quiet"]), 0);
    assert!(bought(&place));
    // The address is right and the model is not: one request.
    let server = Server::start(|_| error("404 Not Found", "", "The model `m` does not exist"));
    let place = Place::new();
    model_at(&place, &format!("http://{}", server.address), None);
    let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
    assert!(stderr.contains("HTTP 404: The model `m` does not exist; check basemodel"), "{stderr}");
    assert_eq!(server.count(), 1);
}

#[test]
fn azure_gets_its_version_and_its_own_header() {
    let server = Server::start(trader);
    let place = Place::new();
    let deployment = "/openai/deployments/mine?api-version=2024-06-01";
    model_at(&place, &format!("http://{}{deployment}", server.address), Some(KEY));
    said(&mut agents(&place, &["--quiet"]), 0);
    let asked = server.asked.lock().unwrap();
    let path = "/openai/deployments/mine/chat/completions?api-version=2024-06-01";
    for asked in asked.iter() {
        assert_eq!(
            (&asked.path[..], &asked.api_key[..], &asked.authorization[..]),
            (path, KEY, "")
        );
    }
}

#[test]
fn keys_are_taken_as_they_are_copied_and_kept_secret() {
    for key in [format!(" {KEY}\n"), format!("Bearer {KEY}")] {
        let (place, server) = (Place::new(), Server::start(trader));
        model_at(&place, &server.url(), Some(&key));
        said(&mut agents(&place, &["--quiet"]), 0);
        assert_eq!(server.asked.lock().unwrap()[0].authorization, format!("Bearer {KEY}"));
    }
    // Without a key, and where others could read it.
    for (url, part) in [
        ("http://192.0.2.1/v1", "is not https, and not on this machine"),
        ("https://host/v1?api_key=secret", "without a key in it"),
    ] {
        let place = Place::new();
        model_at(&place, url, Some(KEY));
        let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        assert!(stderr.contains(part) && !stderr.contains(KEY), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }
    // At the end of long words, of which only a part is told.
    for i in 285..300 {
        let words = format!("{}{KEY}", "x".repeat(i));
        let server = Server::start(move |_| error("401 Unauthorized", "", &words));
        let place = Place::new();
        model_at(&place, &server.url(), Some(KEY));
        let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        assert!(!stderr.contains(&KEY[..4]), "{stderr}");
        if i > 287 {
            break;
        }
    }
}

/// This machine and the exceptions are reached directly, everything else through the proxy.
#[test]
fn proxies_are_used_where_they_should_be_and_named() {
    let run = |place: &Place, variables: &[(&str, &str)], code: i32| {
        let mut command = agents(place, &["--quiet"]);
        for name in PROXIES.iter().chain(&["NO_PROXY", "no_proxy"]) {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        said(&mut command, code).1
    };
    let dead = "http://me:hidden@127.0.0.1:9";
    let all = PROXIES.map(|name| (name, dead));
    for host in ["127.0.0.1", "localhost"] {
        let (place, server) = (Place::new(), Server::start(trader));
        model_at(&place, &format!("http://{host}:{}/v1", server.address.port()), Some(KEY));
        run(&place, &all, 0);
        assert!(bought(&place));
    }
    // Through a proxy that works: it sees the whole address.
    let (place, proxy) = (Place::new(), Server::start(trader));
    model_at(&place, "http://model.invalid/v1", None);
    let working = format!("http://{}", proxy.address);
    run(&place, &[("http_proxy", &working)], 0);
    assert!(bought(&place));
    let asked = proxy.asked.lock().unwrap()[0].path.clone();
    assert_eq!(asked, "http://model.invalid/v1/chat/completions");
    // Through one that does not.
    for url in ["http://model.invalid/v1", "https://model.invalid/v1"] {
        let place = Place::new();
        model_at(&place, url, None);
        let told = run(&place, &all, 2);
        let name = if url.starts_with("https") { "HTTPS_PROXY" } else { "http_proxy" };
        let part = format!("through the proxy http://127.0.0.1:9 ({name}): ");
        assert!(told.contains(&part) && !told.contains("hidden"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    // Past it, where the name does not exist.
    let place = Place::new();
    model_at(&place, "http://model.invalid/v1", None);
    let past = [&all[..], &[("NO_PROXY", "example.org, .invalid")]].concat();
    let told = run(&place, &past, 2);
    assert!(!told.contains("proxy") && told.contains("model.invalid"), "{told}");
    let told = run(&place, &[("http_proxy", "socks5://127.0.0.1:9")], 2);
    assert!(told.contains("http_proxy is not the address of a proxy"), "{told}");
}
