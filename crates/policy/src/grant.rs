//! What control obtains a credential with that expires. Gateways get what was obtained, never what with: nothing here is
//! part of a [`Snapshot`](crate::Snapshot).

use lethe_types::SecretBytes;
use serde::{Deserialize, Serialize};

/// A server that gives credentials out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenServer {
    /// With TLS; without only where the provider's configuration allows a private network.
    pub tls: bool,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path, such as `/token`; `/` at least.
    pub path: String,
}

impl TokenServer {
    /// As a URL, which carries no secret.
    ///
    /// ```
    /// use lethe_policy::TokenServer;
    /// let server = TokenServer { tls: true, host: "oauth2.googleapis.com".into(), port: 443, path: "/token".into() };
    /// assert_eq!(server.url(), "https://oauth2.googleapis.com/token");
    /// ```
    #[must_use]
    pub fn url(&self) -> String {
        let (scheme, default) = if self.tls { ("https", 443) } else { ("http", 80) };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = if self.port == default { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{host}{port}{}", self.path)
    }
}

/// A way to a credential that expires.
#[derive(Clone, Serialize, Deserialize)]
pub enum Grant {
    /// `sts:AssumeRole` (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
    AwsRole {
        /// The Security Token Service.
        server: TokenServer,
        /// What the call is signed for.
        region: String,
        /// ARN of the role.
        role: String,
        /// What the role's owner wants to be told.
        external_id: Option<String>,
        /// Keys that may take the role.
        keys: AwsKeys,
    },
    /// `sts:AssumeRoleWithWebIdentity`
    /// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>).
    AwsWebIdentity {
        /// The Security Token Service.
        server: TokenServer,
        /// ARN of the role.
        role: String,
        /// What somebody that the role trusts says of this workload.
        token: SecretBytes,
    },
    /// OAuth 2.0 client credentials of Microsoft Entra
    /// (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>).
    Entra {
        /// The tenant's token endpoint.
        server: TokenServer,
        /// The application.
        client_id: String,
        /// What shows that it is the application.
        proof: EntraProof,
        /// What the token is for, such as `https://cognitiveservices.azure.com/.default`.
        scope: String,
    },
    /// An assertion signed by a service account (RFC 7523;
    /// <https://developers.google.com/identity/protocols/oauth2/service-account>).
    GoogleServiceAccount {
        /// Where it is exchanged.
        server: TokenServer,
        /// The account.
        email: String,
        /// Which of its keys signs.
        key_id: Option<String>,
        /// RSA, PKCS #8, DER.
        private_key: SecretBytes,
    },
    /// A user's refresh token (RFC 6749 section 6), as `gcloud auth application-default login` leaves it.
    GoogleUser {
        /// Where it is exchanged.
        server: TokenServer,
        /// The application that the user gave leave to.
        client_id: String,
        /// Its secret.
        client_secret: SecretBytes,
        /// What the user gave.
        refresh_token: SecretBytes,
    },
}

/// Keys that sign requests to AWS.
#[derive(Clone, Serialize, Deserialize)]
pub struct AwsKeys {
    /// `AKIA…` or `ASIA…`; a name, not a secret.
    pub access_key_id: String,
    /// What requests are signed with.
    pub secret_access_key: SecretBytes,
    /// Of temporary keys.
    pub session_token: Option<SecretBytes>,
}

/// What shows Microsoft Entra who asks.
#[derive(Clone, Serialize, Deserialize)]
pub enum EntraProof {
    /// A token of somebody that the application trusts (workload identity federation).
    Assertion(SecretBytes),
    /// A client secret.
    Secret(SecretBytes),
}

impl Grant {
    /// Who gives the credential out.
    #[must_use]
    pub const fn server(&self) -> &TokenServer {
        match self {
            Self::AwsRole { server, .. }
            | Self::AwsWebIdentity { server, .. }
            | Self::Entra { server, .. }
            | Self::GoogleServiceAccount { server, .. }
            | Self::GoogleUser { server, .. } => server,
        }
    }

    /// What operators call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AwsRole { .. } => "AWS role",
            Self::AwsWebIdentity { .. } => "AWS role by web identity",
            Self::Entra { .. } => "Microsoft Entra",
            Self::GoogleServiceAccount { .. } => "Google service account",
            Self::GoogleUser { .. } => "Google user",
        }
    }
}
