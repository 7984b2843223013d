//! The proxy of a request, by the usual environment variables. Read here and not by the HTTP
//! library, so that messages can name it and this machine is never reached through one.

use std::net::IpAddr;

use reqwest::Url;

/// A proxy that requests go through.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChosenProxy {
    /// May hold a password.
    pub(crate) url: Url,
    /// The variable that names it.
    variable: String,
}

impl ChosenProxy {
    /// As in "the proxy http://HOST:PORT (HTTPS_PROXY)", without user and password.
    pub(crate) fn describe(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("the proxy {}://{host}:{port} ({})", self.url.scheme(), self.variable)
    }
}

/// The proxy for requests to `to`; None if they go there directly. Errors: what is wrong with which
/// variable.
pub(crate) fn proxy_for(
    to: &Url,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<ChosenProxy>, String> {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let host = to.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let excluded = set("NO_PROXY").or_else(|| set("no_proxy")).unwrap_or_default();
    if is_loopback(&host) || excluded.split([',', ' ']).any(|rule| excludes(rule, &host, to.port()))
    {
        return Ok(None);
    }
    let names: &[&str] = match to.scheme() {
        "https" => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        // A web server hands a request's header Proxy to its scripts as HTTP_PROXY.
        _ if variable("REQUEST_METHOD").is_some() => &["http_proxy", "ALL_PROXY", "all_proxy"],
        _ => &["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"],
    };
    let Some((name, value)) = names.iter().find_map(|name| Some((*name, set(name)?))) else {
        return Ok(None);
    };
    let value = value.trim();
    let address = if value.contains("://") { value.into() } else { format!("http://{value}") };
    let url = Url::parse(&address).ok().filter(Url::has_host);
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let wrong = || format!("{name} is not the address of a proxy, such as http://HOST:PORT");
    let url = url.ok_or_else(wrong)?;
    Ok(Some(ChosenProxy { url, variable: name.into() }))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a rule of `NO_PROXY` covers the host: a domain and those below it, an address, a network
/// as in 10.0.0.0/8, or everything.
fn excludes(rule: &str, host: &str, port: Option<u16>) -> bool {
    let rule = rule.trim().to_ascii_lowercase();
    if rule.is_empty() || rule == "*" {
        return rule == "*";
    }
    if let (Some((network, bits)), Ok(address)) = (rule.split_once('/'), host.parse::<IpAddr>()) {
        return network.parse().is_ok_and(|network| is_within(address, network, bits));
    }
    if let Ok(address) = rule.trim_matches(['[', ']']).parse::<IpAddr>() {
        return host.parse() == Ok(address);
    }
    let (domain, of_port) = match rule.rsplit_once(':') {
        Some((domain, of_port)) => (domain, of_port.parse::<u16>().ok()),
        None => (&rule[..], None),
    };
    let domain = domain.trim_start_matches('*').trim_start_matches('.');
    let is_below = host.strip_suffix(domain).is_some_and(|start| start.ends_with('.'));
    (host == domain || is_below) && of_port.is_none_or(|of_port| port == Some(of_port))
}

fn is_within(address: IpAddr, network: IpAddr, bits: &str) -> bool {
    let Ok(bits) = bits.parse::<u32>() else { return false };
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(to: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| value.to_string())
        };
        let proxy = proxy_for(&Url::parse(to).unwrap(), &find)?;
        Ok(proxy.map(|proxy| proxy.describe()))
    }

    #[test]
    fn the_proxy_is_that_of_the_scheme() {
        let both = [("HTTP_PROXY", "http://me:secret@plain:3128"), ("HTTPS_PROXY", "safe:8080")];
        let plain = of("http://model/v1", &both).unwrap().unwrap();
        assert_eq!(plain, "the proxy http://plain:3128 (HTTP_PROXY)");
        let safe = of("https://model/v1", &both).unwrap().unwrap();
        assert_eq!(safe, "the proxy http://safe:8080 (HTTPS_PROXY)");
        let all = of("https://model/v1", &[("all_proxy", "http://a")]).unwrap().unwrap();
        assert_eq!(all, "the proxy http://a:80 (all_proxy)");
        assert_eq!(of("https://model/v1", &[("HTTPS_PROXY", " ")]), Ok(None));
        let wrong = of("https://model/v1", &[("HTTPS_PROXY", "socks5://a")]).unwrap_err();
        assert!(wrong.starts_with("HTTPS_PROXY is not the address"), "{wrong}");
    }

    #[test]
    fn this_machine_and_exceptions_are_reached_directly() {
        let with = |to: &str, no: &str| {
            let all = [("HTTP_PROXY", "http://p:1"), ("no_proxy", no)];
            of(to, &all).unwrap().is_none()
        };
        for here in
            ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9"]
        {
            assert!(with(here, ""), "{here}");
        }
        for (to, no) in [
            ("http://a.b.c/v1", "b.c"),
            ("http://a.b.c/v1", ".b.c, x"),
            ("http://a.b.c/v1", "*.b.c"),
            ("http://A.b.c/v1", "a.B.c"),
            ("http://a.b.c:99/v1", "x,a.b.c:99"),
            ("http://10.1.2.3/v1", "10.0.0.0/8"),
            ("http://10.1.2.3/v1", "10.1.2.3"),
            ("http://[fd00::1]/v1", "fd00::/8"),
            ("http://anything/v1", "*"),
        ] {
            assert!(with(to, no), "{to} {no}");
        }
        for (to, no) in [
            ("http://ab.c/v1", "b.c"),
            ("http://a.b.c:98/v1", "a.b.c:99"),
            ("http://11.1.2.3/v1", "10.0.0.0/8"),
            ("http://a/v1", ""),
        ] {
            assert!(!with(to, no), "{to} {no}");
        }
    }
}
