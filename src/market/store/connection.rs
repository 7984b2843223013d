//! Azure connection strings. Parsed here rather than by the Azure crate, whose errors repeat them.

use std::fmt;

use azure_core::Url;
use azure_core::auth::Secret;
use azure_storage::StorageCredentials;

use crate::market::error::MarketError;

/// Account and key of every Azurite; published by Microsoft and therefore no secrets.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A parsed connection string. Its `Debug` shows no credential.
#[derive(Debug)]
pub(super) struct StorageAccount {
    pub(crate) name: String,
    pub(crate) endpoint: Url,
    /// Named by the endpoint, as some tools write it.
    pub(crate) container: Option<String>,
    pub(crate) credentials: StorageCredentials,
    pub(crate) secrets: Secrets,
}

impl StorageAccount {
    /// Parses `Name=Value;Name=Value`: an account key or a shared access signature, with
    /// `BlobEndpoint`, or `AccountName` with `EndpointSuffix` and `DefaultEndpointsProtocol`; or
    /// `UseDevelopmentStorage=true`; or the address of a container with a signature. Fields of other
    /// services are ignored. Errors name fields and never contain a value.
    pub(crate) fn parse(connection_string: &str) -> Result<StorageAccount, MarketError> {
        let text = connection_string.trim().trim_matches(['"', '\'']);
        if let Some((address, sas)) = text.split_once('?').filter(|_| text.starts_with("http")) {
            return StorageAccount::with_sas(None, parse_endpoint(address)?, sas);
        }
        if text.split('&').any(|part| part.starts_with("sig=")) && !text.contains(';') {
            return Err(unusable(
                "is a signature alone",
                "write BlobEndpoint=https://ACCOUNT.blob.core.windows.net;\
                 SharedAccessSignature= before it",
            ));
        }
        let fields = Fields::parse(text)?;
        if fields.get("UseDevelopmentStorage").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            let host = fields.get("DevelopmentStorageProxyUri").unwrap_or("http://127.0.0.1");
            let endpoint = format!("{}:10000/{EMULATOR_ACCOUNT}", host.trim_end_matches('/'));
            return StorageAccount::with_key(
                EMULATOR_ACCOUNT,
                parse_endpoint(&endpoint)?,
                EMULATOR_KEY,
            );
        }
        let endpoint = fields.endpoint()?;
        match (fields.get("SharedAccessSignature"), fields.get("AccountKey")) {
            (Some(sas), _) => StorageAccount::with_sas(fields.account()?, endpoint, sas),
            (None, Some(key)) => {
                let name = fields.account()?.ok_or_else(|| missing("AccountName"))?;
                StorageAccount::with_key(name, endpoint, key)
            }
            (None, None) => Err(missing("AccountKey (or SharedAccessSignature)")),
        }
    }

    fn with_key(name: &str, endpoint: Url, key: &str) -> Result<StorageAccount, MarketError> {
        let (endpoint, container) = without_container(endpoint);
        if !azure_core::base64::decode(key).is_ok_and(|key| !key.is_empty()) {
            return Err(malformed("AccountKey is not base64; was it cut short?"));
        }
        Ok(StorageAccount {
            name: name.into(),
            endpoint,
            container,
            credentials: StorageCredentials::access_key(name, Secret::new(key.to_string())),
            secrets: Secrets(vec![key.into()]),
        })
    }

    fn with_sas(
        name: Option<&str>,
        endpoint: Url,
        sas: &str,
    ) -> Result<StorageAccount, MarketError> {
        let (endpoint, container) = without_container(endpoint);
        let name = name.map_or_else(|| account_of(&endpoint), String::from);
        let query = sas.trim_start_matches('?');
        let raw = query.split('&').find_map(|pair| pair.strip_prefix("sig=")).unwrap_or_default();
        if raw.is_empty() {
            return Err(malformed("SharedAccessSignature has no sig= part; was it cut short?"));
        }
        let credentials = StorageCredentials::sas_token(query)
            .map_err(|_| malformed("SharedAccessSignature is not a query string"))?;
        let mut secrets = vec![query.to_string(), raw.to_string()];
        let mut url = endpoint.clone();
        url.set_query(Some(query));
        secrets.extend(url.query_pairs().filter(|(k, _)| k == "sig").map(|(_, v)| v.into_owned()));
        let secrets = Secrets(secrets);
        Ok(StorageAccount { name, endpoint, container, credentials, secrets })
    }
}

