//! Where a model's requests go: the addresses that a base URL may mean, and the header of the key.

use reqwest::Url;

use crate::agents::secret::Secret;

const PATH: &str = "/chat/completions";
/// Hosts that want the key in a header of their own.
const AZURE: [&str; 4] = [
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    ".azure-api.net",
];
const VERSION: &str = "api-version";

/// The addresses that `base` may mean, the likeliest first: with or without `/v1`, or the whole
/// address of the completions. The query, as Azure's `api-version`, stays.
pub(crate) fn addresses(base: &Url) -> Vec<Url> {
    let path = base.path().trim_end_matches('/');
    let with = |path: &str| {
        let mut url = base.clone();
        url.set_path(path);
        url
    };
    if path.ends_with(PATH) {
        return vec![with(path)];
    }
    let plain = format!("{path}{PATH}");
    let versioned = format!("{path}/v1{PATH}");
    let is_version = |part: &str| {
        part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let is_azure_host = is_azure(base);
    match path {
        "" if is_azure_host => vec![with(&format!("/openai/v1{PATH}"))],
        "" => vec![with(&versioned), with(&plain)],
        _ if path.split('/').any(is_version) || path.contains("/deployments/") => {
            vec![with(&plain)]
        }
        _ => vec![with(&plain), with(&versioned)],
    }
}

/// Whether the endpoint takes keys in the header `api-key`, as Azure does.
pub(crate) fn is_azure(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    AZURE.iter().any(|end| host.ends_with(end))
        || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case(VERSION))
}

/// Name and value of the header with the key.
pub(crate) fn key_header(url: &Url, key: &Secret) -> (&'static str, String) {
    let key = key.reveal();
    // Azure's own tokens are not keys.
    match is_azure(url) && !key.starts_with("eyJ") {
        true => ("api-key", key.to_string()),
        false => ("authorization", format!("Bearer {key}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_means_the_addresses_of_its_kind() {
        for (base, expected) in [
            ("https://h", &["https://h/v1/chat/completions", "https://h/chat/completions"][..]),
            ("https://h/v1/", &["https://h/v1/chat/completions"]),
            ("https://h/v1beta/openai", &["https://h/v1beta/openai/chat/completions"]),
            ("https://h/api/paas/v4", &["https://h/api/paas/v4/chat/completions"]),
            ("https://h/x", &["https://h/x/chat/completions", "https://h/x/v1/chat/completions"]),
            ("https://h/x/chat/completions", &["https://h/x/chat/completions"]),
            (
                "https://a.openai.azure.com/openai/deployments/d?api-version=2024-06-01",
                &[
                    "https://a.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-06-01",
                ],
            ),
            (
                "https://a.openai.azure.com",
                &["https://a.openai.azure.com/openai/v1/chat/completions"],
            ),
        ] {
            let found: Vec<String> =
                addresses(&Url::parse(base).unwrap()).iter().map(Url::to_string).collect();
            assert_eq!(found, expected, "{base}");
        }
    }

    #[test]
    fn azure_takes_keys_in_its_own_header() {
        let key = Secret::new("sk-0123456789").unwrap();
        let of = |url: &str| key_header(&Url::parse(url).unwrap(), &key);
        assert_eq!(of("https://h/v1"), ("authorization", "Bearer sk-0123456789".into()));
        let azure = ("api-key", "sk-0123456789".to_string());
        assert_eq!(of("https://a.openai.azure.com/openai/v1"), azure);
        assert_eq!(of("http://127.0.0.1:1/openai/deployments/d?api-version=1"), azure);
    }
}
