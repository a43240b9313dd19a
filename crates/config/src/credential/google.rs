//! `google`: a credentials file of Google Cloud, for Vertex AI.

use std::{borrow::Cow, ops::Range};

use lethe_policy::Grant;
use lethe_types::SecretBytes;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::Deserialize;

use super::server;
use crate::{
    check::Check,
    file::{FileGoogle, FileProvider},
};

/// Where tokens are given out if the file does not say it (<https://developers.google.com/identity/protocols/oauth2/service-account>).
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The files that `gcloud` and the console make (<https://cloud.google.com/docs/authentication/application-default-credentials>).
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Document<'a> {
    AuthorizedUser {
        #[serde(borrow)]
        client_id: Cow<'a, str>,
        client_secret: Secret<'a>,
        refresh_token: Secret<'a>,
        token_uri: Option<String>,
    },
    ServiceAccount {
        client_email: String,
        private_key: Secret<'a>,
        private_key_id: Option<String>,
        token_uri: Option<String>,
    },
    #[serde(other)]
    Other,
}

/// A text of the document that is wiped where it had to be copied.
#[derive(Deserialize)]
struct Secret<'a>(#[serde(borrow)] Cow<'a, str>);

impl Secret<'_> {
    fn bytes(&self) -> SecretBytes {
        SecretBytes::new(self.0.as_bytes().to_vec())
    }
}

impl Drop for Secret<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            drop(SecretBytes::new(std::mem::take(text).into_bytes()));
        }
    }
}

pub(super) fn checked(google: &FileGoogle, file: &FileProvider, check: &mut Check<'_>) -> Option<Grant> {
    let reference = &google.credentials;
    let text = reference.get_ref().document(reference.span(), check)?;
    let holder = reference.get_ref().holder();
    // serde's message could quote a secret.
    let document = serde_json::from_slice::<Document<'_>>(text.expose()).map_err(|_| {
        format!("{holder} is no credentials file of Google Cloud: write one of type service_account or authorized_user")
    });
    let document = check.take(reference.span(), document)?;
    grant(&document, &holder, reference.span(), file, check)
}

fn grant(document: &Document<'_>, holder: &str, at: Range<usize>, file: &FileProvider, check: &mut Check<'_>) -> Option<Grant> {
    let place =
        |uri: &Option<String>, check: &mut Check<'_>| check.take(at.clone(), server(uri.as_deref().unwrap_or(TOKEN_URI), file));
    match document {
        Document::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => Some(Grant::GoogleUser {
            server: place(token_uri, check)?,
            client_id: client_id.clone().into_owned(),
            client_secret: client_secret.bytes(),
            refresh_token: refresh_token.bytes(),
        }),
        Document::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
            let key = PrivatePkcs8KeyDer::from_pem_slice(private_key.0.as_bytes())
                .map(|key| SecretBytes::new(key.secret_pkcs8_der().to_vec()))
                .map_err(|_| format!("{holder} holds no private_key in PEM form (-----BEGIN PRIVATE KEY-----)"));
            Some(Grant::GoogleServiceAccount {
                server: place(token_uri, check)?,
                email: client_email.clone(),
                key_id: private_key_id.clone(),
                private_key: check.take(at.clone(), key)?,
            })
        }
        Document::Other => {
            check.problem(
                at,
                format!("{holder} is of a type that is not obtained with: write one of type service_account or authorized_user"),
            );
            None
        }
    }
}