/// The fields of a connection string.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Fields<'a>, MarketError> {
        if text.is_empty() {
            return Err(malformed("is empty"));
        }
        let mut fields = Vec::new();
        for (i, part) in text.split(';').enumerate().filter(|(_, part)| !part.trim().is_empty()) {
            match part.split_once('=') {
                Some((name, value)) => fields.push((name.trim(), value.trim())),
                None => return Err(malformed(format!("part {} is not Name=Value", i + 1))),
            }
        }
        Ok(Fields(fields))
    }

    /// The value of a field; None if missing or empty.
    fn get(&self, name: &str) -> Option<&'a str> {
        let field = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        field.map(|(_, value)| *value).filter(|value| !value.is_empty())
    }

    /// The account name. It is shown in messages, so anything that is not a plain name is rejected.
    fn account(&self) -> Result<Option<&'a str>, MarketError> {
        let Some(account) = self.get("AccountName") else { return Ok(None) };
        // Only at an address of their own do emulators and appliances have others.
        let is_own = self.get("BlobEndpoint").is_some();
        let letters = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || (is_own && matches!(c, '-' | '_'))
        };
        if !(3..=24).contains(&account.len()) || !account.chars().all(letters) {
            return Err(malformed("AccountName is not 3 to 24 lower-case letters and digits"));
        }
        Ok(Some(account))
    }

    fn endpoint(&self) -> Result<Url, MarketError> {
        if let Some(endpoint) = self.get("BlobEndpoint") {
            return parse_endpoint(endpoint);
        }
        let account = self.account()?.ok_or_else(|| missing("AccountName"))?;
        let protocol = self.get("DefaultEndpointsProtocol").unwrap_or("https");
        if protocol != "https" && protocol != "http" {
            return Err(malformed("DefaultEndpointsProtocol is neither https nor http"));
        }
        let suffix = self.get("EndpointSuffix").unwrap_or("core.windows.net");
        let address = format!("{protocol}://{account}.blob.{suffix}");
        if !Url::parse(&address).is_ok_and(|url| url.has_host()) {
            return Err(malformed("EndpointSuffix is not a host name"));
        }
        parse_endpoint(&address)
    }
}

/// `https://ACCOUNT.blob.core.windows.net`, or `http://HOST:PORT/ACCOUNT` for Azurite.
fn parse_endpoint(text: &str) -> Result<Url, MarketError> {
    let url = Url::parse(text.trim_end_matches('/'))
        .map_err(|_| malformed("BlobEndpoint is not a URL such as https://HOST"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(malformed("BlobEndpoint is not an http or https address"));
    }
    if url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(malformed(
            "BlobEndpoint holds more than an address; put a signature in SharedAccessSignature",
        ));
    }
    if is_exposed(&url) {
        let what = "the endpoint is not https, and not on this machine";
        return Err(unusable(what, "write https://: others could read what is sent"));
    }
    if let Some((account, suffix)) = url.host_str().and_then(|host| host.split_once(".dfs.")) {
        let hint = format!("write https://{account}.blob.{suffix}");
        return Err(unusable("BlobEndpoint is that of Data Lake", hint));
    }
    Ok(url)
}

/// Whether others on the way could read what is sent there.
pub(crate) fn is_exposed(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() != "https" && !is_here
}

/// Azure's own addresses name the account in the host; what follows is a container.
fn without_container(mut endpoint: Url) -> (Url, Option<String>) {
    let is_azure = endpoint.host_str().is_some_and(|host| host.contains(".blob."));
    let container = endpoint.path().trim_matches('/').to_string();
    if !is_azure || container.is_empty() {
        return (endpoint, None);
    }
    endpoint.set_path("");
    (endpoint, Some(container))
}

