//! Profiles of the AWS tools: `~/.aws/credentials` and `~/.aws/config`.
//!
//! A profile completes what the environment says: it never overrules a variable, and its keys are not
//! mixed with keys of the environment. `AWS_PROFILE` names one; otherwise it is `default`, which need
//! not be there.
//!
//! Never: a named profile that needs more than keys (a role, single sign-on, a program) taken for one
//! without credentials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What of a profile there is, and the variable that says the same.
const KEYS: [(&str, &str); 3] = [
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
];
const OTHERS: [(&str, &str); 2] = [("region", "AWS_REGION"), ("endpoint_url", "AWS_ENDPOINT_URL")];
/// Where other credentials come from; beside one of these, keys in a profile are not missed.
const SOURCES: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];
/// What this server does not carry out.
const BEYOND: [&str; 5] =
    ["role_arn", "sso_session", "sso_start_url", "credential_process", "source_profile"];

type Variables = BTreeMap<String, String>;

/// Adds to the variables what the profile says that they name.
pub(super) fn complete(mut variables: Variables, home: Option<&Path>) -> Result<Variables> {
    let named = variables.get("AWS_PROFILE").cloned();
    let profile = named.as_deref().unwrap_or("default");
    let file = |variable: &str, usual: &str| {
        let named = variables.get(variable).map(PathBuf::from);
        let path = named.or_else(|| home.map(|home| home.join(".aws").join(usual)))?;
        std::fs::read_to_string(path).ok()
    };
    let mut found = Variables::new();
    if let Some(text) = file("AWS_CONFIG_FILE", "config") {
        // Only there other sections than profiles stand too.
        let section = if profile == "default" { profile } else { &format!("profile {profile}") };
        found.extend(section_of(&text, section));
    }
    if let Some(text) = file("AWS_SHARED_CREDENTIALS_FILE", "credentials") {
        found.extend(section_of(&text, profile));
    }
    let has_source = SOURCES.iter().any(|name| variables.contains_key(*name));
    if named.is_some() {
        let refused = |reason: String| Err(Error::Profile { profile: profile.to_owned(), reason });
        if found.is_empty() {
            return refused("neither the credentials nor the config file has it".to_owned());
        }
        let beyond = BEYOND.iter().find(|key| found.contains_key(**key));
        if let (Some(key), false) = (beyond, has_source || found.contains_key(KEYS[0].0)) {
            return refused(format!(
                "\"{key}\" is not supported; give keys, or AWS_ROLE_ARN with \
                 AWS_WEB_IDENTITY_TOKEN_FILE"
            ));
        }
    }
    let keys = KEYS.iter().filter(|_| !has_source);
    for (key, variable) in keys.chain(&OTHERS) {
        if let Some(value) = found.remove(*key) {
            variables.entry((*variable).to_owned()).or_insert(value);
        }
    }
    Ok(variables)
}

/// The keys of a section. Nested ones, which are indented, are not the section's own.
fn section_of(text: &str, wanted: &str) -> Variables {
    let mut inside = false;
    let mut found = Variables::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.split_whitespace().collect::<Vec<_>>().join(" ") == wanted;
        } else if inside && !line.starts_with([' ', '\t', '#', ';']) {
            let pair = trimmed.split_once('=');
            found.extend(pair.map(|(key, value)| (key.trim().into(), value.trim().into())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const CREDENTIALS: &str = "[default]\naws_access_key_id = plain\naws_secret_access_key=s=1\n\
                               [lake]\naws_access_key_id = lake\naws_secret_access_key = s2\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile lake]\nregion=us-east-2\n\
                          s3 =\n  max_concurrent_requests = 20\n\
                          [profile role]\nrole_arn = arn:aws:iam::1:role/x\n";

    fn completed(given: &[(&str, &str)]) -> Result<Variables> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/credentials"), CREDENTIALS).unwrap();
        std::fs::write(home.path().join(".aws/config"), CONFIG).unwrap();
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        complete(given.collect(), Some(home.path()))
    }

    #[test]
    fn the_default_profile_fills_what_the_environment_leaves_open() {
        let found = completed(&[("AWS_REGION", "mine")]).unwrap();
        assert_eq!(found["AWS_ACCESS_KEY_ID"], "plain");
        assert_eq!(found["AWS_SECRET_ACCESS_KEY"], "s=1");
        assert_eq!(found["AWS_REGION"], "mine");
    }

    #[test]
    fn keys_of_the_environment_are_not_mixed_with_those_of_a_profile() {
        let found = completed(&[("AWS_ACCESS_KEY_ID", "mine")]).unwrap();
        assert_eq!(found["AWS_ACCESS_KEY_ID"], "mine");
        assert!(!found.contains_key("AWS_SECRET_ACCESS_KEY"));
    }

    #[test]
    fn a_named_profile_must_be_there_and_must_suffice() {
        let found = completed(&[("AWS_PROFILE", "lake")]).unwrap();
        assert_eq!((&*found["AWS_ACCESS_KEY_ID"], &*found["AWS_REGION"]), ("lake", "us-east-2"));
        for (profile, reason) in [("nobody", "neither the credentials"), ("role", "\"role_arn\"")] {
            let error = completed(&[("AWS_PROFILE", profile)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn without_files_nothing_is_added() {
        assert_eq!(complete(Variables::new(), None).unwrap(), Variables::new());
    }
}
