//! Training from Azure Blob Storage, for which Azurite stands in.

use dqn_trader::market::store::{AzureStore, LocalStore, Store};
use dqn_trader::market::{Period, Symbol};

use crate::program::{Place, run, short, succeed, write_day_files};
use crate::store::{azurite, new_container};

const STOCKS: [&str; 2] = ["AAPL", "MSFT"];

fn upload(from: &LocalStore, to: &dyn Store) {
    let period =
        Period { start: "2018-01-01".parse().unwrap(), end: "2018-12-31".parse().unwrap() };
    for symbol in STOCKS {
        let symbol: Symbol = symbol.parse().unwrap();
        for file in from.list(&symbol, &period).unwrap() {
            to.put(&file.key, &from.get(&file.key).unwrap()).unwrap();
        }
    }
}

#[test]
fn a_run_from_azure_equals_a_run_from_a_folder_and_keeps_the_key_to_itself() {
    let place = Place::new();
    let data = place.path("data");
    write_day_files(&data, &STOCKS, "2018-01-02", "2018-06-29");
    let secret = azurite();
    let (_, container) = new_container();
    let azure = AzureStore::connect(&secret, &container).unwrap();
    upload(&LocalStore::open(&data).unwrap(), &azure);

    let args = |source: &'static str, output: &'static str| {
        let mut args = short(&["--episodes", "2", "--stocks", STOCKS[0], STOCKS[1]]);
        args.extend(["--data", source, "--output", output]);
        args
    };
    succeed(&mut place.program(&args("data", "folder")));
    let container_flag = ["--container", &container];
    let from_azure = [&args("azure", "azure")[..], &container_flag].concat();
    // The key comes from the key file, as for a user.
    std::fs::create_dir(place.path(".cloudkeys")).unwrap();
    let keys = format!("# keys\nAZURE_STORAGE_CONNECTION_STRING={secret}\n");
    std::fs::write(place.path(".cloudkeys/api_keys.env"), keys).unwrap();
    let said = succeed(place.program(&from_azure).env("RUST_LOG", "trace"));
    let parallel = [&args("azure", "ranks")[..], &container_flag, &["--mode", "parallel"]].concat();
    let said_parallel = succeed(place.mpirun(3, &parallel).env("RUST_LOG", "debug"));
    for file in ["trained_model.pth", "portfolio_ep2.csv"] {
        let folder = place.read(&format!("folder/{file}"));
        assert!(folder == place.read(&format!("azure/{file}")), "{file} from Azure");
        assert!(folder == place.read(&format!("ranks/{file}")), "{file} from Azure by ranks");
    }
    assert!(said_parallel.contains("nothing was read"), "the panel was in the cache");

    let key = secret.split("AccountKey=").nth(1).unwrap().split(';').next().unwrap();
    assert!(!said.contains(key) && !said_parallel.contains(key), "the key was logged");
    for entry in std::fs::read_dir(place.path("azure")).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!found, "the key stands in {}", entry.path().display());
    }
}

#[test]
fn a_wrong_key_and_a_missing_container_are_one_line_without_the_key() {
    let place = Place::new();
    let secret = azurite();
    let wrong = secret.replace("AccountKey=Eby8vdM0", "AccountKey=Eby8vdM1");
    assert_ne!(wrong, secret);
    for (secret, container, expected) in [
        (&wrong, new_container().1, "AccountKey"),
        (&secret, "no-such-container".to_string(), "container"),
    ] {
        let mut command = place.program(&["--data", "azure", "--quiet", "--container", &container]);
        let output = run(command.env("AZURE_STORAGE_CONNECTION_STRING", secret));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
        assert!(!stderr.contains("AccountKey=E") && !stderr.contains("Eby8"), "{stderr}");
        assert!(!place.path("results/config.toml").exists());
    }
}
