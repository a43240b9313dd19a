//! Credentials that expire: what is read, where they are asked for, and what is refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::{ffi::OsString, path::Path};

use lethe_config::Config;
use lethe_policy::{AwsKeys, Credential, EntraProof, Grant};

const TERMS: &str = "[provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"a\"\nreviewed = 2026-10-01\nreview_due = 2027-10-01\n";
const ROLE: &str = "role = \"arn:aws:iam::123456789012:role/lethe\", region = \"eu-central-1\"";
/// No key of anybody: PKCS #8 is not looked into here.
const ACCOUNT: &str = r#"{"type":"service_account","client_email":"a@b.iam.gserviceaccount.com","private_key_id":"k",
    "private_key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n","token_uri":"https://oauth2.googleapis.com/token"}"#;
const USER: &str = r#"{"type":"authorized_user","client_id":"c","client_secret":"s\u0041","refresh_token":"r"}"#;

fn environment(name: &str) -> Option<OsString> {
    let value = match name {
        "ACCOUNT" => ACCOUNT,
        "USER" => USER,
        "EXTERNAL" => r#"{"type":"external_account","audience":"HUSH"}"#,
        "PRIVATE" => r#"{"type":"service_account","client_email":"a","private_key":"HUSH"}"#,
        "INSIDE" => {
            r#"{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","token_uri":"http://10.0.0.1/"}"#
        }
        "NOTHING" => "HUSH",
        "PROFILES" => "[default]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=HUSH\n",
        _ => "value",
    };
    Some(value.into())
}

fn parse(preset: &str, lines: &str) -> Result<Config, String> {
    let text = format!("[[provider]]\npreset = \"{preset}\"\n{lines}\n{TERMS}");
    lethe_config::parse(&text, Path::new("lethe.toml"), &environment).map_err(|error| error.to_string())
}

fn grant(preset: &str, lines: &str) -> Grant {
    let config = parse(preset, lines).unwrap_or_else(|error| panic!("{error}"));
    let provider = &config.providers[0];
    assert!(matches!(provider.credential, Credential::Awaited));
    provider.grant.clone().unwrap()
}

fn refused(preset: &str, lines: &str, says: &str) {
    let error = parse(preset, lines).err().unwrap_or_else(|| panic!("accepted: {lines}"));
    assert!(error.starts_with("lethe.toml:") && error.contains(says) && !error.contains("HUSH"), "expected {says:?} in: {error}");
}

fn google(variable: &str) -> String {
    format!("project = \"p\"\nlocation = \"europe-west4\"\ngoogle = {{ credentials = {{ env = \"{variable}\" }} }}")
}

fn azure(entra: &str) -> String {
    format!("base_url = \"https://name.openai.azure.com\"\nentra = {{ tenant = \"contoso.com\", client_id = \"app\"{entra} }}")
}

#[test]
fn google_cloud() {
    let Grant::GoogleServiceAccount { server, email, key_id, private_key } = grant("vertex", &google("ACCOUNT")) else {
        panic!("other")
    };
    assert_eq!((server.url().as_str(), email.as_str()), ("https://oauth2.googleapis.com/token", "a@b.iam.gserviceaccount.com"));
    assert_eq!((key_id.as_deref(), private_key.expose()), (Some("k"), [0, 0, 0].as_slice()));
    let Grant::GoogleUser { server, client_secret, .. } = grant("vertex-anthropic", &google("USER")) else { panic!("other") };
    assert_eq!((server.url().as_str(), client_secret.expose()), ("https://oauth2.googleapis.com/token", b"sA".as_slice()));
    refused("vertex", &google("EXTERNAL"), "service_account or authorized_user");
    refused("vertex", &google("NOTHING"), "no credentials file of Google Cloud");
    refused("vertex", &google("PRIVATE"), "no private_key in PEM form");
    refused("vertex", &google("INSIDE"), "over https:// at a public address");
    refused("vertex", &format!("{}\napi_key = {{ env = \"KEY\" }}", google("USER")), "either api_key or google");
    refused("vertex", "project = \"p\"\nlocation = \"global\"", "or google = {");
    refused("openai", "google = { credentials = { env = \"USER\" } }", "google is for the dialect \"vertex\"");
    refused(
        "vertex",
        "project = \"p\"\nlocation = \"global\"\ngoogle = { credentials = \"HUSH\" }",
        "a secret never stands in the file",
    );
}

