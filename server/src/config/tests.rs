//! Precedence, refusals and the promise that help tells units and defaults.
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::path::Path;

use clap::CommandFactory;

use super::*;

fn serve(arguments: &[&str]) -> Serve {
    let line = ["tarn", "serve"].iter().chain(arguments);
    let Command::Serve(serve) = CommandLine::try_parse_from(line).unwrap().command else {
        panic!("not serve")
    };
    *serve
}

fn file(text: &str) -> Result<Options> {
    file::parse(text, Path::new("tarn.toml"))
}

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn without_any_word_the_defaults_hold() {
    let config = Options::default().config().unwrap();
    assert_eq!(config.pg.to_string(), "127.0.0.1:5433");
    assert_eq!(config.flight.to_string(), "127.0.0.1:50051");
    assert_eq!(config.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.engine.warehouse, "./warehouse");
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert!(config.engine.memory_limit_bytes >= 1 << 20);
    assert_eq!(config.demo_dir, None);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let in_file = file("pg = 'localhost:1'\nhttp = '127.0.0.1:2'\nlocations = ['/data']").unwrap();
    let flags = serve(&["--pg", "127.0.0.1:3", "--demo", "--memory-limit-mib=64"]);
    let config = flags.options.or(in_file).config().unwrap();
    assert_eq!(config.pg.port(), 3);
    assert_eq!(config.http.port(), 2);
    assert_eq!(config.flight.port(), 50051);
    assert_eq!(config.engine.locations, ["/data"]);
    assert_eq!(config.engine.memory_limit_bytes, 64 << 20);
    assert_eq!(config.demo_dir, Some(PathBuf::from("./clients/demo")));
}

#[test]
fn a_location_can_be_given_several_times() {
    let config = serve(&["--location", "s3://a/", "--location", "/data"]).config().unwrap();
    assert_eq!(config.engine.locations, ["s3://a/", "/data"]);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let error = file("ware_house = 'x'").unwrap_err();
    let expected = "unknown key \"ware_house\" in the configuration file \"tarn.toml\"; \
                    did you mean \"warehouse\"?";
    assert_eq!(error.to_string(), expected);
    let error = file("zzz = 1").unwrap_err().to_string();
    assert!(error.ends_with("\"tarn.toml\""), "{error}");
}

#[test]
fn a_bad_file_names_the_line() {
    for (text, line) in [("pg = '127.0.0.1:1'\nhttp = 5", 2), ("\n\npg = 'nowhere'", 3), ("x =", 1)]
    {
        let error = file(text).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}: ")), "{error}");
    }
    let missing = file::read(Path::new("/nowhere/tarn.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("could not read the configuration file"), "{missing}");
}

#[test]
fn values_out_of_range_are_refused() {
    for text in ["threads = 0", "connections_max = 0", "memory_limit_mib = 0"] {
        let error = file(text).unwrap().config().unwrap_err().to_string();
        assert!(error.contains("must be at least 1"), "{error}");
    }
    assert!(file("message_bytes_max = 3000000000").unwrap().config().is_err());
    assert!(file("memory_limit_mib = 18446744073709551615").is_err());
}

#[test]
fn every_flag_has_a_variable_a_default_and_a_unit_where_it_is_a_number() {
    let command = Options::augment_args(clap::Command::new("tarn"));
    for argument in command.get_arguments() {
        let key = argument.get_id().as_str();
        let variable = format!("TARN_{}", key.to_uppercase());
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(&*variable));
        let help = argument.get_help().unwrap_or_else(|| panic!("{key}")).to_string();
        assert!(help.contains("[default: "), "{key}: {help}");
        let unit =
            [("_mib", "MiB"), ("_ms", "milliseconds"), ("_s", "seconds"), ("_bytes", "bytes")];
        for (ending, word) in unit {
            if key.trim_end_matches("_max").ends_with(ending) {
                assert!(help.contains(word), "{key}: {help}");
            }
        }
    }
    assert_eq!(command.get_arguments().count(), file::keys().len());
}

#[test]
fn stores_have_tables_of_their_own() {
    let text = "[store.'s3://lake']\nregion = 'us-east-1'\nallow_http = true\n\
                secret_access_key = 'canary'\n[store.'az://x']\ntimeout = '5s'";
    let options = file(text).unwrap();
    assert!(!format!("{options:?}").contains("canary"));
    let config = options.config().unwrap();
    let lake: Vec<_> = config.engine.stores["s3://lake"].iter().collect();
    let expected =
        [("allow_http", "true"), ("region", "us-east-1"), ("secret_access_key", "canary")];
    assert_eq!(lake, expected);
    assert!(!format!("{config:?}").contains("canary"));
    assert!(file("[store.'s3://lake']\nregion = [1]").is_err());
    assert!(file("[stores.'s3://lake']\nregion = 'x'").is_err());
}

#[test]
fn variables_of_stores_are_taken_from_the_environment() {
    let variables = [
        ("AWS_REGION", "r"),
        ("AZURE_CLIENT_ID", "c"),
        ("SERVICE_ACCOUNT", "/key"),
        ("AWS_ENDPOINT_URL", ""),
        ("PATH", "/bin"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let found = from_variables(variables.into_iter(), None).unwrap();
    let found: Vec<_> = found.iter().collect();
    let expected =
        [("AWS_REGION", "r"), ("AZURE_CLIENT_ID", "c"), ("GOOGLE_SERVICE_ACCOUNT", "/key")];
    assert_eq!(found, expected);
}

#[test]
fn a_secret_key_is_a_file_of_64_digits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let config = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let options = Options { secret_key_file: Some(path.clone()), ..Options::default() };
        options.config()
    };
    assert!(config(&format!("{}\n", "a1".repeat(32))).unwrap().engine.secret_key.is_some());
    let error = config("canary").unwrap_err().to_string();
    assert!(error.contains("64 hexadecimal digits") && !error.contains("canary"), "{error}");
    let missing = Options { secret_key_file: Some("/nowhere/key".into()), ..Options::default() };
    let error = missing.config().unwrap_err().to_string();
    assert!(error.starts_with("could not read the secret key file \"/nowhere/key\""), "{error}");
}

/// The page that users read, from the declarations above.
fn page() -> String {
    let mut page = "# Configuration\n\n\
        `tarn serve` takes each key as a flag, as an environment variable or from the TOML file that \
        `--config` names.\nA flag wins over its variable, that over the file, that over the \
        default. An unknown key in the file is an error.\n\n\
        How object stores are reached, by `[store.\"URL\"]` tables of the file, `AWS_`, `AZURE_` and \
        `GOOGLE_` variables and AWS profiles, is told in [Object stores](object-stores.md).\n\n\
        | key in the file | flag | variable | default | meaning |\n|---|---|---|---|---|\n"
        .to_owned();
    let command = Options::augment_args(clap::Command::new("tarn"));
    for argument in command.get_arguments() {
        let help = argument.get_help().unwrap().to_string();
        let (meaning, default) = help.split_once("[default: ").unwrap();
        let (key, flag) = (argument.get_id(), argument.get_long().unwrap());
        let variable = argument.get_env().and_then(|name| name.to_str()).unwrap();
        let default = default.trim_end_matches(']');
        let meaning = meaning.trim();
        page += &format!("| `{key}` | `--{flag}` | `{variable}` | {default} | {meaning} |\n");
    }
    page
}

#[test]
fn the_page_about_configuration_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("TARN_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap();
    assert_eq!(current, page(), "run the test with TARN_UPDATE_DOCS=1 and look at the difference");
}