/// The account in an endpoint: its path, or else the first label of its host.
fn account_of(endpoint: &Url) -> String {
    let path = endpoint.path().trim_matches('/');
    let host = endpoint.host_str().unwrap_or_default();
    if path.is_empty() { host.split('.').next().unwrap_or(host).into() } else { path.into() }
}

fn missing(field: &str) -> MarketError {
    malformed(format!("{field} is missing"))
}

fn malformed(what: impl Into<String>) -> MarketError {
    unusable(
        what,
        "copy all of it (Azure portal, Access keys), quoted if a shell reads it, as in \
         DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...;\
         EndpointSuffix=core.windows.net",
    )
}

fn unusable(what: impl Into<String>, hint: impl Into<String>) -> MarketError {
    let place = "Azure connection string".into();
    MarketError::Store { place, what: what.into(), hint: hint.into(), cause: None }
}

/// Credentials that must not be shown.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// `text` on one line with the credentials of the connection string removed, and whatever
    /// follows `sig=` or `SharedKey`, as in request signatures.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let mut clean = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in &self.0 {
            clean = clean.replace(secret.as_str(), "***");
        }
        for mark in ["sig=", "SharedKey "] {
            clean = hide_after(&clean, mark);
        }
        clean
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(***)")
    }
}

/// Replaces what follows each `mark`, up to a character that ends a value.
fn hide_after(text: &str, mark: &str) -> String {
    let mut parts = text.split(mark);
    let mut clean = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find([' ', '&', '"', '\'', ')', ',', ';']).unwrap_or(part.len());
        clean += mark;
        clean += "***";
        clean += &part[end..];
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "c2VjcmV0LWtleS1vZi1hbi1hY2NvdW50";

    fn error(text: &str) -> String {
        StorageAccount::parse(text).map(|account| account.name).unwrap_err().to_string()
    }

    #[test]
    fn the_usual_forms_are_read() {
        let usual = format!(
            "DefaultEndpointsProtocol=https;AccountName=shares;AccountKey={KEY};\
             EndpointSuffix=core.windows.net"
        );
        let account = StorageAccount::parse(&usual).unwrap();
        assert_eq!(account.name, "shares");
        assert_eq!(account.endpoint.as_str(), "https://shares.blob.core.windows.net/");
        let quoted = StorageAccount::parse(&format!("\"{usual};\"\n")).unwrap();
        assert_eq!(quoted.endpoint, account.endpoint);

        let azurite = format!(
            "AccountName=devstoreaccount1;AccountKey={KEY};QueueEndpoint=http://127.0.0.1:1/q;\
             BlobEndpoint=http://127.0.0.1:10100/devstoreaccount1/"
        );
        let account = StorageAccount::parse(&azurite).unwrap();
        assert_eq!(account.endpoint.as_str(), "http://127.0.0.1:10100/devstoreaccount1");

        let account = StorageAccount::parse("UseDevelopmentStorage=true").unwrap();
        assert_eq!(account.endpoint.as_str(), "http://127.0.0.1:10000/devstoreaccount1");

        let sas = "BlobEndpoint=https://shares.blob.core.windows.net;\
                   SharedAccessSignature=sv=2022-11-02&sp=rl&sig=abc%2Bdef%3D";
        let account = StorageAccount::parse(sas).unwrap();
        assert_eq!((&account.name[..], account.container), ("shares", None));
    }

    /// As the portal, Storage Explorer, Data Lake, an appliance and shells give them.
    #[test]
    fn other_forms_are_read_or_told_what_to_change() {
        let in_endpoint = "BlobEndpoint=https://shares.blob.core.windows.net/bars;\
                           SharedAccessSignature=?sv=1&sig=abc%3D";
        let address = "https://shares.blob.core.windows.net/bars?sv=1&sr=c&sig=abc%3D";
        for text in [in_endpoint, address] {
            let account = StorageAccount::parse(text).unwrap();
            assert_eq!(account.endpoint.as_str(), "https://shares.blob.core.windows.net/");
            assert_eq!((&account.name[..], account.container.as_deref()), ("shares", Some("bars")));
        }
        let edge =
            format!("AccountName=my-edge;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/my-edge");
        let account = StorageAccount::parse(&edge).unwrap();
        assert_eq!((&account.name[..], account.container), ("my-edge", None));
        let lake =
            format!("AccountName=shares;AccountKey={KEY};BlobEndpoint=https://shares.dfs.core.x/");
        assert!(error(&lake).contains("write https://shares.blob.core.x"));
        let token = error("sv=2022-11-02&ss=b&srt=co&sp=rl&sig=AAAA%3D");
        assert!(token.contains("a signature alone") && !token.contains("AAAA"), "{token}");
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_encryption() {
        let of = |address: &str| is_exposed(&address.parse().unwrap());
        for here in ["http://127.0.0.1:1/a", "http://[::1]:80/", "http://localhost/", "https://h/"]
        {
            assert!(!of(here), "{here}");
        }
        for there in
            ["http://10.0.0.1/", "http://localhost.example.com/", "http://127.0.0.1.nip.io"]
        {
            assert!(of(there), "{there}");
        }
        let plain = format!("DefaultEndpointsProtocol=http;AccountName=shares;AccountKey={KEY}");
        assert!(error(&plain).contains("not https"));
    }

    #[test]
    fn a_bad_one_is_named_by_field_and_never_by_value() {
        let cases = [
            (String::new(), "is empty"),
            (KEY.into(), "part 1 is not Name=Value"),
            (format!("AccountKey={KEY}"), "AccountName is missing"),
            ("AccountName=shares".into(), "AccountKey (or SharedAccessSignature) is missing"),
            ("AccountName=shares;AccountKey=".into(), "AccountKey (or Shared"),
            (format!("AccountName={KEY};AccountKey={KEY}"), "AccountName is not 3 to 24"),
            (format!("AccountName=shares;AccountKey={KEY}%"), "AccountKey is not base64"),
            (format!("AccountName=shares;SharedAccessSignature=sv=1&{KEY}"), "no sig= part"),
            (
                format!("AccountName=shares;AccountKey={KEY};BlobEndpoint=https://h/?sig={KEY}"),
                "BlobEndpoint holds more",
            ),
            (
                format!("AccountName=shares;AccountKey={KEY};BlobEndpoint={KEY}"),
                "BlobEndpoint is no",
            ),
            (
                format!("DefaultEndpointsProtocol={KEY};AccountName=shares;AccountKey={KEY}"),
                "DefaultEndpointsProtocol is neither",
            ),
            (
                format!("AccountName=shares;AccountKey={KEY};EndpointSuffix=a b"),
                "EndpointSuffix is not a host name",
            ),
        ];
        for (text, expected) in cases {
            let message = error(&text);
            assert!(message.contains(expected), "{expected}: {message}");
            assert!(!message.contains(KEY) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn nothing_of_a_credential_shows_in_debug() {
        let key = StorageAccount::parse(&format!("AccountName=shares;AccountKey={KEY}")).unwrap();
        let sas = format!("AccountName=shares;SharedAccessSignature=sv=1&sig={KEY}");
        let sas = StorageAccount::parse(&sas).unwrap();
        for account in [key, sas] {
            let shown = format!("{account:?} {account:#?}");
            assert!(shown.contains("shares") && !shown.contains(KEY), "{shown}");
        }
    }

    #[test]
    fn scrubbing_takes_out_keys_and_signatures_in_every_spelling() {
        let sas = "AccountName=shares;SharedAccessSignature=sv=1&sig=ab%2Bcd%3D";
        let secrets = StorageAccount::parse(sas).unwrap().secrets;
        assert_eq!(secrets.scrub("one\n two"), "one two");
        assert_eq!(secrets.scrub("raw ab%2Bcd%3D, read ab+cd="), "raw ***, read ***");
        assert_eq!(secrets.scrub("url (http://h/?sig=other&sv=1)"), "url (http://h/?sig=***&sv=1)");
        assert_eq!(secrets.scrub("SharedKey me:abc= end"), "SharedKey *** end");
    }
}