#[test]
fn microsoft_entra() {
    let secret = grant("azure-openai", &azure(", client_secret = { env = \"S\" }"));
    let Grant::Entra { server, client_id, proof, scope } = secret else { panic!("other") };
    assert_eq!(server.url(), "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token");
    assert_eq!((client_id.as_str(), scope.as_str()), ("app", "https://cognitiveservices.azure.com/.default"));
    assert!(matches!(proof, EntraProof::Secret(_)));
    let other = ", federated_token = { env = \"T\" }, authority = \"https://login.microsoftonline.us/\", scope = \"s/.default\"";
    let Grant::Entra { server, proof, scope, .. } = grant("azure-openai", &azure(other)) else { panic!("other") };
    assert_eq!((server.host.as_str(), scope.as_str()), ("login.microsoftonline.us", "s/.default"));
    assert!(matches!(proof, EntraProof::Assertion(_)));
    refused("azure-openai", &azure(""), "in one way");
    refused("azure-openai", &azure(", client_secret = { env = \"S\" }, federated_token = { env = \"T\" }"), "in one way");
    refused("azure-openai", &azure(", client_secret = { env = \"S\" }, authority = \"http://login.local\""), "over https://");
    refused("azure-openai", &azure(", client_secret = { env = \"S\" }").replace("contoso.com", "a/b"), "this is no tenant");
}

#[test]
fn roles_of_aws() {
    let keys = "access_key_id = \"AKIAIOSFODNN7EXAMPLE\", secret_access_key = { env = \"S\" }";
    let aws = |more: &str| format!("aws = {{ {ROLE}, {more} }}");
    let Grant::AwsRole { server, region, role, external_id, .. } =
        grant("bedrock", &aws(&format!("{keys}, external_id = \"x\"")))
    else {
        panic!("other")
    };
    assert_eq!((server.url().as_str(), region.as_str()), ("https://sts.eu-central-1.amazonaws.com/", "eu-central-1"));
    assert_eq!((role.as_str(), external_id.as_deref()), ("arn:aws:iam::123456789012:role/lethe", Some("x")));
    let identity = aws("web_identity_token = { env = \"T\" }");
    let Grant::AwsWebIdentity { server, .. } = grant("bedrock", &identity.replace("eu-central-1", "cn-north-1")) else {
        panic!("other")
    };
    assert_eq!(server.host, "sts.cn-north-1.amazonaws.com.cn");
    let profile = "credentials = { env = \"PROFILES\" }";
    let Grant::AwsRole { keys: AwsKeys { access_key_id, .. }, .. } = grant("bedrock", &aws(profile)) else { panic!("other") };
    assert_eq!(access_key_id, "AKIAIOSFODNN7EXAMPLE");
    // Without a role they are shown as they are.
    let held = parse("bedrock", &format!("aws = {{ region = \"eu-central-1\", {profile} }}")).unwrap();
    assert!(
        matches!(&held.providers[0].credential, Credential::Aws { secret_access_key, .. } if secret_access_key.expose() == b"HUSH")
    );
    assert!(held.providers[0].grant.is_none());
    refused("bedrock", &aws(&format!("{profile}, profile = \"other\"")), "under [other]");
    refused("bedrock", &aws(&format!("{keys}, {profile}")), "either credentials or access_key_id");
    refused(
        "bedrock",
        &aws("web_identity_token = { env = \"T\" }, credentials = { env = \"PROFILES\" }"),
        "either web_identity_token or keys",
    );
    refused("bedrock", &aws("session_token = { env = \"T\" }"), "both halves");
    refused("bedrock", &aws(keys).replace(":role/", ":user/"), "this is no role");
    let far = "base_url = \"https://bedrock-runtime.eu-central-1.amazonaws.com\"\n";
    refused(
        "bedrock",
        &format!("{far}{}", aws(keys).replace(", region = \"eu-central-1\"", "")),
        "a role is asked for in a region",
    );
    refused("bedrock", "aws = { region = \"eu-central-1\", web_identity_token = { env = \"T\" } }", "this is for a role");
}
