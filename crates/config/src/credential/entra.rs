//! `entra`: an application of Microsoft Entra, for Azure.

use std::ops::Range;

use lethe_policy::{EntraProof, Grant};

use super::server;
use crate::{
    check::Check,
    file::{FileEntra, FileProvider},
};

/// The public cloud's; others are named by `authority`.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// What Azure OpenAI asks tokens to be for (<https://learn.microsoft.com/azure/ai-foundry/openai/how-to/managed-identity>).
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

pub(super) fn checked(entra: &FileEntra, span: Range<usize>, file: &FileProvider, check: &mut Check<'_>) -> Option<Grant> {
    let proof = match (&entra.client_secret, &entra.federated_token) {
        (Some(secret), None) => secret.get_ref().resolve(secret.span(), check).map(EntraProof::Secret),
        (None, Some(token)) => token.get_ref().resolve(token.span(), check).map(EntraProof::Assertion),
        _ => {
            check.problem(
                span,
                "an application shows who it is in one way: write client_secret = { env = \"AZURE_CLIENT_SECRET\" } or \
                 federated_token = { file = \"path\" }",
            );
            None
        }
    };
    let client_id = entra.client_id.get_ref().resolve(entra.client_id.span(), check);
    let tenant = entra.tenant.get_ref().resolve(entra.tenant.span(), check).and_then(|tenant| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let is_tenant = (1..=253).contains(&tenant.len()) && tenant.bytes().all(plain);
        let message = || "this is no tenant: write its id or domain, such as tenant = \"contoso.onmicrosoft.com\"".to_owned();
        check.take(entra.tenant.span(), is_tenant.then_some(tenant).ok_or_else(message))
    });
    let (authority, at) = match &entra.authority {
        Some(authority) => (authority.get_ref().as_str(), authority.span()),
        None => (AUTHORITY, entra.tenant.span()),
    };
    let url = format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), tenant?);
    let server = check.take(at, server(&url, file));
    let scope = entra.scope.as_ref().map_or_else(|| SCOPE.to_owned(), |scope| scope.get_ref().clone());
    Some(Grant::Entra { server: server?, client_id: client_id?, proof: proof?, scope })
}
